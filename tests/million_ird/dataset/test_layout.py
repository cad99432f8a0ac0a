"""The YAML of the card, on plain values."""

import pytest

from million_ird.dataset.layout import size_category


@pytest.mark.parametrize(
    ("rows", "name"),
    [
        (0, "n<1K"),
        (999, "n<1K"),
        (1_000, "1K<n<10K"),
        (99_999, "10K<n<100K"),
        (100_000, "100K<n<1M"),
        (999_999, "100K<n<1M"),
        (1_000_000, "1M<n<10M"),
        (2_000_000, "1M<n<10M"),
        (25_000_000, "10M<n<100M"),
        (999_999_999, "100M<n<1B"),
        (10**9, "1B<n<10B"),
        (5 * 10**11, "100B<n<1T"),
        (10**12, "n>1T"),
    ],
)
def test_size_category(rows: int, name: str) -> None:
    assert size_category(rows) == name
