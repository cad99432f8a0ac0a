"""Whether two pictures are copies, by signatures that know nothing of the hash that brought them together.

A 64-bit hash alone lies among millions. Two pictures are told to be the same when their hashes are near and their
frames alike; or when enough points of one lie in the other as one map has them, and what both show of the overlap is
alike.
"""

import enum
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from million_ird.dedup.overlap import Overlap, find_overlap, likeness, likeness_within, unpacked
from million_ird.measures.signature import FRAME, oriented

ALIKE = 0.85
"""Correlation of two frames, whose hashes are near, from which on they are one picture: copies have 0.9 and more."""
_NEAR = 12
"""Bits of 64 in which hashes of frames that are compared as wholes may differ."""
_CERTAIN = (8, 0.0, 0.7)
_SURE = (5, 0.15, 0.85)
"""Points that follow a map, their share of those that have a partner, and correlation of what both show, from which on
an overlap is one. Pictures that have nothing to do with each other come to 6 points at most, which are a tenth of their
partners: any 1,000 details of one find partners in the other, and some of those lie as some map has it."""
_INSIDE = 0.9
_MOST = 0.5
_BOTH = 0.75


class Relation(enum.Enum):
    """What two pictures that show the same are to each other."""

    COPY = "copy"
    """They show the same, or one shows at least half of the other and nothing else."""
    PART = "part"
    """They share some of what they show."""


@dataclass(frozen=True, slots=True)
class Signature:
    """What of a picture is compared."""

    frame: bytes | None
    points: NDArray[Any]
    aspect: float
    """Width by height."""

    @classmethod
    def of(cls, frame: bytes | None, points: bytes | None, width: int, height: int) -> "Signature":
        """From the columns of a row."""
        return cls(frame, unpacked(points), width / max(1, height))


@dataclass(frozen=True, slots=True)
class Match:
    """Two pictures show the same."""

    relation: Relation
    likeness: float
    """Correlation of what both show, −1 to 1; NaN where one of them left no frame."""


def compare(a: Signature, b: Signature, *, turned: bool = True) -> Match | None:
    """Whether two pictures show the same; None where nothing says so.

    Args:
        a: one picture.
        b: another.
        turned: whether one may be mirrored or turned by quarters.
    """
    if a.frame and b.frame:
        whole = max((likeness(a.frame, b.frame, which) for which in _near(a.frame, b.frame, turned)), default=-1.0)
        if whole >= ALIKE:
            return Match(Relation.COPY, whole)
    overlap = find_overlap(a.points, b.points, turned=turned, aspects=(a.aspect, b.aspect))
    if overlap is None or overlap.points < _SURE[0]:
        return None
    if not (a.frame and b.frame):
        return Match(_relation(overlap), float("nan")) if overlap.points >= _CERTAIN[0] else None
    alike = likeness_within(a.frame, b.frame, overlap)
    for points, share, enough in (_CERTAIN, _SURE):
        if overlap.points >= points and overlap.points >= share * overlap.matches and alike >= enough:
            return Match(_relation(overlap), alike)
    return None


def _near(a: bytes, b: bytes, turned: bool) -> list[int]:
    """The orientations of b in which its hash is near that of a."""
    ours, theirs = (np.frombuffer(packed, FRAME)[0]["hashes"] for packed in (a, b))
    return [which for which in range(8 if turned else 1) if (int(ours[0]) ^ int(theirs[which])).bit_count() <= _NEAR]


def _relation(overlap: Overlap) -> Relation:
    less, more = sorted((overlap.share, overlap.share_of_other))
    return Relation.COPY if less >= _BOTH or (more >= _INSIDE and less >= _MOST) else Relation.PART


def frames_alike(
    low: NDArray[np.int8], i: NDArray[np.int64], j: NDArray[np.int64], turned: bool
) -> NDArray[np.float64]:
    """For pairs of rows of (n, 16, 16) frequencies the correlation of their frames, the best over all orientations."""
    best = np.full(len(i), -1.0)
    for start in range(0, len(i), 20_000):
        part = slice(start, start + 20_000)
        one, other = low[i[part]].astype(np.float32), low[j[part]].astype(np.float32)
        lengths = np.sqrt((one**2).sum((1, 2)) * (other**2).sum((1, 2)))
        for which in range(8) if turned else (0,):
            turned_one = oriented(other, which)
            products = np.einsum("nij,nij->n", one, turned_one)
            best[part] = np.maximum(best[part], np.where(lengths > 0, products / np.maximum(lengths, 1), 0))
    return best
