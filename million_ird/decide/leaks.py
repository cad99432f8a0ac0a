"""Leaks: candidates that show an image of an evaluation set, as a copy, as a crop of it, or with it as a crop in them.

Evaluation sets come as tables of fingerprints (`million_ird.fingerprints`). Those hold more keypoints per image than a
candidate's row does: evaluation sets are small, and even a small crop must contain some of the keypoints.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from million_ird.dedup.overlap import MAX_DESCRIPTOR_DISTANCE, mirror_descriptors, unpack_keypoints
from million_ird.dedup.search import HashPairSearch, join_by_hash
from million_ird.dedup.search_keys import BatchReader, Positions
from million_ird.dedup.verification import PairMatch, Relation, Signature, match_signatures
from million_ird.measures.signature import FRAME

RADIUS = 10
"""Most bits, of 64, in which the pHashes of a candidate and a reference image differ that are compared."""
DESCRIPTOR_RADIUS = 4
"""Most bits, of the first 64 of a descriptor, in which matching descriptors differ; of all 128 bits
`MAX_DESCRIPTOR_DISTANCE`."""
MIN_SHARED_KEYPOINTS = 2
"""Least number of matching keypoints for which two images are compared."""
FEW_KEYPOINTS, HASH_RADIUS = 16, 4
"""An image without a frame and with fewer keypoints than this (one in some 300) is recognised by its pHash alone,
within this radius: re-encoding, resizing, or cropping by 2 % changes no more bits."""
_BATCH_ROWS = 10_000
"""Number of candidates whose keypoints are searched at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceFingerprints:
    """Fingerprints that candidates are compared with."""

    benchmarks: Mapping[str, pa.Table] = field(default_factory=dict)
    """Fingerprints of evaluation sets, by name of the set."""
    removed: pa.Table | None = None
    """Fingerprints of images that were taken down."""


@dataclass(frozen=True, slots=True)
class LeakMatch:
    """A row of the scan that shows an image of an evaluation set."""

    row: int
    name: str
    """`NAME/file` of the image."""
    match: PairMatch


@dataclass(frozen=True, slots=True)
class _ReferenceIndex:
    """All images of all evaluation sets; an image is known by its position."""

    names: list[str]
    ids: dict[str, int]
    """Image by hash of its bytes, and by hash of its pixels."""
    hashes: NDArray[np.uint64]
    hash_owner: Positions
    descriptors: NDArray[np.uint64]
    """(w, 2): those of each image, then the same as in a mirror."""
    descriptor_owner: Positions
    signatures: list[Signature]

    @classmethod
    def of(cls, benchmarks: Mapping[str, pa.Table]) -> "_ReferenceIndex":
        names, ids, signatures = list[str](), dict[str, int](), list[Signature]()
        hashes, hash_owner, descriptors, descriptor_owner = [], [], [], []
        for label, table in sorted(benchmarks.items()):
            for row in table.to_pylist():
                image = len(names)
                names.append(f"{label}/{row['file']}")
                ids |= {row[column]: image for column in ("id", "pixels_id") if row[column]}
                hashes.append(_hashes(row["phash"], row["frame"]))
                hash_owner.append(np.full(len(hashes[-1]), image))
                own = unpack_keypoints(row["points"])["bits"].astype(np.uint64)
                descriptors += [own, mirror_descriptors(own)]
                descriptor_owner.append(np.full(2 * len(own), image))
                signatures.append(_signature(row))
        return cls(
            names,
            ids,
            np.concatenate([np.empty(0, np.uint64), *hashes]),
            np.concatenate([np.empty(0, np.int64), *hash_owner]),
            np.concatenate([np.empty((0, 2), np.uint64), *descriptors]),
            np.concatenate([np.empty(0, np.int64), *descriptor_owner]),
            signatures,
        )


def find_leaks(
    batches: BatchReader, selected: NDArray[np.bool_], benchmarks: Mapping[str, pa.Table]
) -> list[LeakMatch]:
    """Return the selected rows that show an image of an evaluation set, each with the most similar such image.

    Args:
        batches: Reads the rows of the scan.
        selected: (rows,) which rows to check.
        benchmarks: Fingerprints by name of the evaluation set.
    """
    index = _ReferenceIndex.of(benchmarks)
    leaks: list[LeakMatch] = []
    start = 0
    for table in batches(["id", "pixels_id", "phash", "frame", "points", "width", "height"]) if index.names else ():
        for offset in range(0, table.num_rows, _BATCH_ROWS):
            batch = table.slice(offset, _BATCH_ROWS)
            chosen = np.flatnonzero(selected[start + offset : start + offset + batch.num_rows])
            rows = batch.take(pa.array(chosen)).to_pylist()
            leaks += [
                LeakMatch(start + offset + int(chosen[position]), index.names[image], match)
                for position, image, match in _leaks(rows, index)
            ]
        start += table.num_rows
    return leaks


def _leaks(rows: Sequence[Mapping[str, Any]], index: _ReferenceIndex) -> list[tuple[int, int, PairMatch]]:
    """Return the position of each leak in `rows`, its reference image, and the match."""
    identical = _identical_pairs(rows, index)
    pairs = identical | _pairs_by_hash(rows, index) | _pairs_by_keypoints(rows, index)
    best: dict[int, tuple[int, PairMatch]] = {}
    for position, image in sorted(pairs):
        row = rows[position]
        signature = _signature(row)
        if (position, image) in identical:
            match: PairMatch | None = PairMatch(Relation.COPY, 1.0)
        else:
            match = match_signatures(signature, index.signatures[image])
            match = match or _match_by_hash(row["phash"], signature, image, index)
        if match is not None and (position not in best or _weight(match) > _weight(best[position][1])):
            best[position] = image, match
    return [(position, image, match) for position, (image, match) in best.items()]


def _match_by_hash(phash: str | None, candidate: Signature, image: int, index: _ReferenceIndex) -> PairMatch | None:
    """Match by pHash alone a reference image without a frame (such as a removed one) and with few keypoints."""
    reference = index.signatures[image]
    if reference.frame is not None or len(reference.keypoints) >= FEW_KEYPOINTS or not phash:
        return None
    if abs(candidate.aspect - reference.aspect) > 0.05 * reference.aspect:
        return None
    hashes = index.hashes[index.hash_owner == image]
    near = bool(np.any(np.bitwise_count(hashes ^ np.uint64(int(phash, 16))) <= HASH_RADIUS))
    return PairMatch(Relation.COPY, float("nan")) if near else None


def _weight(match: PairMatch) -> float:
    return match.correlation if match.correlation == match.correlation else -1.0


def _identical_pairs(rows: Sequence[Mapping[str, Any]], index: _ReferenceIndex) -> set[tuple[int, int]]:
    """Return pairs with the same bytes or the same pixels."""
    return {
        (position, index.ids[row[column]])
        for position, row in enumerate(rows)
        for column in ("id", "pixels_id")
        if row[column] in index.ids
    }


def _pairs_by_hash(rows: Sequence[Mapping[str, Any]], index: _ReferenceIndex) -> set[tuple[int, int]]:
    """Return pairs with near pHashes, in any orientation."""
    hashed = [(position, row) for position, row in enumerate(rows) if row["phash"]]
    hashes = [_hashes(row["phash"], row["frame"])[:2] for _, row in hashed]
    values = np.concatenate([np.empty(0, np.uint64), *hashes])
    owner = np.repeat(np.array([position for position, _ in hashed], np.int64), [len(own) for own in hashes])
    pairs = join_by_hash(values, owner, index.hashes, index.hash_owner, RADIUS, HashPairSearch(), every_owner=True)
    return set(map(tuple, pairs.tolist()))


def _pairs_by_keypoints(rows: Sequence[Mapping[str, Any]], index: _ReferenceIndex) -> set[tuple[int, int]]:
    """Return pairs with several matching keypoints."""
    per_row = [unpack_keypoints(row["points"])["bits"].astype(np.uint64) for row in rows]
    owner = np.repeat(np.arange(len(rows)), [len(own) for own in per_row])
    descriptors = np.concatenate([np.empty((0, 2), np.uint64), *per_row])
    numbers, others = np.arange(len(descriptors)), np.arange(len(index.descriptors))
    ours, theirs = descriptors[:, 0], index.descriptors[:, 0]
    pairs = join_by_hash(ours, numbers, theirs, others, DESCRIPTOR_RADIUS, HashPairSearch(), every_owner=True)
    distances = np.bitwise_count(descriptors[pairs[:, 0]] ^ index.descriptors[pairs[:, 1]]).sum(axis=1)
    pairs = pairs[distances <= MAX_DESCRIPTOR_DISTANCE]
    # A keypoint of a candidate counts once per reference image, however many keypoints of that image match it.
    votes = np.unique(np.stack([pairs[:, 0], index.descriptor_owner[pairs[:, 1]]], axis=1), axis=0)
    both, counts = np.unique(np.stack([owner[votes[:, 0]], votes[:, 1]], axis=1), axis=0, return_counts=True)
    return set(map(tuple, both[counts >= MIN_SHARED_KEYPOINTS].tolist()))


def _signature(row: Mapping[str, Any]) -> Signature:
    return Signature.from_columns(row["frame"], row["points"], row["width"], row["height"])


def _hashes(phash: str, frame: bytes | None) -> NDArray[np.uint64]:
    """Return the pHash of the whole image, then those of its frame, one per orientation."""
    whole = [int(phash, 16)] if phash else []
    frames = np.frombuffer(frame, FRAME)[0]["hashes"].astype(np.uint64).tolist() if frame else []
    return np.array([*whole, *frames], np.uint64)
