"""Verification of candidate pairs by their signatures, independently of the hashes that proposed them.

A 64-bit hash alone gives false matches among millions of images. Two images are accepted as showing the same if their
hashes are near and their frames correlate; or if enough keypoints of one agree on where the other lies, and both
correlate where they overlap.
"""

import enum
import mmap
import tempfile
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from million_ird.dedup.overlap import (
    Overlap,
    find_overlap,
    frame_correlation,
    overlap_correlation,
    unpack_keypoints,
)
from million_ird.dedup.search_keys import BatchReader, Positions, SearchKeys
from million_ird.measures.signature import FRAME, orient

MIN_FRAME_CORRELATION = 0.85
"""Least correlation of two frames with near hashes that makes them one image; copies reach 0.9 and more."""
_FRAME_RADIUS = 12
"""Most bits, of 64, in which the hashes of frames that are correlated as a whole differ."""
_CERTAIN = (8, 0.0, 0.7)
_SURE = (5, 0.15, 0.85)
"""Thresholds of an overlap: inliers, their fraction of the matches, and correlation over the overlap. Unrelated images
reach 6 inliers at most, a tenth of their matches: among 1,000 keypoints some always match, and a few of these agree on
some map."""
_OF_COPIES = (0.34, 0.9)
"""Least fraction of the matches that are inliers, or else least correlation over the overlap, of copies. Recoloured,
captioned and framed copies reach 0.36 and more; other clothes on a person in the same pose, and other views of one
scene, 0.31 at most and a correlation of 0.87."""
SURE_INLIERS = _SURE[0]
"""Least inliers of an overlap between two images that show the same."""
_CONTAINED = 0.9
_MIN_CROP = 0.5
_BOTH_MOSTLY = 0.75


class Relation(enum.Enum):
    """How two images that show the same are related."""

    COPY = "copy"
    """They show the same, or one is a crop of at least half of the other."""
    SCENE = "scene"
    """They show nearly the same: other clothes on a person in one pose, another view of a scene."""
    PART = "part"
    """They share a part."""


@dataclass(frozen=True, slots=True)
class Signature:
    """The data by which an image is compared with another."""

    frame: bytes | None
    """Packed `FRAME`: pHashes and low frequencies."""
    keypoints: NDArray[Any]
    """(n,) keypoints of dtype `KEYPOINT`."""
    aspect: float
    """Width / height."""

    @classmethod
    def from_columns(cls, frame: bytes | None, points: bytes | None, width: int, height: int) -> "Signature":
        """Return the signature that these columns of a ledger row hold."""
        return cls(frame, unpack_keypoints(points), width / max(1, height))


@dataclass(frozen=True, slots=True)
class PairMatch:
    """The result for two images that show the same."""

    relation: Relation
    correlation: float
    """Correlation of what both show, −1 to 1; NaN if one of them has no frame."""


def match_signatures(a: Signature, b: Signature, *, turned: bool = True) -> PairMatch | None:
    """Return how two images are related, or None if they do not show the same.

    Args:
        a: The first image.
        b: The second image.
        turned: Whether one may be mirrored or turned by quarters.
    """
    if a.frame and b.frame:
        orientations = near_orientations(a.frame, b.frame, turned)
        best = max((frame_correlation(a.frame, b.frame, k) for k in orientations), default=-1.0)
        if best >= MIN_FRAME_CORRELATION:
            return PairMatch(Relation.COPY, best)
    overlap = find_overlap(a.keypoints, b.keypoints, turned=turned, aspects=(a.aspect, b.aspect))
    if overlap is None or overlap.inliers < _SURE[0]:
        return None
    if not (a.frame and b.frame):
        return PairMatch(_relation(overlap, 0.0), float("nan")) if overlap.inliers >= _CERTAIN[0] else None
    correlation = overlap_correlation(a.frame, b.frame, overlap)
    for inliers, share, threshold in (_CERTAIN, _SURE):
        enough = overlap.inliers >= inliers and overlap.inliers >= share * overlap.matches
        if enough and correlation >= threshold:
            return PairMatch(_relation(overlap, correlation), correlation)
    return None


def near_orientations(a: bytes, b: bytes, turned: bool) -> list[int]:
    """Return the orientations of b whose hash is near that of a."""
    hashes_a, hashes_b = (np.frombuffer(packed, FRAME)[0]["hashes"] for packed in (a, b))
    distances = [(int(hashes_a[0]) ^ int(hashes_b[k])).bit_count() for k in range(8 if turned else 1)]
    return [k for k, distance in enumerate(distances) if distance <= _FRAME_RADIUS]


def _relation(overlap: Overlap, correlation: float) -> Relation:
    if overlap.inliers < _OF_COPIES[0] * overlap.matches and correlation < _OF_COPIES[1]:
        return Relation.SCENE
    smaller, larger = sorted((overlap.share, overlap.share_of_other))
    is_copy = smaller >= _BOTH_MOSTLY or (larger >= _CONTAINED and smaller >= _MIN_CROP)
    return Relation.COPY if is_copy else Relation.PART


def frame_correlations(
    low: NDArray[np.int8], i: NDArray[np.int64], j: NDArray[np.int64], turned: bool
) -> NDArray[np.float64]:
    """Return the correlation of many pairs of frames: (m,) float64, −1 to 1.

    Args:
        low: (n, 16, 16) low frequencies of all frames.
        i: (m,) position of the first frame of each pair.
        j: (m,) position of the second frame of each pair.
        turned: Whether to take the best over all eight orientations.
    """
    best = np.full(len(i), -1.0)
    for start in range(0, len(i), 20_000):
        batch = slice(start, start + 20_000)
        first, second = low[i[batch]].astype(np.float32), low[j[batch]].astype(np.float32)
        norms = np.sqrt((first**2).sum((1, 2)) * (second**2).sum((1, 2)))
        for orientation in range(8) if turned else (0,):
            products = np.einsum("nij,nij->n", first, orient(second, orientation))
            best[batch] = np.maximum(best[batch], np.where(norms > 0, products / np.maximum(norms, 1), 0))
    return best


@dataclass(frozen=True, slots=True)
class VerifiedPairs:
    """Verified pairs, (m, 2) each, as rows of the scan."""

    copies: Positions
    """Pairs of which one image is to be dropped."""
    parts: Positions
    """Pairs that share a part, near scenes among them: both may be kept, but in the same split."""
    scenes: Positions
    """The near scenes."""


class PairVerifier:
    """Compares images by their signatures, which it reads once, into a temporary file, for all that it may compare."""

    def __init__(self, batches: BatchReader, rows: Positions, scratch: str | None, *, turned: bool) -> None:
        """Read the signatures.

        Args:
            batches: Reads the rows of the scan.
            rows: Sorted rows of the scan whose signatures are needed.
            scratch: Folder on a local disk for the temporary file; the system's own if None.
            turned: Whether mirrored images, and images turned by quarters, match.
        """
        self._turned = turned
        self._rows = rows
        self._ends = np.zeros((len(rows), 4), np.int64)
        self._aspects = np.ones(len(rows))
        with tempfile.TemporaryFile(dir=scratch, prefix=".tmp-") as file:
            self._fill(batches, file)
            file.flush()
            length = file.tell()
            self._store: Any = mmap.mmap(file.fileno(), length, access=mmap.ACCESS_READ) if length else b""

    def compare(self, a: int, b: int) -> PairMatch | None:
        """Return how the images of two rows are related, or None if they do not show the same."""
        return match_signatures(self._signature(a), self._signature(b), turned=self._turned)

    def _signature(self, row: int) -> Signature:
        position = int(np.searchsorted(self._rows, row))
        frame, points = (self._store[low:high] for low, high in self._ends[position].reshape(2, 2).tolist())
        return Signature(frame or None, unpack_keypoints(points), float(self._aspects[position]))

    def _fill(self, batches: BatchReader, file: Any) -> None:
        start = 0
        for table in batches(["frame", "points", "width", "height"]):
            low, high = np.searchsorted(self._rows, [start, start + table.num_rows])
            chosen = table.take(pa.array(self._rows[low:high] - start)).to_pylist()
            for position, row in enumerate(chosen, int(low)):
                ends = [file.tell()]
                for column in ("frame", "points"):
                    file.write(row[column] or b"")
                    ends += [file.tell(), file.tell()]
                self._ends[position] = ends[:4]
                self._aspects[position] = row["width"] / max(1, row["height"])
            start += table.num_rows


def verify_pairs(
    keys: SearchKeys, by_hash: Positions, by_keypoints: Positions, verifier: PairVerifier, *, turned: bool
) -> VerifiedPairs:
    """Return the candidate pairs that really show the same.

    Args:
        keys: Keys of all images.
        by_hash: (m, 2) candidate pairs found by hash, positions in `keys.rows`.
        by_keypoints: (k, 2) candidate pairs found by keypoints.
        verifier: Compares the pairs whose frames do not correlate.
        turned: Whether mirrored images, and images turned by quarters, are copies.
    """
    alike = frame_correlations(keys.low, by_hash[:, 0], by_hash[:, 1], turned) >= MIN_FRAME_CORRELATION
    found: dict[Relation, list[tuple[int, int]]] = {relation: [] for relation in Relation}
    for a, b in keys.rows[np.concatenate([by_hash[~alike], by_keypoints])].tolist():
        match = verifier.compare(a, b)
        if match is not None:
            found[match.relation].append((a, b))
    pairs = {relation: np.array(rows, np.int64).reshape(-1, 2) for relation, rows in found.items()}
    scenes = pairs[Relation.SCENE]
    copies = np.concatenate([keys.rows[by_hash[alike]], pairs[Relation.COPY]])
    return VerifiedPairs(copies, np.concatenate([pairs[Relation.PART], scenes]), scenes)
