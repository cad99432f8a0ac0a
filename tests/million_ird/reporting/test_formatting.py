"""How numbers, shares, durations and counts are written."""

import pytest

from million_ird.reporting.formatting import apart, duration, number, plural, share


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.35, "0.35"),
        (1024, "1,024"),
        (12.3456, "12.35"),
        (2081790, "2,081,790"),
        (0.00012345, "0.0001234"),
        (-3.5, "-3.5"),
        (100, "100"),
    ],
)
def test_number(value: float, text: str) -> None:
    assert number(value) == text


def test_a_value_next_to_a_limit_never_looks_like_the_limit() -> None:
    assert apart(0.35, 0.3) == "0.35"
    assert apart(0.350000012, 0.35) == "0.35000001"
    assert apart(1023.9999, 1024) == "1,023.9999"


def test_a_share_is_0_or_100_per_cent_only_when_exact() -> None:
    assert [share(0, 9), share(9, 9), share(1, 10**6), share(10**6 - 1, 10**6), share(1, 3), share(0, 0)] == [
        "0.0 %",
        "100.0 %",
        "< 0.1 %",
        "> 99.9 %",
        "33.3 %",
        "–",
    ]


def test_duration() -> None:
    assert [duration(0.5), duration(12.3), duration(90), duration(7300)] == [
        "0.50 s",
        "12 s",
        "1 min 30 s",
        "2 h 01 min",
    ]


def test_nouns_agree_with_their_count() -> None:
    assert [plural(0, "image"), plural(1, "image"), plural(1024, "image")] == ["0 images", "1 image", "1,024 images"]
    assert [plural(1, "patch", "patches"), plural(2, "patch", "patches")] == ["1 patch", "2 patches"]
