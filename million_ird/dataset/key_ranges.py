"""Which shard a row is in: it follows from the row's key, not from the rows before it.

Keys are hashed to 64 bits, and each shard has an equal range of hashes. So a row that comes or goes changes its own
shard alone, as long as the number of shards stays the same. It seldom changes: it is rounded up to three significant
bits.
"""

import hashlib
import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_BITS = 64


def order_of_keys(keys: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
    """Return the positions of keys in the order of their hashes, int64 (n,), and the sorted hashes, uint64 (n,)."""
    hashes = np.fromiter((_hash(key) for key in keys), np.uint64, len(keys))
    order = np.lexsort((np.asarray(keys, object).astype(str), hashes)) if len(keys) else np.empty(0, np.int64)
    return order, hashes[order]


def shard_ranges(hashes: NDArray[np.uint64], weight: float, max_weight: int) -> list[tuple[int, int]]:
    """Return the ranges of rows of the shards; without rows, one empty range.

    Args:
        hashes: Sorted hashes of the rows' keys, uint64 (n,).
        weight: Of all rows together, for example in bytes.
        max_weight: What a shard should weigh at most. Many rows deviate little from it, a few large ones more.
    """
    count = shard_count(weight, max_weight)
    borders = [(index << _BITS) // count for index in range(1, count)]
    edges = [0, *np.searchsorted(hashes, np.asarray(borders, np.uint64)).tolist(), len(hashes)]
    return [(a, b) for a, b in itertools.pairwise(edges) if b > a] or [(0, 0)]


def shard_count(weight: float, max_weight: int) -> int:
    """Return how many shards hold a weight: 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, …: steps of at most a quarter.

    Shards weigh 80 to 100 % of `max_weight` where there are many.
    """
    needed = max(1, int(np.ceil(weight / max_weight)))
    step = 1 << max(0, needed.bit_length() - 3)
    return -(-needed // step) * step


def _hash(key: str) -> int:
    return int.from_bytes(hashlib.blake2b(key.encode(errors="surrogatepass"), digest_size=_BITS // 8).digest(), "big")
