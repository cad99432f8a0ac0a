"""The hash index against brute force."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from million_ird.decide.clusters import best_of_each
from million_ird.decide.exact import first_of_same
from million_ird.decide.near import pairs_within, parse

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


def test_hashes_are_read_as_unsigned() -> None:
    assert parse(["ffffffffffffffff", "0000000000000001"]).tolist() == [2**64 - 1, 1]
    assert parse([]).dtype == np.uint64


@given(hashes=crowded(), sizes=st.data())
def test_the_largest_of_each_cluster_stays(hashes: list[int], sizes: st.DataObject) -> None:
    count = len(hashes)
    pixels = np.array(sizes.draw(st.lists(st.integers(1, 3), min_size=count, max_size=count)), np.int64)
    size = np.array(sizes.draw(st.lists(st.integers(1, 3), min_size=count, max_size=count)), np.int64)
    pairs = pairs_within(np.array(hashes, np.uint64), 3)
    best = best_of_each(pairs, pixels, size)
    cluster = components(count, [(int(a), int(b)) for a, b in pairs])
    for i in range(count):
        members = [j for j in range(count) if cluster[j] == cluster[i]]
        assert best[i] == min(members, key=lambda j: (-pixels[j], -size[j], j))


@given(st.lists(st.sampled_from("abcd")))
def test_the_first_of_the_same_bytes_stays(ids: list[str]) -> None:
    assert first_of_same(ids).tolist() == [ids.index(name) for name in ids]
