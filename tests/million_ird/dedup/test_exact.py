"""Copies by name."""

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from million_ird.dedup.exact import best_of_same


@given(st.lists(st.tuples(st.sampled_from(["a", "b", "c", None]), st.integers(0, 99)), max_size=12))
def test_the_best_of_those_with_one_name_stays_and_nameless_ones_stay_alone(rows: list[tuple[str | None, int]]) -> None:
    order = sorted(range(len(rows)), key=lambda i: (rows[i][1], i))
    rank = np.array([order.index(i) for i in range(len(rows))], np.int64)
    best = best_of_same(pa.array([name for name, _ in rows], pa.string()), rank).tolist()
    for i, (name, _) in enumerate(rows):
        same = [i] if name is None else [j for j, (other, _) in enumerate(rows) if other == name]
        assert best[i] == min(same, key=lambda j: rank[j])
