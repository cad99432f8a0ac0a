"""From pairs of duplicates to groups, and the one image of each group that is kept."""

from collections.abc import Callable

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

Positions = NDArray[np.int64]


def labels_of(values: pa.Array | pa.ChunkedArray) -> Positions:
    """Return a label for each text: equal texts have equal labels, and nulls have -1: (n,) int64."""
    texts = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    codes = pa.array(texts, pa.string()).dictionary_encode().indices
    return np.asarray(codes.fill_null(-1).to_numpy(zero_copy_only=False), np.int64)


def best_with_same_label(labels: Positions, rank: Positions) -> Positions:
    """Return for each position the best position with the same label, which may be itself: (n,) int64.

    Args:
        labels: (n,) labels, such as of hashes of files. -1 equals nothing, not even another -1.
        rank: (n,) rank of each position, smaller is better; no two are equal.
    """
    count = len(rank)
    labels = np.where(labels < 0, labels.max(initial=-1) + 1 + np.arange(count), labels)
    order = np.lexsort((rank, labels))
    starts = np.flatnonzero(np.r_[True, labels[order][1:] != labels[order][:-1]]) if count else np.empty(0, np.int64)
    best = np.empty(count, np.int64)
    best[order] = np.repeat(order[starts], np.diff(np.r_[starts, count]))
    return best


def component_labels(pairs: Positions, count: int) -> Positions:
    """Return for each of `count` positions the smallest position in its connected component: (count,) int64.

    Args:
        pairs: (m, 2) positions that are connected.
        count: Number of positions.
    """
    if count == 0:
        return np.empty(0, np.int64)
    graph = coo_matrix((np.ones(len(pairs), np.int8), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    _, labels = connected_components(graph, directed=False)
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    return np.asarray(first[inverse], np.int64)


def choose_representatives(pairs: Positions, rank: Positions, is_copy: Callable[[int, int], bool]) -> Positions:
    """Return for each position the position that is kept instead of it, or itself if it is kept: (n,) int64.

    In each connected component of `pairs` the best member is kept. Another member is dropped only if it is a copy of a
    kept one: in a chain a–b–c where a and c are not copies of each other, a and c are not both dropped for b. Members
    are visited from best to worst, so the result depends on the ranks and not on the order of the pairs.

    Args:
        pairs: (m, 2) positions that are copies of each other.
        rank: (n,) rank of each position, 0 for the best; no two are equal.
        is_copy: Called as `is_copy(kept, candidate)` for two positions that `pairs` does not list, at most once for
            each two.
    """
    count = len(rank)
    representative = np.arange(count)
    if not len(pairs):
        return representative
    known = set(map(tuple, np.sort(pairs, axis=1).tolist()))
    label = component_labels(pairs, count)
    members = np.unique(pairs)
    ordered = members[np.lexsort((rank[members], label[members]))]
    starts = np.flatnonzero(np.r_[True, label[ordered][1:] != label[ordered][:-1]])
    for component in np.split(ordered, starts[1:]):
        kept: list[int] = []
        for member in component.tolist():
            for other in kept:
                if (min(other, member), max(other, member)) in known or is_copy(other, member):
                    representative[member] = other
                    break
            else:
                kept.append(member)
    return representative


def rank_rows(*columns: NDArray[np.float64]) -> Positions:
    """Return the rank of each row, 0 for the best: (n,) int64.

    The first column decides, larger is better; equal rows are compared by the next column, then the earlier row wins.
    """
    order = np.lexsort((np.arange(len(columns[0])), *(-column for column in reversed(columns))))
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    return rank
