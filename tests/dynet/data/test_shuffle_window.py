from collections import Counter

import numpy as np
import pytest

from dynet.data.shuffle_window import OPEN_GROUPS, STEPS_PER_GROUP, draw_row, next_group, open_groups


def test_a_small_set_is_always_open() -> None:
    for step in (0, 1, 10**6):
        assert open_groups(3, step, OPEN_GROUPS) == tuple(range(OPEN_GROUPS))
        assert next_group(3, step, OPEN_GROUPS) == ()


def test_one_group_closes_and_the_announced_one_opens() -> None:
    groups = 5 * OPEN_GROUPS
    for turn in range(2 * groups):
        before, after = (open_groups(1, step * STEPS_PER_GROUP, groups) for step in (turn, turn + 1))
        assert open_groups(1, (turn + 1) * STEPS_PER_GROUP - 1, groups) == before
        announced = set(next_group(1, turn * STEPS_PER_GROUP, groups))
        assert announced <= set(after) <= set(before) | announced
        assert before[0] not in after or turn % groups > groups - OPEN_GROUPS - 1
        assert OPEN_GROUPS * 0.7 < len(after) <= OPEN_GROUPS
        assert len(set(after)) == len(after)


def test_every_group_opens_once_in_each_pass() -> None:
    groups = 3 * OPEN_GROUPS + 1
    opened = [
        next_group(9, turn * STEPS_PER_GROUP, groups)[0] for turn in range(-OPEN_GROUPS, 3 * groups - OPEN_GROUPS)
    ]
    passes = [opened[at : at + groups] for at in range(0, len(opened), groups)]
    assert all(sorted(each) == list(range(groups)) for each in passes)
    assert passes[0] != passes[1] != passes[2]


def test_each_seed_has_its_own_order() -> None:
    assert open_groups(1, 0, 1000) != open_groups(2, 0, 1000)
    assert open_groups(1, 0, 1000) == open_groups(1, 0, 1000)


def test_open_rows_that_are_not_held_out_are_drawn_uniformly() -> None:
    rows = np.array([0, 1, 3, 4, 5, 8, 9, 12, 13, 14], np.int64)
    spans = np.array([[2, 5], [6, 8], [9, 14]], np.int64)  # the second holds none of the rows
    random = np.random.default_rng(5)
    counts = Counter(draw_row(rows, spans, random) for _ in range(10_000))
    assert set(counts) == {3, 4, 9, 12, 13}
    assert sum((count - 2000) ** 2 / 2000 for count in counts.values()) < 25


@pytest.mark.parametrize("spans", [None, np.array([[6, 8]], np.int64)])
def test_all_rows_are_drawn_without_spans_or_if_all_spans_are_held_out(spans: np.ndarray | None) -> None:
    rows, random = np.array([0, 5, 9], np.int64), np.random.default_rng(0)
    assert {draw_row(rows, spans, random) for _ in range(100)} == {0, 5, 9}
