"""Which candidates show a picture of an evaluation set: as a copy, as a crop of it, or with it in them as a crop.

Benchmarks come as tables of fingerprints (`million_ird.fingerprints`), which hold more points than a candidate leaves:
they are few, and a small crop must still find some of its own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from million_ird.dedup.overlap import FARTHEST, mirrored, unpacked
from million_ird.dedup.search import Batches, Index, joined
from million_ird.dedup.verification import Match, Relation, Signature, compare
from million_ird.measures.signature import FRAME

Positions: TypeAlias = NDArray[np.int64]
RADIUS = 10
"""Bits of 64 in which pHashes of a candidate and of a benchmark picture that are compared may differ."""
WORD_RADIUS = 4
"""Bits of the first 64 of a point in which points that find each other may differ; of all 128, `FARTHEST`."""
LEAST_WORDS = 2
"""Points that must find each other before two pictures are compared by all of them."""
FEW_POINTS, HASH_RADIUS = 16, 4
"""A picture without a frame and with fewer points than that, as one in some 300 has, is told by its hash alone, which
may differ in so many bits: re-encoded, resized or cropped by 2 % it does not differ in more."""
_ROWS = 10_000
"""Candidates whose points are looked up at once."""


@dataclass(frozen=True, slots=True)
class Leak:
    """A row of the scan that shows a benchmark's picture."""

    row: int
    name: str
    """`NAME/file`."""
    match: Match


@dataclass(frozen=True, slots=True)
class _Index:
    """All pictures of all benchmarks."""

    names: list[str]
    ids: dict[str, int]
    """Of bytes and of pixels."""
    hashes: NDArray[np.uint64]
    hash_owner: Positions
    bits: NDArray[np.uint64]
    """(w, 2): points as they are, then as a mirror shows them."""
    bit_owner: Positions
    signatures: list[Signature]

    @classmethod
    def of(cls, benchmarks: Mapping[str, pa.Table]) -> "_Index":
        names, ids, signatures = list[str](), dict[str, int](), list[Signature]()
        hashes, hash_owner, bits, bit_owner = [], [], [], []
        for label, table in sorted(benchmarks.items()):
            for row in table.to_pylist():
                number = len(names)
                names.append(f"{label}/{row['file']}")
                ids |= {row[column]: number for column in ("id", "pixels_id") if row[column]}
                hashes.append(_hashes(row["phash"], row["frame"]))
                hash_owner.append(np.full(len(hashes[-1]), number))
                found = unpacked(row["points"])["bits"].astype(np.uint64)
                bits += [found, mirrored(found)]
                bit_owner.append(np.full(2 * len(found), number))
                signatures.append(Signature.of(row["frame"], row["points"], row["width"], row["height"]))
        return cls(
            names,
            ids,
            np.concatenate([np.empty(0, np.uint64), *hashes]),
            np.concatenate([np.empty(0, np.int64), *hash_owner]),
            np.concatenate([np.empty((0, 2), np.uint64), *bits]),
            np.concatenate([np.empty(0, np.int64), *bit_owner]),
            signatures,
        )


def find_leaks(batches: Batches, wanted: NDArray[np.bool_], benchmarks: Mapping[str, pa.Table]) -> list[Leak]:
    """The rows that are `wanted` and show a picture of a benchmark, each with the picture that it shows most alike.

    Args:
        batches: the rows of the scan.
        wanted: (n,) which of them to look at.
        benchmarks: fingerprints by the benchmark's name.
    """
    index = _Index.of(benchmarks)
    found: list[Leak] = []
    start = 0
    for table in batches(["id", "pixels_id", "phash", "frame", "points", "width", "height"]) if index.names else ():
        for offset in range(0, table.num_rows, _ROWS):
            part = table.slice(offset, _ROWS)
            here = np.flatnonzero(wanted[start + offset : start + offset + part.num_rows])
            rows = part.take(pa.array(here)).to_pylist()
            found += [
                Leak(start + offset + int(here[at]), index.names[picture], match)
                for at, picture, match in _leaks(rows, index)
            ]
        start += table.num_rows
    return found


def _leaks(rows: Sequence[Mapping[str, Any]], index: _Index) -> list[tuple[int, int, Match]]:
    same = _same(rows, index)
    pairs = same | _near(rows, index) | _sharing(rows, index)
    best: dict[int, tuple[int, Match]] = {}
    for at, picture in sorted(pairs):
        row = rows[at]
        ours = Signature.of(row["frame"], row["points"], row["width"], row["height"])
        if (at, picture) in same:
            match: Match | None = Match(Relation.COPY, 1.0)
        else:
            match = compare(ours, index.signatures[picture]) or _by_hash(row["phash"], ours, picture, index)
        if match is not None and (at not in best or _weight(match) > _weight(best[at][1])):
            best[at] = picture, match
    return [(at, picture, match) for at, (picture, match) in best.items()]


def _by_hash(phash: str | None, ours: Signature, picture: int, index: _Index) -> Match | None:
    """A copy by its hash alone, where there is no more: no frame, as of pictures taken down, and hardly a point."""
    theirs = index.signatures[picture]
    if theirs.frame is not None or len(theirs.points) >= FEW_POINTS or not phash:
        return None
    if abs(ours.aspect - theirs.aspect) > 0.05 * theirs.aspect:
        return None
    whole = index.hashes[index.hash_owner == picture]
    near = bool(np.any(np.bitwise_count(whole ^ np.uint64(int(phash, 16))) <= HASH_RADIUS))
    return Match(Relation.COPY, float("nan")) if near else None


def _weight(match: Match) -> float:
    return match.likeness if match.likeness == match.likeness else -1.0


def _same(rows: Sequence[Mapping[str, Any]], index: _Index) -> set[tuple[int, int]]:
    return {
        (at, index.ids[row[column]])
        for at, row in enumerate(rows)
        for column in ("id", "pixels_id")
        if row[column] in index.ids
    }


def _near(rows: Sequence[Mapping[str, Any]], index: _Index) -> set[tuple[int, int]]:
    """Pairs whose pHashes are near, in whatever orientation."""
    hashed = [(at, row) for at, row in enumerate(rows) if row["phash"]]
    own = [_hashes(row["phash"], row["frame"])[:2] for _, row in hashed]
    values = np.concatenate([np.empty(0, np.uint64), *own])
    owner = np.repeat(np.array([at for at, _ in hashed], np.int64), [len(one) for one in own])
    pairs = joined(values, owner, index.hashes, index.hash_owner, RADIUS, Index())
    return set(map(tuple, pairs.tolist()))


def _sharing(rows: Sequence[Mapping[str, Any]], index: _Index) -> set[tuple[int, int]]:
    """Pairs of which several points are alike."""
    bits = [unpacked(row["points"])["bits"].astype(np.uint64) for row in rows]
    owner = np.repeat(np.arange(len(rows)), [len(one) for one in bits])
    ours = np.concatenate([np.empty((0, 2), np.uint64), *bits])
    which, others = np.arange(len(ours)), np.arange(len(index.bits))
    pairs = joined(ours[:, 0], which, index.bits[:, 0], others, WORD_RADIUS, Index())
    apart = np.bitwise_count(ours[pairs[:, 0]] ^ index.bits[pairs[:, 1]]).sum(axis=1)
    pairs = pairs[apart <= FARTHEST]
    # Each point of ours counts once for a picture, however many of the picture's are like it.
    named = np.unique(np.stack([pairs[:, 0], index.bit_owner[pairs[:, 1]]], axis=1), axis=0)
    both, counts = np.unique(np.stack([owner[named[:, 0]], named[:, 1]], axis=1), axis=0, return_counts=True)
    return set(map(tuple, both[counts >= LEAST_WORDS].tolist()))


def _hashes(phash: str, frame: bytes | None) -> NDArray[np.uint64]:
    """The pHash of the whole, then those of the frame in its orientations."""
    whole = [int(phash, 16)] if phash else []
    frames = np.frombuffer(frame, FRAME)[0]["hashes"].astype(np.uint64).tolist() if frame else []
    return np.array([*whole, *frames], np.uint64)
