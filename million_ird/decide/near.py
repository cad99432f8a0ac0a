"""Near duplicates: pairs of 64-bit hashes within a Hamming radius, every pair compared.

Exact, and quadratic: 20,000 hashes take about a second. Identical hashes are collapsed first.
"""

import numpy as np
from numpy.typing import NDArray

_BLOCK = 1 << 22


def parse(hashes: list[str]) -> NDArray[np.uint64]:
    """Hashes of 16 hex digits as (n,) uint64."""
    return np.fromiter((int(text, 16) for text in hashes), np.uint64, len(hashes))


def pairs_within(hashes: NDArray[np.uint64], radius: int) -> NDArray[np.int64]:
    """Pairs (i, j), i < j, that make all hashes within `radius` bits connected to each other.

    Args:
        hashes: (n,) uint64.
        radius: 0 to 64 bits.

    Returns:
        (m, 2) int64, sorted. Positions of identical hashes appear as a chain, those of distinct ones as every pair of
        their first positions: connected components are those of all pairs, without the square of a popular hash.
    """
    distinct, first, inverse = np.unique(hashes, return_index=True, return_inverse=True)
    order = np.argsort(inverse, kind="stable")
    same = inverse[order][1:] == inverse[order][:-1]
    found = [np.column_stack([order[:-1][same], order[1:][same]])]
    rows = max(1, _BLOCK // max(1, len(distinct)))
    for start in range(0, len(distinct), rows):
        block = distinct[start : start + rows, None] ^ distinct[None, start:]
        left, right = np.nonzero(np.bitwise_count(block) <= radius)
        upper = right > left
        found.append(np.column_stack([first[start + left[upper]], first[start + right[upper]]]))
    pairs = np.sort(np.concatenate(found).astype(np.int64), axis=1)
    return pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]
