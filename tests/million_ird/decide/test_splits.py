"""Splits of generated groups."""

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from million_ird.decide.splits import assign_splits


@settings(max_examples=40)
@given(
    groups=st.lists(st.integers(0, 199), min_size=200, max_size=200),
    kept=st.lists(st.booleans(), min_size=200, max_size=200),
    order=st.permutations(range(200)),
)
def test_groups_stay_together_for_any_order_of_the_rows(groups: list[int], kept: list[bool], order: list[int]) -> None:
    roots = np.array([min(i, other) for i, other in enumerate(groups)])
    while not np.array_equal(roots, roots[roots]):
        roots = roots[roots]
    keys = [f"{i:032x}" for i in range(200)]
    split_of = assign_splits(pa.chunked_array([keys]), roots, np.array(kept), 0.3).to_pylist()
    for root in set(roots.tolist()):
        assert len({split_of[i] for i in range(200) if roots[i] == root and kept[i]}) <= 1
    assert [split is not None for split in split_of] == kept
    position = {row: number for number, row in enumerate(order)}
    moved = np.array([position[int(roots[row])] for row in order])
    again = assign_splits(
        pa.chunked_array([[keys[row] for row in order]]), moved, np.array(kept)[order], 0.3
    ).to_pylist()
    assert [again[position[row]] for row in range(200)] == split_of


def test_about_the_requested_share_is_held_out() -> None:
    keys = pa.chunked_array([[f"{i:032x}" for i in range(20_000)]])
    split_of = assign_splits(keys, np.arange(20_000), np.ones(20_000, bool), 0.1).to_pylist()
    assert 1800 < split_of.count("validation") < 2200
    assert set(assign_splits(keys, np.arange(20_000), np.ones(20_000, bool), 0.0).to_pylist()) == {"train"}
