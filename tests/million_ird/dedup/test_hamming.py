"""The hash index against brute force, however it is cut up and wherever it runs."""

import itertools
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit
from numpy.typing import NDArray

from million_ird.dedup.hamming import pairs as near
from million_ird.dedup.hamming.pairs import pairs_between, pairs_within
from million_ird.dedup.hamming.plan import Plan, Sizes, candidates, choose, differences
from million_ird.errors import BuildError
from million_ird.measures.signature import phash
from million_ird.runtime.executor import Engine

Pairs = NDArray[np.int64]
Hashes = NDArray[np.uint64]
FARTHEST = 12
HASHES = st.integers(0, 2**64 - 1)


@st.composite
def crowded(draw: st.DrawFn) -> list[int]:
    """Hashes of which many are near or equal to each other."""
    seeds = draw(st.lists(HASHES, min_size=1, max_size=4))
    flips = st.lists(st.integers(0, 63), max_size=8, unique=True)
    hashes = []
    for seed, bits in draw(st.lists(st.tuples(st.sampled_from(seeds), flips), max_size=30)):
        for bit in bits:
            seed ^= 1 << bit
        hashes.append(seed)
    return hashes


def components(count: int, pairs: list[tuple[int, int]]) -> list[int]:
    """The least member of each position's component, without any library."""
    parent = list(range(count))

    def root(i: int) -> int:
        while parent[i] != i:
            i = parent[i]
        return i

    for a, b in pairs:
        low, high = sorted((root(a), root(b)))
        parent[high] = low
    return [root(i) for i in range(count)]


@settings(max_examples=200)
@given(hashes=crowded(), radius=st.integers(0, 16))
def test_pairs_connect_what_brute_force_connects_and_nothing_else(hashes: list[int], radius: int) -> None:
    found = pairs_within(np.array(hashes, np.uint64), radius)
    brute = [
        (i, j)
        for i, j in itertools.combinations(range(len(hashes)), 2)
        if (hashes[i] ^ hashes[j]).bit_count() <= radius
    ]
    pairs = [(int(a), int(b)) for a, b in found]
    assert set(pairs) <= set(brute)
    assert components(len(hashes), pairs) == components(len(hashes), brute)
    assert pairs == sorted(set(pairs))
    assert found.dtype == np.int64
    assert found.shape == (len(pairs), 2)


def test_distinct_hashes_give_every_pair() -> None:
    hashes = np.random.default_rng(0).integers(0, 2**64, 300, np.uint64)
    hashes[100:200] = hashes[:100] ^ np.uint64(0b1011)
    found = {(int(a), int(b)) for a, b in pairs_within(hashes, 4)}
    assert found == {(i, i + 100) for i in range(100)}


@pytest.mark.parametrize("radius", [0, 4, 16])
def test_a_popular_hash_is_a_chain_not_a_square(radius: int) -> None:
    hashes = np.full(200_000, 0x8000000000000000, np.uint64)
    assert len(pairs_within(hashes, radius)) == len(hashes) - 1


def test_no_hashes_and_one_hash_make_no_pairs() -> None:
    assert pairs_within(np.array([], np.uint64), 4).shape == (0, 2)
    assert pairs_within(np.array([7], np.uint64), 4).shape == (0, 2)


@njit(nogil=True)
def _near_pairs(hashes: Any, radius: int, found: Any) -> int:
    """Every pair (i, j, distance) within the radius, by looking at all of them; bits are counted without any index."""
    count = 0
    for i in range(len(hashes)):
        for j in range(i + 1, len(hashes)):
            bits = hashes[i] ^ hashes[j]
            bits -= (bits >> np.uint64(1)) & np.uint64(0x5555555555555555)
            bits = (bits & np.uint64(0x3333333333333333)) + ((bits >> np.uint64(2)) & np.uint64(0x3333333333333333))
            bits = (bits + (bits >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
            distance = (bits * np.uint64(0x0101010101010101)) >> np.uint64(56)
            if distance <= np.uint64(radius):
                if count < len(found):
                    found[count, 0], found[count, 1], found[count, 2] = i, j, np.int64(distance)
                count += 1
    return count


def brute_force(hashes: Hashes, room: int) -> Pairs:
    """(m, 3) int64: i, j and their distance, up to FARTHEST, sorted."""
    found = np.empty((room, 3), np.int64)
    count = int(_near_pairs(hashes, FARTHEST, found))
    assert count <= room
    return found[:count]


def flipped(hashes: Hashes, most: int, random: np.random.Generator) -> Hashes:
    """Copies in which 0 to `most` bits differ."""
    order = np.argsort(random.random((len(hashes), 64)), axis=1).astype(np.uint64)
    masks = np.uint64(1) << order
    masks[np.arange(64) >= random.integers(0, most + 1, len(hashes))[:, None]] = 0
    return np.asarray(hashes ^ np.bitwise_or.reduce(masks, axis=1))


def even(count: int) -> Hashes:
    """Random hashes, and copies of a tenth of them."""
    random = np.random.default_rng(1)
    hashes = random.integers(0, 2**64, count - count // 10, np.uint64)
    return np.concatenate([hashes, flipped(hashes[: count // 10], 14, random)])


def skewed(count: int, photographs: Path) -> Hashes:
    """What sets of real pictures do: bits as those of real hashes, swarms around some, many alike in 40 of 64 bits."""
    random = np.random.default_rng(2)
    real = _real(photographs)
    bits = (real[:, None] >> np.arange(64, dtype=np.uint64)) & np.uint64(1)
    biased = random.random((count - count // 4, 64)) < np.clip(3 * bits.mean(axis=0) - 1, 0.02, 0.98)
    lone = np.bitwise_or.reduce(biased.astype(np.uint64) << np.arange(64, dtype=np.uint64), axis=1)
    swarms = flipped(random.choice(real, count // 8), 16, random)
    alike = np.uint64(0x0F0F_0000_00FF_FF00)  # 24 bits that differ, 40 that do not
    dense = (random.integers(0, 2**64, count // 20, np.uint64) & alike) | (real[0] & ~alike)
    copies = flipped(random.choice(lone, count // 4 - len(swarms) - len(dense)), 14, random)
    return random.permutation(np.concatenate([lone, swarms, dense, copies]))


@cache
def _real(photographs: Path) -> Hashes:
    files = sorted(path for path in photographs.rglob("*") if path.suffix.lower() in {".jpg", ".png"})[:300]
    pictures = [cv2.imread(str(path), cv2.IMREAD_COLOR_RGB) for path in files]
    return np.array([phash(picture.astype(np.uint8)) for picture in pictures if picture is not None], np.uint64)


def assert_equal_at_every_radius(hashes: Hashes, room: int) -> None:
    distinct = np.sort(np.unique(hashes, return_index=True)[1])
    expected = brute_force(hashes[distinct], room)
    chain = pairs_within(hashes, 0)
    assert len(chain) == len(hashes) - len(distinct)
    for radius in range(FARTHEST + 1):
        near_enough = distinct[expected[expected[:, 2] <= radius, :2]]
        both = np.concatenate([chain, near_enough])
        both = both[np.lexsort((both[:, 1], both[:, 0]))]
        assert np.array_equal(pairs_within(hashes, radius), both), radius


def test_random_hashes_give_the_pairs_of_brute_force_at_every_radius() -> None:
    assert_equal_at_every_radius(even(30_000), 1 << 20)


def test_skewed_hashes_give_the_pairs_of_brute_force_at_every_radius(shared_data: Path) -> None:
    assert_equal_at_every_radius(skewed(30_000, shared_data / "train"), 1 << 24)


@pytest.mark.full
def test_100_000_random_hashes_give_the_pairs_of_brute_force_at_every_radius() -> None:
    assert_equal_at_every_radius(even(100_000), 1 << 20)


@pytest.mark.full
def test_100_000_skewed_hashes_give_the_pairs_of_brute_force_at_every_radius(shared_data: Path) -> None:
    assert_equal_at_every_radius(skewed(100_000, shared_data / "train"), 1 << 26)


def any_plan(draw: st.DrawFn, chosen: list[Plan]) -> Callable[..., Plan]:
    """In place of `choose`: any candidate with bands that are not too wide to be tried often."""

    def any_of(sample: Hashes, radius: int, sizes: Sizes) -> Plan:
        plans = [plan for plan in candidates(sample, radius, sizes) if max(b.bits for b in plan.bands) <= 12]
        chosen.append(draw(st.sampled_from([plan for plan in plans if sum(len(b.flips) for b in plan.bands) < 3000])))
        return chosen[-1]

    return any_of


@settings(max_examples=60)
@given(data=st.data(), hashes=crowded(), others=crowded(), radius=st.integers(0, 16))
def test_every_plan_and_every_share_leads_to_the_same_pairs(
    data: st.DataObject, hashes: list[int], others: list[int], radius: int
) -> None:
    left, right = np.array(hashes, np.uint64), np.array(others, np.uint64)
    within, between = pairs_within(left, radius), pairs_between(left, right, radius)
    chosen: list[Plan] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(near, "choose", any_plan(data.draw, chosen))
        patch.setattr(near, "SMALLEST_SHARE", data.draw(st.sampled_from([1, 5, 1000])))
        patch.setattr(near, "STREAMED", data.draw(st.sampled_from([1, 5, 1000])))
        assert np.array_equal(pairs_within(left, radius, memory=1 << 14), within)
        assert np.array_equal(pairs_between(left, right, radius, memory=1 << 16), between)
    assert chosen


@settings(max_examples=100)
@given(queries=crowded(), index=crowded(), shared=crowded(), radius=st.integers(0, 16))
def test_pairs_between_are_those_of_brute_force_by_first_positions(
    queries: list[int], index: list[int], shared: list[int], radius: int
) -> None:
    left, right = queries + shared, shared[::-1] + index
    found = pairs_between(np.array(left, np.uint64), np.array(right, np.uint64), radius)
    brute = {
        (left.index(a), right.index(b)) for a, b in itertools.product(left, right) if (a ^ b).bit_count() <= radius
    }
    assert [(int(i), int(j)) for i, j in found] == sorted(brute)
    assert found.dtype == np.int64
    assert found.shape == (len(brute), 2)


def test_pairs_between_large_sides_are_those_of_brute_force_either_way_round() -> None:
    hashes, random = even(30_000), np.random.default_rng(3)
    queries = np.concatenate([flipped(hashes[:1000], 10, random), hashes[5000:5010], hashes[5000:5010]])
    index = np.concatenate([hashes, hashes[:500]])
    (asked, i), (there, j) = np.unique(queries, return_index=True), np.unique(index, return_index=True)
    lists = [np.flatnonzero(np.bitwise_count(there ^ query) <= 8) for query in asked]
    brute = {(int(i[k]), int(j[near_one])) for k, near_ones in enumerate(lists) for near_one in near_ones}
    assert len(brute) > 500
    assert {(int(i), int(j)) for i, j in pairs_between(queries, index, 8)} == brute
    assert {(int(i), int(j)) for j, i in pairs_between(index, queries, 8)} == brute


@pytest.mark.parametrize("radius", [0, 3, 8, 12, 16, 63])
def test_no_pair_within_the_radius_can_miss_every_band(radius: int) -> None:
    random = np.random.default_rng(0)
    sample = differences(random.integers(0, 2**64, 300, np.uint64) & np.uint64(0xFFFF_0F0F_FFFF_00FF))
    sizes = Sizes(5_000_000, 5_000_000, 1, same=True)
    for plan in [*candidates(sample, radius, sizes), choose(sample, radius, sizes)]:
        assert sum(band.limit + 1 for band in plan.bands) == radius + 1
        assert sorted(plan.order) == list(range(64))
        covered = [bit for band in plan.bands for bit in range(band.shift, band.shift + band.bits)]
        assert len(covered) == len(set(covered))
        assert set(covered) <= set(range(64))


def test_a_million_hashes_are_not_all_compared() -> None:
    plan = choose(differences(even(5000)), 8, Sizes(1_000_000, 1_000_000, 1, same=True))
    assert len(plan.bands) > 1
    assert sum(plan.seconds) < 5


def test_with_little_memory_and_a_scratch_folder_the_pairs_are_the_same_and_nothing_stays(tmp_path: Path) -> None:
    hashes = np.concatenate([even(100_000), even(3000)])
    most, seen = 0, 0

    def watched(function: Callable[[Any], Any], units: list[Any]) -> Iterator[Any]:
        nonlocal most, seen
        for unit in units:
            yield function(unit)
            most = max([most, *(path.stat().st_size for path in tmp_path.rglob("values-*.npy"))])
            seen += 1

    found = pairs_within(hashes, 8, memory=1 << 20, scratch=tmp_path, run=watched)
    assert np.array_equal(found, pairs_within(hashes, 8))
    assert seen > 20
    assert most < len(hashes) * 8 / 3  # in shares, not in one
    assert list(tmp_path.iterdir()) == []
    between = pairs_between(hashes[:2000], hashes, 8, memory=1 << 21, scratch=tmp_path)
    assert np.array_equal(between, pairs_between(hashes[:2000], hashes, 8))
    assert list(tmp_path.iterdir()) == []


def test_after_an_exception_nothing_stays_in_the_scratch_folder(tmp_path: Path) -> None:
    def broken(function: Callable[[Any], Any], units: list[Any]) -> Iterator[Any]:
        yield function(units[0])
        assert list(tmp_path.iterdir())
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="the disk is full"):
        pairs_within(even(5000), 8, scratch=tmp_path, run=broken)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("radius", [16, 40])
def test_more_pairs_than_the_memory_holds_are_an_error_not_a_full_disk(tmp_path: Path, radius: int) -> None:
    alike = np.random.default_rng(0).integers(0, 2**16, 40_000, np.uint64)
    with pytest.raises(BuildError, match=rf"more than .* within {radius} bits .* do not fit into 0.1 GB"):
        pairs_within(alike, radius, memory=1 << 26, scratch=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_workers_without_a_folder_that_they_share_are_refused() -> None:
    with pytest.raises(ValueError, match="scratch folder"):
        pairs_within(even(10), 4, run=lambda function, units: map(function, units))


def test_two_dask_workers_find_what_one_process_finds(tmp_path: Path) -> None:
    hashes = even(200_000)
    with Engine(workers=2) as engine:

        def run(function: Callable[[Any], Any], units: list[Any]) -> Iterable[Any]:
            return engine.run(function, units)

        within = pairs_within(hashes, 8, memory=1 << 22, scratch=tmp_path, run=run)
        between = pairs_between(hashes[-5000:], hashes, 8, memory=1 << 22, scratch=tmp_path, run=run)
    assert np.array_equal(within, pairs_within(hashes, 8))
    assert np.array_equal(between, pairs_between(hashes[-5000:], hashes, 8))
    assert list(tmp_path.iterdir()) == []
