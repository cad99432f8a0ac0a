"""Whether two pictures show the same, by their points and frames: where one lies in the other, and how alike they are.

An overlap is a map of one frame onto the other that turns by quarters, mirrors, stretches each axis and shifts. Points
that agree propose it, each two of them one; the one that most points follow is taken. What both frames show of the
overlap is then compared by correlation.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from million_ird.measures.signature import BIT_ORDER, FRAME, LOW, POINT, oriented, weights
from million_ird.runtime.jit import compiled

FARTHEST = 28
"""Bits of 128 in which points that show the same may differ."""
TOLERANCE = 0.02
"""How far from its place, as a share of the frame, a point may come to lie."""
MOST_MATCHES = 48
_SHARPEST_ZOOM = 7.0
_MOST_STRETCH = 1.6
"""Of one axis against the other, by a resize that did not keep the shape or a border on one frame alone."""
_SAMPLES = 16
_AT_ONCE = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlap:
    """A map of frame a onto frame b; both measure 1×1, from the top left corner."""

    points: int
    """Places, apart from each other, that follow the map."""
    matches: int
    """Points of a that have a partner in b, whether it follows or not."""
    swap: bool
    """Whether x of b comes from y of a."""
    scale: tuple[float, float]
    """Of what becomes x and y of b; below zero where mirrored."""
    shift: tuple[float, float]

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Left, top, right and bottom, in a, of what b shows too."""
        sides = []
        for scale, shift in zip(self.scale, self.shift, strict=True):
            ends = sorted((-shift / scale, (1 - shift) / scale))
            sides.append((max(0.0, ends[0]), min(1.0, ends[1])))
        across, down = (sides[1], sides[0]) if self.swap else (sides[0], sides[1])
        return across[0], down[0], across[1], down[1]

    @property
    def share(self) -> float:
        """How much of a is in b, 0 to 1."""
        left, top, right, bottom = self.box
        return max(0.0, right - left) * max(0.0, bottom - top)

    @property
    def share_of_other(self) -> float:
        """How much of b is in a, 0 to 1."""
        return min(1.0, self.share * abs(self.scale[0] * self.scale[1]))


def unpacked(points: bytes | None) -> NDArray[Any]:
    """Packed points as an array of `POINT`."""
    return np.frombuffer(points or b"", POINT)


def mirrored(bits: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """(n, 2) descriptors of the same details in a mirror: fields upside down, directions the other way."""
    turned = np.empty((len(bits), 2), np.uint64)
    for start in range(0, len(bits), _AT_ONCE):  # as single bits they take sixteen times the room
        some = np.ascontiguousarray(bits[start : start + _AT_ONCE].astype(">u8")).view(np.uint8).reshape(-1, 16)
        packed = np.packbits(np.unpackbits(some, axis=1)[:, _MIRROR], axis=1)
        turned[start : start + _AT_ONCE] = np.ascontiguousarray(packed).view(">u8")
    return turned


def _mirror_order() -> NDArray[np.int64]:
    bins = np.arange(128).reshape(4, 4, 8)
    opposite = bins[::-1][..., (-np.arange(8)) % 8].reshape(128)
    place = np.argsort(BIT_ORDER)
    return place[opposite[BIT_ORDER]]


_MIRROR = _mirror_order()


def find_overlap(
    a: NDArray[Any], b: NDArray[Any], *, turned: bool = True, aspects: tuple[float, float] = (1.0, 1.0)
) -> Overlap | None:
    """The map that most points of a and b follow; None where no two agree on any.

    Args:
        a: (n,) `POINT`.
        b: (m,) `POINT`.
        turned: whether a quarter turn or a mirror may lie between them.
        aspects: width by height of a and of b: their shapes keep the two scales together.
    """
    if len(a) < 2 or len(b) < 2:
        return None
    places = np.stack([(b["x"] + 0.5) / 256, (b["y"] + 0.5) / 256], axis=1)
    ours = np.stack([(a["x"] + 0.5) / 256, (a["y"] + 0.5) / 256], axis=1)
    bits_a, bits_b = a["bits"].astype(np.uint64), b["bits"].astype(np.uint64)
    best: Overlap | None = None
    for mirror in (False, True) if turned else (False,):
        i, j = _matches(bits_a, mirrored(bits_b) if mirror else bits_b, FARTHEST, MOST_MATCHES)
        found = _follow(ours[i], places[j], mirror, turned, aspects[0], aspects[1])
        count, swap, scale_x, shift_x, scale_y, shift_y = (float(value) for value in found)
        if count >= 2 and (best is None or count > best.points):
            best = Overlap(
                points=int(count),
                matches=len(i),
                swap=bool(swap),
                scale=(scale_x, scale_y),
                shift=(shift_x, shift_y),
            )
    return best


def likeness(a: bytes, b: bytes, which: int = 0) -> float:
    """Correlation, −1 to 1, of two packed `FRAME`s, b oriented as `oriented` says; 0 for a plain one."""
    one = _low(a).ravel()
    other = oriented(_low(b), which).ravel()
    length = float(np.linalg.norm(one) * np.linalg.norm(other))
    return float(one @ other) / length if length else 0.0


def likeness_within(a: bytes, b: bytes, overlap: Overlap) -> float:
    """Correlation, −1 to 1, of what two packed `FRAME`s show of an overlap, at the coarser's resolution."""
    left, top, right, bottom = overlap.box
    if right - left < 0.05 or bottom - top < 0.05:
        return 0.0
    steps = (np.arange(_SAMPLES) + 0.5) / _SAMPLES
    x, y = left + (right - left) * steps, top + (bottom - top) * steps
    first, second = (y, x) if overlap.swap else (x, y)
    other_x = overlap.scale[0] * first + overlap.shift[0]
    other_y = overlap.scale[1] * second + overlap.shift[1]
    zoom = abs(overlap.scale[0]), abs(overlap.scale[1])
    ours = (zoom[1], zoom[0]) if overlap.swap else zoom
    one = _seen(_low(a), x, y, LOW * ours[0], LOW * ours[1])
    other = _seen(_low(b), other_x, other_y, LOW / zoom[0], LOW / zoom[1])
    if overlap.swap:
        other = other.T
    one, other = one - one.mean(), other - other.mean()
    length = float(np.linalg.norm(one) * np.linalg.norm(other))
    return float((one * other).sum()) / length if length else 0.0


def _low(packed: bytes) -> NDArray[np.float64]:
    found: NDArray[np.float64] = np.frombuffer(packed, FRAME)[0]["low"].astype(np.float64)
    return found


def _seen(
    low: NDArray[np.float64], x: NDArray[np.float64], y: NDArray[np.float64], most_x: float, most_y: float
) -> NDArray[np.float64]:
    """What a frame shows at x by y, its mean aside, of frequencies below the two limits: (len(y), len(x))."""
    steps = np.arange(LOW)
    weighed = weights()
    weighed[0, 0] = 1
    halves = np.where(steps == 0, 0.5, 1.0)
    across = np.cos(np.pi * np.outer(x, steps)) * halves * (steps < most_x)
    down = np.cos(np.pi * np.outer(y, steps)) * halves * (steps < most_y)
    seen: NDArray[np.float64] = down @ (low / weighed) @ across.T
    return seen


@compiled()
def _apart(a0: Any, a1: Any, b0: Any, b1: Any) -> int:
    """In how many of 128 bits two descriptors differ."""
    count = 0
    for bits in (a0 ^ b0, a1 ^ b1):
        bits = bits - ((bits >> np.uint64(1)) & np.uint64(0x5555555555555555))
        bits = (bits & np.uint64(0x3333333333333333)) + ((bits >> np.uint64(2)) & np.uint64(0x3333333333333333))
        bits = (bits + (bits >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
        count += int((bits * np.uint64(0x0101010101010101)) >> np.uint64(56))
    return count


@compiled()
def _matches(a: Any, b: Any, farthest: int, most: int) -> Any:
    """Pairs that are nearest to each other both ways and near enough, nearest first, at most `most`."""
    back = np.full(len(b), -1, np.int64)
    back_far = np.full(len(b), 129, np.int64)
    forth = np.full(len(a), -1, np.int64)
    forth_far = np.full(len(a), 129, np.int64)
    for i in range(len(a)):
        for j in range(len(b)):
            far = _apart(a[i, 0], a[i, 1], b[j, 0], b[j, 1])
            if far < forth_far[i]:
                forth_far[i], forth[i] = far, j
            if far < back_far[j]:
                back_far[j], back[j] = far, i
    kept = np.zeros(len(a), np.bool_)
    for i in range(len(a)):
        kept[i] = forth[i] >= 0 and forth_far[i] <= farthest and back[forth[i]] == i
    chosen = np.flatnonzero(kept)
    chosen = chosen[np.argsort(forth_far[chosen], kind="mergesort")][:most]
    return chosen, forth[chosen]


@compiled()
def _follow(a: Any, b: Any, mirror: bool, turned: bool, aspect_a: float, aspect_b: float) -> Any:
    """How many of the pairs of places (k, 2) follow the best map, then the map: swap, scale x, shift x, scale y, …"""
    best = np.zeros(6, np.float64)
    count = len(a)
    alone = np.ones(count, np.bool_)
    for i in range(count):  # one detail may be described twice
        for k in range(i):
            if alone[k] and abs(a[i, 0] - a[k, 0]) < 0.012 and abs(a[i, 1] - a[k, 1]) < 0.012:
                alone[i] = False
                break
    for swap in range(2 if turned else 1):
        for i in range(count):
            for k in range(i):
                if not (alone[i] and alone[k]):
                    continue
                across = a[i, swap] - a[k, swap]
                down = a[i, 1 - swap] - a[k, 1 - swap]
                if abs(across) < 0.03 or abs(down) < 0.03:
                    continue
                scale_x = (b[i, 0] - b[k, 0]) / across
                scale_y = (b[i, 1] - b[k, 1]) / down
                if not _plausible(scale_x, scale_y, swap, mirror, turned, aspect_a, aspect_b):
                    continue
                shift_x = b[i, 0] - scale_x * a[i, swap]
                shift_y = b[i, 1] - scale_y * a[i, 1 - swap]
                found = 0
                for p in range(count):
                    if (
                        alone[p]
                        and abs(scale_x * a[p, swap] + shift_x - b[p, 0]) < TOLERANCE * max(1.0, abs(scale_x))
                        and abs(scale_y * a[p, 1 - swap] + shift_y - b[p, 1]) < TOLERANCE * max(1.0, abs(scale_y))
                    ):
                        found += 1
                if found > best[0]:
                    best = np.array([found, swap, scale_x, shift_x, scale_y, shift_y])
    return best


@compiled()
def _plausible(
    scale_x: float, scale_y: float, swap: int, mirror: bool, turned: bool, aspect_a: float, aspect_b: float
) -> bool:
    if not turned and (scale_x <= 0 or scale_y <= 0):
        return False
    same_sense = (scale_x * scale_y > 0) != (swap == 1)
    if same_sense == mirror:
        return False
    wide, high = abs(scale_x), abs(scale_y)
    if min(wide, high) * _SHARPEST_ZOOM < 1 or max(wide, high) > _SHARPEST_ZOOM:
        return False
    stretch = wide * aspect_b / (high * aspect_a) if swap == 0 else wide * aspect_b * aspect_a / high
    return 1 / _MOST_STRETCH <= stretch <= _MOST_STRETCH
