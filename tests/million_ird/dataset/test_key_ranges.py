"""Shards are ranges of keys: of even size, and a removed row changes its own shard alone."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from million_ird.candidate import candidate_key
from million_ird.dataset.key_ranges import order_of_keys, shard_count, shard_ranges

ROWS, MAX = 200_000, 500_000_000


def _shards(rows: NDArray[np.int64], weights: NDArray[np.float64]) -> dict[tuple[int, ...], float]:
    """Return the weight of each shard by its rows."""
    order, numbers = order_of_keys([candidate_key("photos", f"{row:06d}.jpg") for row in rows])
    ranges = shard_ranges(numbers, float(weights[rows].sum()), MAX)
    ordered = rows[order]
    return {tuple(ordered[a:b].tolist()): float(weights[ordered[a:b]].sum()) for a, b in ranges}


@pytest.mark.full
def test_removing_rows_changes_few_shards_of_even_size() -> None:
    random = np.random.default_rng(0)
    weights = random.lognormal(np.log(1.2e6), 0.5, ROWS)
    before = _shards(np.arange(ROWS), weights)
    sizes = np.array(list(before.values()))
    assert len(before) > 500
    assert sizes.min() / sizes.mean() > 0.75
    assert sizes.max() / sizes.mean() < 1.25
    for removed, most in ((1, 1), (ROWS // 1000, 0.45 * len(before))):
        after = _shards(np.sort(random.permutation(ROWS)[removed:]), weights)
        assert 1 <= len(after.keys() - before.keys()) <= most


@given(
    st.lists(st.text(st.characters(codec="utf-8")), unique=True, max_size=50), st.floats(0, 1e6), st.integers(1, 10**6)
)
def test_each_row_is_in_one_shard_whatever_the_order_of_the_rows(names: list[str], weight: float, most: int) -> None:
    keys = [candidate_key("s", name) for name in names]
    order, numbers = order_of_keys(keys)
    ranges = shard_ranges(numbers, weight, most)
    assert [row for a, b in ranges for row in range(a, b)] == list(range(len(keys)))
    backwards, _ = order_of_keys(keys[::-1])
    assert [keys[i] for i in order] == [keys[::-1][i] for i in backwards]
    if keys:
        assert all(b > a for a, b in ranges)


@pytest.mark.parametrize("needed", range(1, 300))
def test_the_count_of_shards_is_enough_and_at_most_a_quarter_too_many(needed: int) -> None:
    count = shard_count(needed * 10.0, 10)
    assert needed <= count < 1.25 * needed
    assert bin(count).count("1") <= 3
