"""Clusters against an answer worked out without any library, and chains."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from million_ird.dedup.clusters import components, ranked, settle

PAIRS = st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11)).filter(lambda pair: pair[0] != pair[1]), max_size=20)


def least_members(count: int, pairs: list[tuple[int, int]]) -> list[int]:
    """The least member of each position's component."""
    label = list(range(count))
    for _ in range(count):
        for a, b in pairs:
            label[a] = label[b] = min(label[a], label[b])
    return label


def as_pairs(pairs: list[tuple[int, int]]) -> np.ndarray:
    return np.array(pairs, np.int64).reshape(-1, 2)


@given(pairs=PAIRS)
def test_a_component_is_named_by_its_least_member(pairs: list[tuple[int, int]]) -> None:
    assert components(as_pairs(pairs), 12).tolist() == least_members(12, pairs)


@given(pairs=PAIRS, rank=st.permutations(range(12)))
def test_what_stays_is_no_copy_of_what_stays_and_what_falls_is_a_copy_of_something_better(
    pairs: list[tuple[int, int]], rank: list[int]
) -> None:
    known = {frozenset(pair) for pair in pairs}
    stays = settle(as_pairs(pairs), np.array(rank), lambda a, b: False).tolist()
    kept = [i for i in range(12) if stays[i] == i]
    assert not any(frozenset((a, b)) in known for a in kept for b in kept if a != b)
    for fallen in set(range(12)) - set(kept):
        assert frozenset((fallen, stays[fallen])) in known
        assert rank[stays[fallen]] < rank[fallen]
        assert stays[stays[fallen]] == stays[fallen]


def test_of_a_chain_whose_ends_differ_both_ends_stay() -> None:
    chain = as_pairs([(0, 1), (1, 2)])
    assert settle(chain, np.array([0, 1, 2]), lambda a, b: False).tolist() == [0, 0, 2]
    assert settle(chain, np.array([0, 1, 2]), lambda a, b: True).tolist() == [0, 0, 0]
    assert settle(chain, np.array([1, 0, 2]), lambda a, b: False).tolist() == [1, 1, 1]


def test_only_pairs_that_are_not_known_are_asked_for() -> None:
    asked: list[tuple[int, int]] = []

    def is_copy(a: int, b: int) -> bool:
        asked.append((a, b))
        return True

    settle(as_pairs([(0, 1), (1, 2)]), np.array([0, 1, 2]), is_copy)
    assert asked == [(0, 2)]


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=12))
def test_ranks_follow_the_columns_in_turn_and_then_the_rows(rows: list[tuple[int, int]]) -> None:
    columns = np.array(rows, np.float64).reshape(-1, 2)
    rank = ranked(columns[:, 0], columns[:, 1]).tolist()
    expected = sorted(range(len(rows)), key=lambda i: (-rows[i][0], -rows[i][1], i))
    assert [rank.index(place) for place in range(len(rows))] == expected
