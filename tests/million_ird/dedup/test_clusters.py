"""Groups of duplicates and their representatives, compared with results computed without any library."""

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from million_ird.dedup.clusters import (
    best_with_same_label,
    choose_representatives,
    component_labels,
    labels_of,
    rank_rows,
)

PAIRS = st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11)).filter(lambda pair: pair[0] != pair[1]), max_size=20)


def smallest_members(count: int, pairs: list[tuple[int, int]]) -> list[int]:
    """Return the smallest member of each position's component."""
    label = list(range(count))
    for _ in range(count):
        for a, b in pairs:
            label[a] = label[b] = min(label[a], label[b])
    return label


def as_pairs(pairs: list[tuple[int, int]]) -> np.ndarray:
    return np.array(pairs, np.int64).reshape(-1, 2)


@given(pairs=PAIRS)
def test_a_component_is_labelled_by_its_smallest_member(pairs: list[tuple[int, int]]) -> None:
    assert component_labels(as_pairs(pairs), 12).tolist() == smallest_members(12, pairs)


@given(pairs=PAIRS, rank=st.permutations(range(12)))
def test_kept_members_are_not_copies_and_each_dropped_member_is_a_copy_of_a_better_one(
    pairs: list[tuple[int, int]], rank: list[int]
) -> None:
    known = {frozenset(pair) for pair in pairs}
    representative = choose_representatives(as_pairs(pairs), np.array(rank), lambda a, b: False).tolist()
    kept = [i for i in range(12) if representative[i] == i]
    assert not any(frozenset((a, b)) in known for a in kept for b in kept if a != b)
    for dropped in set(range(12)) - set(kept):
        assert frozenset((dropped, representative[dropped])) in known
        assert rank[representative[dropped]] < rank[dropped]
        assert representative[representative[dropped]] == representative[dropped]


def test_both_ends_of_a_chain_are_kept_if_they_differ() -> None:
    chain = as_pairs([(0, 1), (1, 2)])
    assert choose_representatives(chain, np.array([0, 1, 2]), lambda a, b: False).tolist() == [0, 0, 2]
    assert choose_representatives(chain, np.array([0, 1, 2]), lambda a, b: True).tolist() == [0, 0, 0]
    assert choose_representatives(chain, np.array([1, 0, 2]), lambda a, b: False).tolist() == [1, 1, 1]


def test_is_copy_is_called_only_for_unknown_pairs() -> None:
    calls: list[tuple[int, int]] = []

    def is_copy(a: int, b: int) -> bool:
        calls.append((a, b))
        return True

    choose_representatives(as_pairs([(0, 1), (1, 2)]), np.array([0, 1, 2]), is_copy)
    assert calls == [(0, 2)]


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=12))
def test_ranks_follow_the_columns_in_order_then_the_rows(rows: list[tuple[int, int]]) -> None:
    columns = np.array(rows, np.float64).reshape(-1, 2)
    rank = rank_rows(columns[:, 0], columns[:, 1]).tolist()
    expected = sorted(range(len(rows)), key=lambda i: (-rows[i][0], -rows[i][1], i))
    assert [rank.index(number) for number in range(len(rows))] == expected


@given(st.lists(st.tuples(st.sampled_from(["a", "b", "c", None]), st.integers(0, 99)), max_size=12))
def test_the_best_of_equal_values_is_chosen_and_nulls_equal_nothing(rows: list[tuple[str | None, int]]) -> None:
    order = sorted(range(len(rows)), key=lambda i: (rows[i][1], i))
    rank = np.array([order.index(i) for i in range(len(rows))], np.int64)
    best = best_with_same_label(labels_of(pa.array([value for value, _ in rows], pa.string())), rank).tolist()
    for i, (value, _) in enumerate(rows):
        same = [i] if value is None else [j for j, (other, _) in enumerate(rows) if other == value]
        assert best[i] == min(same, key=lambda j: rank[j])
