"""Search for near-duplicates among the images that passed every gate: candidate pairs first, then verification.

Candidate pairs have near pHashes (of the whole image, or of its frame without a plain border, in any orientation), or
share some of their largest keypoints (crops, frames, overlays). `verification` accepts or rejects them. Memory holds
some numbers of each image; its hashes, frame and descriptors are in temporary files where there are many, and full
signatures are read again only for candidates.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from million_ird.dedup import spilled
from million_ird.dedup.hamming.pairs import RunTasks, pairs_between, pairs_within
from million_ird.dedup.hash_groups import HashGroups
from million_ird.dedup.overlap import MAX_DESCRIPTOR_DISTANCE, mirror_descriptors
from million_ird.dedup.search_keys import BatchReader, NearDuplicateRules, Positions, SearchKeys, read_search_keys
from million_ird.dedup.verification import (
    MIN_FRAME_CORRELATION,
    PairVerifier,
    VerifiedPairs,
    frame_correlations,
    verify_pairs,
)

DESCRIPTOR_RADIUS = 2
"""Most bits, of the first 64 of a descriptor, in which two descriptors differ that propose a pair; of all 128 bits
`MAX_DESCRIPTOR_DISTANCE`."""
ON_DISK_ABOVE = 2_000_000
"""From this number of hashes on, the search uses the scratch folder, if there is one, and all workers."""
COMMON_ABOVE = 64
"""A descriptor that more images have proposes no pair. Of images with one pHash that more images have, only those with
correlating frames are proposed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HashPairSearch:
    """Where pairs of near hashes are searched: in memory or on disk, in this process or on workers."""

    scratch: str | None = None
    """Folder on a local disk for data that does not fit into memory."""
    run: RunTasks | None = None
    """Runs the search of many hashes on workers that can read the scratch folder."""

    def within(self, values: NDArray[np.uint64], radius: int) -> Positions:
        """Return pairs of near values, as `pairs_within` does."""
        return pairs_within(values, radius, **self._resources(len(values)))

    def between(self, values: NDArray[np.uint64], others: NDArray[np.uint64], radius: int) -> Positions:
        """Return pairs of a value and a near other value, as `pairs_between` does."""
        return pairs_between(values, others, radius, **self._resources(max(len(values), len(others))))

    def _resources(self, hashes: int) -> dict[str, Any]:
        if self.scratch is None or hashes < ON_DISK_ABOVE:
            return {}
        return {"scratch": Path(self.scratch), "run": self.run}


def find_near_duplicates(
    batches: BatchReader, selected: NDArray[np.bool_], rules: NearDuplicateRules, hash_search: HashPairSearch
) -> tuple[VerifiedPairs, PairVerifier]:
    """Return the verified pairs among the selected rows, and a verifier for other pairs of the same images.

    Args:
        batches: Reads the rows of the scan.
        selected: (rows,) which rows to search.
        rules: What counts as a copy.
        hash_search: Where hashes are searched.
    """
    keys = read_search_keys(batches, selected, hash_search.scratch)
    by_hash, by_keypoints = candidate_pairs(keys, rules, hash_search)
    involved = np.unique(keys.rows[np.concatenate([by_hash, by_keypoints]).ravel()])
    verifier = PairVerifier(batches, involved, hash_search.scratch, turned=rules.turned)
    return verify_pairs(keys, by_hash, by_keypoints, verifier, turned=rules.turned), verifier


def candidate_pairs(
    keys: SearchKeys, rules: NearDuplicateRules, hash_search: HashPairSearch
) -> tuple[Positions, Positions]:
    """Return pairs to verify: those with near hashes, and the others that share keypoints; (m, 2) into `keys.rows`."""
    images = np.arange(len(keys.rows))
    bordered = keys.hashes[:, 0] != keys.phash
    values = np.concatenate([keys.phash, keys.hashes[bordered, 0]])
    upright = HashGroups.of(values, np.concatenate([images, images[bordered]]), hash_search.scratch)
    found = [_near_pairs(upright, rules.radius, keys, hash_search)]
    if rules.turned and len(images):
        hashes = spilled.empty((len(images), 7), np.uint64, hash_search.scratch)
        hashes[:] = keys.hashes[:, 1:]
        turned = HashGroups.of(hashes.reshape(-1), None, hash_search.scratch, per_owner=7)
        found.append(_product(turned, upright, hash_search.between(turned.values, upright.values, rules.radius)))
    by_hash = _unique(found)
    if not rules.crops:
        return by_hash, np.empty((0, 2), np.int64)
    return by_hash, _without(_descriptor_pairs(keys, rules.turned, hash_search), by_hash)


def _descriptor_pairs(keys: SearchKeys, turned: bool, hash_search: HashPairSearch) -> Positions:
    """Return pairs of images that share a descriptor, as it is or mirrored."""
    descriptors = keys.descriptors
    groups = HashGroups.of(descriptors[:, 0], None, hash_search.scratch)
    pairs = _near_pairs(groups, DESCRIPTOR_RADIUS, None, hash_search)
    near = _distances(descriptors, descriptors, pairs) <= MAX_DESCRIPTOR_DISTANCE
    found: list[NDArray[Any]] = [keys.owners[pairs[near]]]
    if turned:
        mirrored = spilled.empty(descriptors.shape, np.uint64, hash_search.scratch)
        for start in range(0, len(descriptors), spilled.CHUNK):
            block = slice(start, start + spilled.CHUNK)
            mirrored[block] = mirror_descriptors(descriptors[block])
        others = HashGroups.of(mirrored[:, 0], None, hash_search.scratch)
        pairs = _product(others, groups, hash_search.between(others.values, groups.values, DESCRIPTOR_RADIUS))
        near = _distances(mirrored, descriptors, pairs) <= MAX_DESCRIPTOR_DISTANCE
        found.append(keys.owners[pairs[near]])
    return _unique(found)


def _distances(a: NDArray[np.uint64], b: NDArray[np.uint64], pairs: Positions) -> NDArray[np.int64]:
    """Return in how many of 128 bits the descriptors of each pair differ."""
    return np.asarray(np.bitwise_count(a[pairs[:, 0]] ^ b[pairs[:, 1]]).sum(axis=1), np.int64)


def join_by_hash(
    values: NDArray[np.uint64],
    owners: Positions,
    others: NDArray[np.uint64],
    other_owners: Positions,
    radius: int,
    hash_search: HashPairSearch,
    *,
    every_owner: bool = False,
) -> Positions:
    """Return pairs (owner, other owner) of near values: (m, 2) int64.

    Args:
        values: (n,) hashes.
        owners: (n,) owner of each hash; an owner may have several.
        others: (k,) hashes.
        other_owners: (k,) owner of each of these.
        radius: Most bits in which two hashes differ.
        hash_search: Where hashes are searched.
        every_owner: Whether each owner of a value gets its pairs, also of a common value: the result for an owner then
            does not depend on the others.
    """
    left = HashGroups.of(values, owners, hash_search.scratch)
    right = HashGroups.of(others, other_owners, hash_search.scratch)
    return _product(left, right, hash_search.between(left.values, right.values, radius), every_owner)


def _near_pairs(groups: HashGroups, radius: int, keys: SearchKeys | None, hash_search: HashPairSearch) -> Positions:
    """Return pairs of owners of near values. Of a common value, pairs with correlating frames, or none without keys."""
    pairs = []
    for _, block in groups.blocks():
        sizes = np.diff(block.starts)
        pairs += _pairs_of_equals(block, sizes)
        if keys is not None:
            common = np.flatnonzero(sizes > COMMON_ABOVE).tolist()
            pairs += [_correlating_pairs(block.members(group), keys) for group in common]
    return _stacked([*pairs, _product(groups, groups, hash_search.within(groups.values, radius))])


def _pairs_of_equals(groups: HashGroups, sizes: Positions) -> list[Positions]:
    """Return all pairs of owners that have the same value, unless the value is common."""
    label = np.repeat(np.where(sizes <= COMMON_ABOVE, np.arange(len(sizes)), -1), sizes)
    pairs = []
    for step in range(1, int(sizes.max(initial=1))):
        same = np.flatnonzero((label[:-step] == label[step:]) & (label[step:] >= 0))
        if not len(same):
            break
        pairs.append(np.stack([groups.owners[same], groups.owners[same + step]], axis=1).astype(np.int64))
    return pairs


def _correlating_pairs(members: Positions, keys: SearchKeys) -> Positions:
    """Pair the first member with all that correlate with it, then go on with the others; some get no pair."""
    pairs, remaining = [], np.unique(members)
    while len(remaining) > 1:
        first, rest = remaining[0], remaining[1:]
        alike = frame_correlations(keys.low, np.full(len(rest), first), rest, turned=False) >= MIN_FRAME_CORRELATION
        pairs.append(np.stack([np.full(int(alike.sum()), first), rest[alike]], axis=1))
        remaining = rest[~alike]
    return _stacked(pairs)


def _product(a: HashGroups, b: HashGroups, pairs: Positions, every_owner: bool = False) -> Positions:
    """Return all pairs of members of paired groups; of a common value, only its first members are paired."""
    left, right = a.sizes(pairs[:, 0]), np.minimum(b.sizes(pairs[:, 1]), COMMON_ABOVE)
    left = left if every_owner else np.minimum(left, COMMON_ABOVE)
    sizes = left * right
    which = np.repeat(np.arange(len(pairs)), sizes)
    offset = np.arange(len(which)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    members = (
        a.owners_at(pairs[which, 0], offset // right[which]),
        b.owners_at(pairs[which, 1], offset % right[which]),
    )
    product = np.stack(members, axis=1)
    return product[product[:, 0] != product[:, 1]] if a is b else product


def _stacked(pairs: Sequence[NDArray[Any]]) -> Positions:
    return np.concatenate([np.empty((0, 2), np.int64), *pairs]).astype(np.int64)


def _unique(pairs: Sequence[NDArray[Any]]) -> Positions:
    """Return the distinct pairs (smaller, larger), sorted."""
    ordered = np.sort(_stacked(pairs), axis=1)
    return np.unique(ordered[ordered[:, 0] != ordered[:, 1]], axis=0)


def _without(pairs: Positions, others: Positions) -> Positions:
    """Return the rows of `pairs` that are not in `others`; both are unique."""
    if not len(pairs) or not len(others):
        return pairs
    width = int(max(pairs.max(), others.max())) + 1
    keep = ~np.isin(pairs[:, 0] * width + pairs[:, 1], others[:, 0] * width + others[:, 1])
    return pairs[keep]
