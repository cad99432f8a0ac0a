"""The hash search compared with brute force, for any partitioning and wherever it runs."""

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
from million_ird.dedup.hamming.plan import BandPlan, SearchSizes, candidate_plans, choose_plan, sample_differences
from million_ird.errors import BuildError
from million_ird.measures.signature import phash
from million_ird.runtime.executor import Executor

Pairs = NDArray[np.int64]
Hashes = NDArray[np.uint64]
MAX_RADIUS = 12
HASHES = st.integers(0, 2**64 - 1)


@st.composite
def crowded(draw: st.DrawFn) -> list[int]:
    """Draw hashes of which many are near or equal to each other."""
    seeds = draw(st.lists(HASHES, min_size=1, max_size=4))
    flips = st.lists(st.integers(0, 63), max_size=8, unique=True)
    hashes = []
    for seed, bits in draw(st.lists(st.tuples(st.sampled_from(seeds), flips), max_size=30)):
        for bit in bits:
            seed ^= 1 << bit
        hashes.append(seed)
    return hashes


def component_labels(count: int, pairs: list[tuple[int, int]]) -> list[int]:
    """Return the smallest member of each position's component, without any library."""
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
    assert component_labels(len(hashes), pairs) == component_labels(len(hashes), brute)
    assert pairs == sorted(set(pairs))
    assert found.dtype == np.int64
    assert found.shape == (len(pairs), 2)


def test_distinct_hashes_give_every_pair() -> None:
    hashes = np.random.default_rng(0).integers(0, 2**64, 300, np.uint64)
    hashes[100:200] = hashes[:100] ^ np.uint64(0b1011)
    found = {(int(a), int(b)) for a, b in pairs_within(hashes, 4)}
    assert found == {(i, i + 100) for i in range(100)}


@pytest.mark.parametrize("radius", [0, 4, 16])
def test_identical_hashes_give_a_chain_of_pairs(radius: int) -> None:
    hashes = np.full(200_000, 0x8000000000000000, np.uint64)
    assert len(pairs_within(hashes, radius)) == len(hashes) - 1


def test_no_hashes_and_one_hash_make_no_pairs() -> None:
    assert pairs_within(np.array([], np.uint64), 4).shape == (0, 2)
    assert pairs_within(np.array([7], np.uint64), 4).shape == (0, 2)


@njit(nogil=True)
def _near_pairs(hashes: Any, radius: int, found: Any) -> int:
    """Write every pair (i, j, distance) within the radius, by comparing all pairs; return how many there are."""
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
    """Return (m, 3) int64: i, j and their distance, up to MAX_RADIUS, sorted."""
    found = np.empty((room, 3), np.int64)
    count = int(_near_pairs(hashes, MAX_RADIUS, found))
    assert count <= room
    return found[:count]


def flipped(hashes: Hashes, max_bits: int, random: np.random.Generator) -> Hashes:
    """Return copies in which 0 to `max_bits` bits differ."""
    order = np.argsort(random.random((len(hashes), 64)), axis=1).astype(np.uint64)
    masks = np.uint64(1) << order
    masks[np.arange(64) >= random.integers(0, max_bits + 1, len(hashes))[:, None]] = 0
    return np.asarray(hashes ^ np.bitwise_or.reduce(masks, axis=1))


def even(count: int) -> Hashes:
    """Return random hashes, and copies of a tenth of them."""
    random = np.random.default_rng(1)
    hashes = random.integers(0, 2**64, count - count // 10, np.uint64)
    return np.concatenate([hashes, flipped(hashes[: count // 10], 14, random)])


def skewed(count: int, photographs: Path) -> Hashes:
    """Return hashes like those of photographs: biased bits, clusters, and many that are equal in 40 of 64 bits."""
    random = np.random.default_rng(2)
    real = _real(photographs)
    bits = (real[:, None] >> np.arange(64, dtype=np.uint64)) & np.uint64(1)
    biased = random.random((count - count // 4, 64)) < np.clip(3 * bits.mean(axis=0) - 1, 0.02, 0.98)
    lone = np.bitwise_or.reduce(biased.astype(np.uint64) << np.arange(64, dtype=np.uint64), axis=1)
    clusters = flipped(random.choice(real, count // 8), 16, random)
    alike = np.uint64(0x0F0F_0000_00FF_FF00)  # 24 bits that may differ, 40 that may not
    dense = (random.integers(0, 2**64, count // 20, np.uint64) & alike) | (real[0] & ~alike)
    copies = flipped(random.choice(lone, count // 4 - len(clusters) - len(dense)), 14, random)
    return random.permutation(np.concatenate([lone, clusters, dense, copies]))


@cache
def _real(photographs: Path) -> Hashes:
    files = sorted(path for path in photographs.rglob("*") if path.suffix.lower() in {".jpg", ".png"})[:300]
    images = [cv2.imread(str(path), cv2.IMREAD_COLOR_RGB) for path in files]
    return np.array([phash(image.astype(np.uint8)) for image in images if image is not None], np.uint64)


def assert_equal_at_every_radius(hashes: Hashes, room: int) -> None:
    distinct = np.sort(np.unique(hashes, return_index=True)[1])
    expected = brute_force(hashes[distinct], room)
    chain = pairs_within(hashes, 0)
    assert len(chain) == len(hashes) - len(distinct)
    for radius in range(MAX_RADIUS + 1):
        near_pairs = distinct[expected[expected[:, 2] <= radius, :2]]
        all_pairs = np.concatenate([chain, near_pairs])
        all_pairs = all_pairs[np.lexsort((all_pairs[:, 1], all_pairs[:, 0]))]
        assert np.array_equal(pairs_within(hashes, radius), all_pairs), radius


def test_random_hashes_give_the_pairs_of_brute_force_at_every_radius() -> None:
    assert_equal_at_every_radius(even(30_000), 1 << 20)


@pytest.mark.full
def test_skewed_hashes_give_the_pairs_of_brute_force_at_every_radius(shared_data: Path) -> None:
    assert_equal_at_every_radius(skewed(30_000, shared_data / "train"), 1 << 24)


@pytest.mark.full
def test_100_000_random_hashes_give_the_pairs_of_brute_force_at_every_radius() -> None:
    assert_equal_at_every_radius(even(100_000), 1 << 20)


@pytest.mark.full
def test_100_000_skewed_hashes_give_the_pairs_of_brute_force_at_every_radius(shared_data: Path) -> None:
    assert_equal_at_every_radius(skewed(100_000, shared_data / "train"), 1 << 26)


def any_plan(draw: st.DrawFn, chosen: list[BandPlan]) -> Callable[..., BandPlan]:
    """Replace `choose_plan`: draw any candidate whose bands are narrow enough for many examples."""

    def any_of(sample: Hashes, radius: int, sizes: SearchSizes) -> BandPlan:
        plans = [plan for plan in candidate_plans(sample, radius, sizes) if max(b.bits for b in plan.bands) <= 12]
        chosen.append(draw(st.sampled_from([plan for plan in plans if sum(len(b.flips) for b in plan.bands) < 3000])))
        return chosen[-1]

    return any_of


@pytest.mark.full
@settings(max_examples=60)
@given(data=st.data(), hashes=crowded(), others=crowded(), radius=st.integers(0, 16))
def test_every_plan_and_every_partitioning_gives_the_same_pairs(
    data: st.DataObject, hashes: list[int], others: list[int], radius: int
) -> None:
    left, right = np.array(hashes, np.uint64), np.array(others, np.uint64)
    within, between = pairs_within(left, radius), pairs_between(left, right, radius)
    chosen: list[BandPlan] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(near, "choose_plan", any_plan(data.draw, chosen))
        patch.setattr(near, "MIN_PARTITION", data.draw(st.sampled_from([1, 5, 1000])))
        patch.setattr(near, "STREAM_BLOCK", data.draw(st.sampled_from([1, 5, 1000])))
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
    (distinct_queries, i), (distinct_index, j) = (
        np.unique(queries, return_index=True),
        np.unique(index, return_index=True),
    )
    lists = [np.flatnonzero(np.bitwise_count(distinct_index ^ query) <= 8) for query in distinct_queries]
    brute = {(int(i[k]), int(j[near_one])) for k, near_ones in enumerate(lists) for near_one in near_ones}
    assert len(brute) > 500
    assert {(int(i), int(j)) for i, j in pairs_between(queries, index, 8)} == brute
    assert {(int(i), int(j)) for j, i in pairs_between(index, queries, 8)} == brute


@pytest.mark.parametrize("radius", [0, 3, 8, 12, 16, 63])
def test_no_pair_within_the_radius_can_miss_every_band(radius: int) -> None:
    random = np.random.default_rng(0)
    sample = sample_differences(random.integers(0, 2**64, 300, np.uint64) & np.uint64(0xFFFF_0F0F_FFFF_00FF))
    sizes = SearchSizes(5_000_000, 5_000_000, 1, same=True)
    for plan in [*candidate_plans(sample, radius, sizes), choose_plan(sample, radius, sizes)]:
        assert sum(band.limit + 1 for band in plan.bands) == radius + 1
        assert sorted(plan.order) == list(range(64))
        covered = [bit for band in plan.bands for bit in range(band.shift, band.shift + band.bits)]
        assert len(covered) == len(set(covered))
        assert set(covered) <= set(range(64))


def test_a_million_hashes_are_not_all_compared() -> None:
    plan = choose_plan(sample_differences(even(5000)), 8, SearchSizes(1_000_000, 1_000_000, 1, same=True))
    assert len(plan.bands) > 1
    assert sum(plan.seconds) < 5


def test_little_memory_and_a_scratch_folder_give_the_same_pairs_and_leave_no_files(tmp_path: Path) -> None:
    hashes = np.concatenate([even(100_000), even(3000)])
    largest, tasks_run = 0, 0

    def watched(function: Callable[[Any], Any], tasks: list[Any]) -> Iterator[Any]:
        nonlocal largest, tasks_run
        for task in tasks:
            yield function(task)
            largest = max([largest, *(path.stat().st_size for path in tmp_path.rglob("values-*.npy"))])
            tasks_run += 1

    found = pairs_within(hashes, 8, memory=1 << 20, scratch=tmp_path, run=watched)
    assert np.array_equal(found, pairs_within(hashes, 8))
    assert tasks_run > 20
    assert largest < len(hashes) * 8 / 3  # several partitions
    assert list(tmp_path.iterdir()) == []
    between = pairs_between(hashes[:2000], hashes, 8, memory=1 << 21, scratch=tmp_path)
    assert np.array_equal(between, pairs_between(hashes[:2000], hashes, 8))
    assert list(tmp_path.iterdir()) == []


def test_an_exception_leaves_no_files_in_the_scratch_folder(tmp_path: Path) -> None:
    def broken(function: Callable[[Any], Any], tasks: list[Any]) -> Iterator[Any]:
        yield function(tasks[0])
        assert list(tmp_path.iterdir())
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="the disk is full"):
        pairs_within(even(5000), 8, scratch=tmp_path, run=broken)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("radius", [16, 40])
def test_more_pairs_than_fit_into_memory_are_an_error(tmp_path: Path, radius: int) -> None:
    alike = np.random.default_rng(0).integers(0, 2**16, 40_000, np.uint64)
    with pytest.raises(BuildError, match=rf"more than .* within {radius} bits .* do not fit into 0.1 GB"):
        pairs_within(alike, radius, memory=1 << 26, scratch=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_workers_without_a_scratch_folder_are_refused() -> None:
    with pytest.raises(ValueError, match="scratch folder"):
        pairs_within(even(10), 4, run=lambda function, tasks: map(function, tasks))


@pytest.mark.full
def test_two_dask_workers_find_what_one_process_finds(tmp_path: Path) -> None:
    hashes = even(200_000)
    with Executor(workers=2) as executor:

        def run(function: Callable[[Any], Any], tasks: list[Any]) -> Iterable[Any]:
            return executor.run(function, tasks)

        within = pairs_within(hashes, 8, memory=1 << 22, scratch=tmp_path, run=run)
        between = pairs_between(hashes[-5000:], hashes, 8, memory=1 << 22, scratch=tmp_path, run=run)
    assert np.array_equal(within, pairs_within(hashes, 8))
    assert np.array_equal(between, pairs_between(hashes[-5000:], hashes, 8))
    assert list(tmp_path.iterdir()) == []
