"""From pairs of copies to clusters, and which member of each stays."""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components


def best_of_each(pairs: NDArray[np.int64], pixels: NDArray[np.int64], size: NDArray[np.int64]) -> NDArray[np.int64]:
    """For each position, the position that stays of its cluster: (n,) int64, its own where it stays or is alone.

    Clusters are the connected components of `pairs` (m, 2). The one with most pixels stays, then most bytes, then the
    earliest.
    """
    count = len(pixels)
    if count == 0:
        return np.empty(0, np.int64)
    ones = np.ones(len(pairs), np.int8)
    graph = coo_matrix((ones, (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    _, cluster = connected_components(graph, directed=False)
    order = np.lexsort((np.arange(count), -size, -pixels, cluster))
    starts = np.flatnonzero(np.r_[True, cluster[order][1:] != cluster[order][:-1]])
    best = np.empty(count, np.int64)
    best[order] = np.repeat(order[starts], np.diff(np.r_[starts, count]))
    return best
