"""Edits: applied in file order, never overlapping."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from million_ird.errors import ReadError
from million_ird.metadata.edits import (
    Edit,
    apply_edits,
    merge_ranges,
    ranges_overlap,
    remove_bytes,
    replace_bytes,
    zero_all_but,
    zero_bytes,
)

RANGES = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=8)


def covered(ranges: list[tuple[int, int]]) -> set[int]:
    return {n for a, b in ranges for n in range(a, b)}


@given(ranges=RANGES)
def test_merged_ranges_cover_the_same_bytes_and_have_gaps_between_them(ranges: list[tuple[int, int]]) -> None:
    union = merge_ranges(ranges, 50)
    assert covered(union) == covered(ranges) & set(range(50))
    assert all(a < b for a, b in union)
    assert all(before[1] < after[0] for before, after in itertools.pairwise(union))


@given(ranges=RANGES, others=RANGES)
def test_ranges_overlap_if_they_share_a_byte(ranges: list[tuple[int, int]], others: list[tuple[int, int]]) -> None:
    assert ranges_overlap(ranges, merge_ranges(others, 60)) == bool(covered(ranges) & covered(others))


@given(ranges=RANGES)
def test_all_but_the_kept_bytes_become_zeros_and_the_end_is_removed(ranges: list[tuple[int, int]]) -> None:
    encoded = bytes(range(1, 51))
    kept = covered(ranges) & set(range(50))
    expected = bytes(byte if n in kept else 0 for n, byte in enumerate(encoded))
    assert apply_edits(encoded, zero_all_but(encoded, ranges, "x")) == expected[: max(kept, default=-1) + 1]


def test_edits_are_applied_in_the_order_of_the_file() -> None:
    encoded = b"0123456789"
    edits = [*replace_bytes(encoded, 8, 9, b"new", "x"), *remove_bytes(1, 3, "x"), *zero_bytes(encoded, 4, 6, "x")]
    assert apply_edits(encoded, edits) == b"03\0\00067new9"


def test_an_edit_that_changes_nothing_is_not_made() -> None:
    assert replace_bytes(b"abc", 0, 1, b"a", "x") == zero_bytes(b"\0\0", 0, 2, "x") == remove_bytes(2, 2, "x") == []


def test_overlapping_edits_are_refused() -> None:
    with pytest.raises(ReadError, match="not_strippable: two parts"):
        apply_edits(b"abcdef", [Edit(0, 3, b"", "x"), Edit(2, 4, b"", "x")])
