"""From pairs of copies to clusters, and which members of each stay."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

Positions = NDArray[np.int64]


def components(pairs: Positions, count: int) -> Positions:
    """For each of `count` positions the least position that pairs (m, 2) connect it with: (count,) int64."""
    if count == 0:
        return np.empty(0, np.int64)
    graph = coo_matrix((np.ones(len(pairs), np.int8), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    _, labels = connected_components(graph, directed=False)
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    return np.asarray(first[inverse], np.int64)


def settle(pairs: Positions, rank: Positions, is_copy: Callable[[int, int], bool]) -> Positions:
    """For each position the position that stays for it, its own where it stays itself: (n,) int64.

    In each connected component of `pairs` (m, 2) the best member stays. Another falls only if it is a copy of one that
    stays, which `is_copy(stays, falls)` tells where `pairs` do not: of a chain a–b–c in which a and c are no copies,
    not all fall for one. Components are settled best member first, so the outcome depends on ranks and not on order.

    Args:
        pairs: positions that are copies of each other.
        rank: (n,) each position's place from the best (0) to the worst; no two are equal.
        is_copy: asked at most once for each two positions.
    """
    count = len(rank)
    stays = np.arange(count)
    if not len(pairs):
        return stays
    known = set(map(tuple, np.sort(pairs, axis=1).tolist()))
    label = components(pairs, count)
    members = np.unique(pairs)
    ordered = members[np.lexsort((rank[members], label[members]))]
    starts = np.flatnonzero(np.r_[True, label[ordered][1:] != label[ordered][:-1]])
    for group in np.split(ordered, starts[1:]):
        kept: list[int] = []
        for member in group.tolist():
            for one in kept:
                if (min(one, member), max(one, member)) in known or is_copy(one, member):
                    stays[member] = one
                    break
            else:
                kept.append(member)
    return stays


def ranked(*columns: NDArray[np.float64]) -> Positions:
    """Places from best to worst: the first column decides, larger is better, then the next, then the earlier row."""
    order = np.lexsort((np.arange(len(columns[0])), *(-column for column in reversed(columns))))
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    return rank
