"""Exact duplicates: the same bytes, or the same pixels."""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


def best_of_same(names: pa.Array, rank: NDArray[np.int64]) -> NDArray[np.int64]:
    """For each position the best position that holds the same name: (n,) int64, its own where it is the best.

    Args:
        names: texts; a null is like no other.
        rank: (n,) each position's place from the best to the worst.
    """
    codes = pa.array(names, pa.string()).dictionary_encode().indices
    count = len(rank)
    labels = codes.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    labels = np.where(labels < 0, count + np.arange(count), labels)
    order = np.lexsort((rank, labels))
    starts = np.flatnonzero(np.r_[True, labels[order][1:] != labels[order][:-1]]) if count else np.empty(0, np.int64)
    best = np.empty(count, np.int64)
    best[order] = np.repeat(order[starts], np.diff(np.r_[starts, count]))
    return best
