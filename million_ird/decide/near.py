"""Near duplicates: pairs of 64-bit hashes within a Hamming radius, exactly, without comparing every pair.

Hashes that differ in at most r of 64 bits agree in at least one of any r + 1 disjoint bands of their bits. So only
hashes that agree in a band are compared, band after band; identical hashes are collapsed first.
"""

import itertools
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

_FIRST_ROOM = 1 << 16


def parse(hashes: list[str]) -> NDArray[np.uint64]:
    """Hashes of 16 hex digits as (n,) uint64."""
    return np.fromiter((int(text, 16) for text in hashes), np.uint64, len(hashes))


def pairs_within(hashes: NDArray[np.uint64], radius: int) -> NDArray[np.int64]:
    """Pairs (i, j), i < j, that make all hashes within `radius` bits connected to each other.

    Args:
        hashes: (n,) uint64.
        radius: 0 to 63 bits.

    Returns:
        (m, 2) int64, sorted. Positions of identical hashes appear as a chain, those of distinct ones as every pair of
        their first positions: connected components are those of all pairs, without the square of a popular hash.
    """
    distinct, first, inverse = np.unique(hashes, return_index=True, return_inverse=True)
    order = np.argsort(inverse, kind="stable")
    same = inverse[order][1:] == inverse[order][:-1]
    found = [np.column_stack([order[:-1][same], order[1:][same]])]
    edges = np.linspace(0, 64, radius + 2).round().astype(np.uint64)
    masks = np.array([_mask(int(low), int(high)) for low, high in itertools.pairwise(edges)], np.uint64)
    for band in range(len(masks)):
        values = distinct & masks[band]
        by_value = np.argsort(values, kind="stable")
        left, right = _agreeing(distinct, by_value, masks, band, radius)
        found.append(np.column_stack([first[left], first[right]]))
    pairs = np.sort(np.concatenate(found).astype(np.int64), axis=1)
    return np.asarray(pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))])


def _mask(low: int, high: int) -> int:
    return ((1 << high) - 1) & ~((1 << low) - 1)


def _agreeing(
    hashes: NDArray[np.uint64], order: NDArray[np.int64], masks: NDArray[np.uint64], band: int, radius: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Positions of the pairs that agree in `band`, in no band before it, and are within the radius."""
    room = _FIRST_ROOM
    while True:
        pairs = np.empty((room, 2), np.int64)
        count = int(_scan(hashes, order, masks, band, radius, pairs))
        if count <= room:
            return pairs[:count, 0], pairs[:count, 1]
        room = count


def _compiled(function: Any) -> Any:
    return njit(cache=True, nogil=True)(function)


@_compiled
def _scan(hashes: Any, order: Any, masks: Any, band: int, radius: int, pairs: Any) -> int:
    """Writes as many pairs as there is room for; returns how many there are."""
    count = 0
    mask = masks[band]
    start = 0
    while start < len(order):
        stop = start + 1
        while stop < len(order) and hashes[order[stop]] & mask == hashes[order[start]] & mask:
            stop += 1
        for i in range(start, stop):
            for j in range(i + 1, stop):
                difference = hashes[order[i]] ^ hashes[order[j]]
                bits = np.uint64(0)
                rest = difference
                while rest and bits <= radius:
                    rest &= rest - np.uint64(1)
                    bits += np.uint64(1)
                if bits <= radius:
                    earlier = False
                    for k in range(band):
                        if difference & masks[k] == 0:
                            earlier = True
                            break
                    if not earlier:
                        if count < len(pairs):
                            pairs[count, 0] = order[i]
                            pairs[count, 1] = order[j]
                        count += 1
        start = stop
    return count
