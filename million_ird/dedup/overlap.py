"""Geometric verification of two images: where they overlap, and how strongly they correlate there.

An overlap is a map from one image to the other: quarter turns, a mirror, a scale per axis and a shift. Every two
matched keypoints propose one map, and the map with the most inliers wins. The low frequencies of both images are then
correlated over the overlap.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from million_ird.measures.signature import DESCRIPTOR_BIT_ORDER, FRAME, FREQUENCIES, KEYPOINT, frequency_weights, orient
from million_ird.runtime.jit import compiled

MAX_DESCRIPTOR_DISTANCE = 28
"""Most bits, of 128, in which the descriptors of matching keypoints differ."""
TOLERANCE = 0.02
"""Largest error of a mapped keypoint that counts as an inlier, as a fraction of the frame."""
MAX_MATCHES = 48
_MAX_ZOOM = 7.0
_MAX_STRETCH = 1.6
"""Largest ratio of the two scales: a resize may change the aspect, or only one image may have a border."""
_SAMPLES = 16
_BATCH = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlap:
    """A map from image a to image b; coordinates of both run from 0 to 1 from the top left corner."""

    inliers: int
    """Distinct keypoints that agree with the map."""
    matches: int
    """Keypoints of a with a matching descriptor in b, inliers or not."""
    swap: bool
    """Whether x in b is computed from y in a."""
    scale: tuple[float, float]
    """Scales that give x and y in b; negative if mirrored."""
    shift: tuple[float, float]
    """Offsets that are added to x and y in b."""

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Left, top, right and bottom, in a, of the part that b shows too."""
        sides = []
        for scale, shift in zip(self.scale, self.shift, strict=True):
            ends = sorted((-shift / scale, (1 - shift) / scale))
            sides.append((max(0.0, ends[0]), min(1.0, ends[1])))
        across, down = (sides[1], sides[0]) if self.swap else (sides[0], sides[1])
        return across[0], down[0], across[1], down[1]

    @property
    def share(self) -> float:
        """Fraction of a that b shows, 0 to 1."""
        left, top, right, bottom = self.box
        return max(0.0, right - left) * max(0.0, bottom - top)

    @property
    def share_of_other(self) -> float:
        """Fraction of b that a shows, 0 to 1."""
        return min(1.0, self.share * abs(self.scale[0] * self.scale[1]))


def unpack_keypoints(packed: bytes | None) -> NDArray[Any]:
    """Return the keypoints of the ledger column `points` as an array of dtype `KEYPOINT`."""
    return np.frombuffer(packed or b"", KEYPOINT)


def mirror_descriptors(descriptors: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return the descriptors that the same keypoints would have in the mirrored image.

    Args:
        descriptors: (n, 2) uint64, 128 bits each.

    Returns:
        (n, 2) uint64: the cells upside down and the gradient directions reversed.
    """
    result = np.empty((len(descriptors), 2), np.uint64)
    for start in range(0, len(descriptors), _BATCH):  # unpacked, they need sixteen times the memory
        batch = np.ascontiguousarray(descriptors[start : start + _BATCH].astype(">u8")).view(np.uint8).reshape(-1, 16)
        packed = np.packbits(np.unpackbits(batch, axis=1)[:, _MIRROR], axis=1)
        result[start : start + _BATCH] = np.ascontiguousarray(packed).view(">u8")
    return result


def _mirror_order() -> NDArray[np.int64]:
    bins = np.arange(128).reshape(4, 4, 8)
    opposite = bins[::-1][..., (-np.arange(8)) % 8].reshape(128)
    place = np.argsort(DESCRIPTOR_BIT_ORDER)
    return place[opposite[DESCRIPTOR_BIT_ORDER]]


_MIRROR = _mirror_order()


def find_overlap(
    a: NDArray[Any], b: NDArray[Any], *, turned: bool = True, aspects: tuple[float, float] = (1.0, 1.0)
) -> Overlap | None:
    """Return the map with the most inliers, or None if no two matches agree on one.

    Args:
        a: (n,) keypoints of dtype `KEYPOINT`.
        b: (m,) keypoints of dtype `KEYPOINT`.
        turned: Whether one image may be mirrored or turned by quarters.
        aspects: Width / height of a and of b, to reject maps that distort the image.
    """
    if len(a) < 2 or len(b) < 2:
        return None
    places_a = np.stack([(a["x"] + 0.5) / 256, (a["y"] + 0.5) / 256], axis=1)
    places_b = np.stack([(b["x"] + 0.5) / 256, (b["y"] + 0.5) / 256], axis=1)
    descriptors_a, descriptors_b = a["bits"].astype(np.uint64), b["bits"].astype(np.uint64)
    best: Overlap | None = None
    for mirror in (False, True) if turned else (False,):
        others = mirror_descriptors(descriptors_b) if mirror else descriptors_b
        i, j = _mutual_matches(descriptors_a, others, MAX_DESCRIPTOR_DISTANCE, MAX_MATCHES)
        fit = _best_map(places_a[i], places_b[j], mirror, turned, aspects[0], aspects[1])
        inliers, swap, scale_x, shift_x, scale_y, shift_y = (float(value) for value in fit)
        if inliers >= 2 and (best is None or inliers > best.inliers):
            best = Overlap(
                inliers=int(inliers),
                matches=len(i),
                swap=bool(swap),
                scale=(scale_x, scale_y),
                shift=(shift_x, shift_y),
            )
    return best


def frame_correlation(a: bytes, b: bytes, orientation: int = 0) -> float:
    """Return the correlation, −1 to 1, of two packed `FRAME`s; 0 if one of them is plain.

    Args:
        a: A packed frame.
        b: A packed frame, which is turned first.
        orientation: How b is turned, 0 to 7 as in `oriented`.
    """
    first = _frequencies(a).ravel()
    second = orient(_frequencies(b), orientation).ravel()
    norm = float(np.linalg.norm(first) * np.linalg.norm(second))
    return float(first @ second) / norm if norm else 0.0


def overlap_correlation(a: bytes, b: bytes, overlap: Overlap) -> float:
    """Return the correlation, −1 to 1, of two packed `FRAME`s over their overlap, at the coarser resolution."""
    left, top, right, bottom = overlap.box
    if right - left < 0.05 or bottom - top < 0.05:
        return 0.0
    steps = (np.arange(_SAMPLES) + 0.5) / _SAMPLES
    x, y = left + (right - left) * steps, top + (bottom - top) * steps
    u, v = (y, x) if overlap.swap else (x, y)
    x_in_b = overlap.scale[0] * u + overlap.shift[0]
    y_in_b = overlap.scale[1] * v + overlap.shift[1]
    zoom = abs(overlap.scale[0]), abs(overlap.scale[1])
    zoom_in_a = (zoom[1], zoom[0]) if overlap.swap else zoom
    first = _rendered(_frequencies(a), x, y, FREQUENCIES * zoom_in_a[0], FREQUENCIES * zoom_in_a[1])
    second = _rendered(_frequencies(b), x_in_b, y_in_b, FREQUENCIES / zoom[0], FREQUENCIES / zoom[1])
    if overlap.swap:
        second = second.T
    first, second = first - first.mean(), second - second.mean()
    norm = float(np.linalg.norm(first) * np.linalg.norm(second))
    return float((first * second).sum()) / norm if norm else 0.0


def _frequencies(packed: bytes) -> NDArray[np.float64]:
    low: NDArray[np.float64] = np.frombuffer(packed, FRAME)[0]["low"].astype(np.float64)
    return low


def _rendered(
    low: NDArray[np.float64], x: NDArray[np.float64], y: NDArray[np.float64], limit_x: float, limit_y: float
) -> NDArray[np.float64]:
    """Evaluate a frame at x by y, without its mean, from the frequencies below both limits: (len(y), len(x))."""
    steps = np.arange(FREQUENCIES)
    weighed = frequency_weights()
    weighed[0, 0] = 1
    halves = np.where(steps == 0, 0.5, 1.0)
    across = np.cos(np.pi * np.outer(x, steps)) * halves * (steps < limit_x)
    down = np.cos(np.pi * np.outer(y, steps)) * halves * (steps < limit_y)
    values: NDArray[np.float64] = down @ (low / weighed) @ across.T
    return values


@compiled()
def _hamming_distance(a0: Any, a1: Any, b0: Any, b1: Any) -> int:
    """Return in how many of 128 bits two descriptors differ."""
    count = 0
    for bits in (a0 ^ b0, a1 ^ b1):
        bits = bits - ((bits >> np.uint64(1)) & np.uint64(0x5555555555555555))
        bits = (bits & np.uint64(0x3333333333333333)) + ((bits >> np.uint64(2)) & np.uint64(0x3333333333333333))
        bits = (bits + (bits >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
        count += int((bits * np.uint64(0x0101010101010101)) >> np.uint64(56))
    return count


@compiled()
def _mutual_matches(a: Any, b: Any, max_distance: int, max_count: int) -> Any:
    """Return pairs of descriptors that are each other's nearest neighbour, nearest first, at most `max_count`."""
    backward = np.full(len(b), -1, np.int64)
    backward_distance = np.full(len(b), 129, np.int64)
    forward = np.full(len(a), -1, np.int64)
    forward_distance = np.full(len(a), 129, np.int64)
    for i in range(len(a)):
        for j in range(len(b)):
            distance = _hamming_distance(a[i, 0], a[i, 1], b[j, 0], b[j, 1])
            if distance < forward_distance[i]:
                forward_distance[i], forward[i] = distance, j
            if distance < backward_distance[j]:
                backward_distance[j], backward[j] = distance, i
    kept = np.zeros(len(a), np.bool_)
    for i in range(len(a)):
        kept[i] = forward[i] >= 0 and forward_distance[i] <= max_distance and backward[forward[i]] == i
    chosen = np.flatnonzero(kept)
    chosen = chosen[np.argsort(forward_distance[chosen], kind="mergesort")][:max_count]
    return chosen, forward[chosen]


@compiled()
def _best_map(a: Any, b: Any, mirror: bool, turned: bool, aspect_a: float, aspect_b: float) -> Any:
    """Return inliers, swap, scale x, shift x, scale y and shift y of the best map of places a to b, (k, 2) each."""
    best = np.zeros(6, np.float64)
    count = len(a)
    distinct = np.ones(count, np.bool_)
    for i in range(count):  # SIFT may describe one detail twice
        for k in range(i):
            if distinct[k] and abs(a[i, 0] - a[k, 0]) < 0.012 and abs(a[i, 1] - a[k, 1]) < 0.012:
                distinct[i] = False
                break
    for swap in range(2 if turned else 1):
        for i in range(count):
            for k in range(i):
                if not (distinct[i] and distinct[k]):
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
                inliers = 0
                for p in range(count):
                    if (
                        distinct[p]
                        and abs(scale_x * a[p, swap] + shift_x - b[p, 0]) < TOLERANCE * max(1.0, abs(scale_x))
                        and abs(scale_y * a[p, 1 - swap] + shift_y - b[p, 1]) < TOLERANCE * max(1.0, abs(scale_y))
                    ):
                        inliers += 1
                if inliers > best[0]:
                    best = np.array([inliers, swap, scale_x, shift_x, scale_y, shift_y])
    return best


@compiled()
def _plausible(
    scale_x: float, scale_y: float, swap: int, mirror: bool, turned: bool, aspect_a: float, aspect_b: float
) -> bool:
    """Return whether a map has an allowed orientation, zoom and stretch."""
    if not turned and (scale_x <= 0 or scale_y <= 0):
        return False
    keeps_handedness = (scale_x * scale_y > 0) != (swap == 1)
    if keeps_handedness == mirror:
        return False
    wide, high = abs(scale_x), abs(scale_y)
    if min(wide, high) * _MAX_ZOOM < 1 or max(wide, high) > _MAX_ZOOM:
        return False
    stretch = wide * aspect_b / (high * aspect_a) if swap == 0 else wide * aspect_b * aspect_a / high
    return 1 / _MAX_STRETCH <= stretch <= _MAX_STRETCH
