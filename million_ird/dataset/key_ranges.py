"""Which shard a row is in: it follows from the row's key, not from the rows before it.

A key is a hash (`candidate_key`), and each shard has an equal range of keys. So a row that comes or goes changes its
own shard alone, as long as the number of shards stays the same. It seldom changes: it is rounded up to three
significant bits.
"""

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_DIGITS, _BITS = 16, 64


def order_of_keys(keys: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
    """Return the positions of keys in their order, int64 (n,), and the sorted numbers of their first 16 hex digits."""
    numbers = np.fromiter((int(key[:_DIGITS], 16) for key in keys), np.uint64, len(keys))
    order = np.argsort(numbers, kind="stable")
    return order, numbers[order]


def shard_ranges(numbers: NDArray[np.uint64], weight: float, max_weight: int) -> list[tuple[int, int]]:
    """Return the ranges of rows of the shards; without rows, one empty range.

    Args:
        numbers: Those of the rows' keys, sorted, uint64 (n,).
        weight: Of all rows together, for example in bytes.
        max_weight: What a shard should weigh at most. Many rows deviate little from it, a few large ones more.
    """
    count = shard_count(weight, max_weight)
    borders = [(index << _BITS) // count for index in range(1, count)]
    edges = [0, *np.searchsorted(numbers, np.asarray(borders, np.uint64)).tolist(), len(numbers)]
    return [(a, b) for a, b in itertools.pairwise(edges) if b > a] or [(0, 0)]


def shard_count(weight: float, max_weight: int) -> int:
    """Return how many shards hold a weight: 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, …: steps of at most a quarter.

    Shards weigh 80 to 100 % of `max_weight` where there are many.
    """
    needed = max(1, int(np.ceil(weight / max_weight)))
    step = 1 << max(0, needed.bit_length() - 3)
    return -(-needed // step) * step
