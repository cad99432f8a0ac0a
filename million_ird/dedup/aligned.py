"""Two copies of an image on one raster: where one shows what the other shows, and what is left of each.

The map that confirmed a pair is accurate to a few per cent of the frame; here it is refined on the thumbnails.
"""

from dataclasses import dataclass
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from million_ird.dedup.overlap import Overlap

Plane: TypeAlias = NDArray[np.float32]
Box: TypeAlias = tuple[float, float, float, float]
"""Left, top, right and bottom."""
_REFINED_AT = (2.5, 1.0)
_STEPS, _LEAST_STEP, _LARGEST_STEP = 12, 0.04, 4.0
_MOVED = 0.1
"""Most that the refinement moves a corner, as a share of the frame."""
_LIGHT = 10.0
_MIN_SIDE = 16
"""Least side in px of an overlap that is compared."""
_BLURS = (0.5, 0.8, 1.2, 1.8)
_CLIP = 12.0
"""A difference in levels from which on it counts the same: it is added or lost, not a matter of sharpness."""
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


@dataclass(frozen=True, slots=True)
class Placement:
    """Where an image b lies relative to an image a: how b is turned, then a scale and a shift for each axis.

    Coordinates run from 0 to 1 from the top left corner.
    """

    orientation: int
    """How b is turned first: mirrored (bit 0), upside down (bit 1), transposed (bit 2, applied last)."""
    scale: tuple[float, float]
    """Scales, positive, that give x and y in the turned b from x and y in a."""
    shift: tuple[float, float]
    """Offsets that are added."""

    @classmethod
    def of_overlap(cls, overlap: Overlap) -> "Placement":
        """Return the placement that says the same as a map found by keypoints."""
        flips = [scale < 0 for scale in overlap.scale]
        scale = [abs(value) for value in overlap.scale]
        shift = [1 - s if flip else s for s, flip in zip(overlap.shift, flips, strict=True)]
        orientation = flips[0] + 2 * flips[1] + 4 * overlap.swap
        if overlap.swap:  # x in b comes from y in a, so y in the turned b is x in b
            scale, shift = scale[::-1], shift[::-1]
        return cls(orientation, (scale[0], scale[1]), (shift[0], shift[1]))

    def between_images(self, a: Box, b: Box) -> "Placement":
        """Return the placement between whole images, if this one is between parts of them.

        Args:
            a: The part of the first image.
            b: The part of the second image as it is, not turned.
        """
        b = turned_box(b, self.orientation)
        scale, shift = [], []
        for low, high in ((0, 2), (1, 3)):
            factor = self.scale[low] * (b[high] - b[low]) / (a[high] - a[low])
            scale.append(factor)
            shift.append(b[low] + (b[high] - b[low]) * self.shift[low] - factor * a[low])
        return Placement(self.orientation, (scale[0], scale[1]), (shift[0], shift[1]))


@dataclass(frozen=True, slots=True)
class Aligned:
    """Both images at one scale; the overlap is `box_a` in a and `box_b` in b."""

    a: Plane
    """(h, w, 3) levels 0 to 255."""
    b: Plane
    """(k, l, 3) levels 0 to 255, turned like a."""
    box_a: Box
    """In px of a."""
    box_b: Box
    """In px of b."""
    shared_a: Plane
    """(i, j, 3): a in the overlap."""
    shared_b: Plane
    """(i, j, 3): b in the overlap, on the raster of a."""
    error: float
    """Median difference of the details in the overlap, as a share of their median size; about 1 if unrelated."""


def turn(image: NDArray[np.generic], orientation: int) -> NDArray[np.generic]:
    """Return an image in another orientation, numbered as in `signature.orient`."""
    if orientation & 1:
        image = image[:, ::-1]
    if orientation & 2:
        image = image[::-1]
    return np.ascontiguousarray(image.swapaxes(0, 1) if orientation & 4 else image)


def turned_box(box: Box, orientation: int) -> Box:
    """Return where a part of an image lies when the image is turned; 0 to 1."""
    left, top, right, bottom = box
    if orientation & 1:
        left, right = 1 - right, 1 - left
    if orientation & 2:
        top, bottom = 1 - bottom, 1 - top
    return (top, left, bottom, right) if orientation & 4 else (left, top, right, bottom)


def align(a: NDArray[np.uint8], b: NDArray[np.uint8], placement: Placement) -> Aligned | None:
    """Return both thumbnails on one raster, or None if their overlap is too small to compare.

    Args:
        a: (H, W, 3) uint8.
        b: (K, L, 3) uint8.
        placement: Where b lies, about.
    """
    b = turn(b, placement.orientation).astype(np.uint8, copy=False)
    # Pixels of b to a pixel of a; the finer thumbnail is shrunk to the raster of the coarser one.
    steps = [scale * b.shape[1 - i] / a.shape[1 - i] for i, scale in enumerate(placement.scale)]
    first = _shrunk(a, [max(1.0, 1 / step) for step in steps])
    second = _shrunk(b, [max(1.0, step) for step in steps])
    size_a, size_b = first.shape[1::-1], second.shape[1::-1]
    warp = np.zeros((2, 3), np.float32)
    for i in range(2):
        warp[i, i] = placement.scale[i] * size_b[i] / size_a[i]
        warp[i, 2] = placement.shift[i] * size_b[i] + 0.5 * (warp[i, i] - 1)
    refined = _refined(first, second, warp)
    found = [_overlaid(first, second, one) for one in (warp, refined)]
    # What moves a smooth image is often noise, and the borders of the contents can be exact.
    known = [one for one in found if one is not None]
    return min(known, key=lambda one: one.error, default=None)


def _overlaid(first: Plane, second: Plane, warp: Plane) -> Aligned | None:
    size_a, size_b = first.shape[1::-1], second.shape[1::-1]
    box_a = _box(warp, size_a, size_b)
    left, top = int(np.ceil(box_a[0] - 0.25)), int(np.ceil(box_a[1] - 0.25))
    right, bottom = int(box_a[2] + 0.25), int(box_a[3] + 0.25)
    if min(right - left, bottom - top) < _MIN_SIDE:
        return None
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    warped = cv2.warpAffine(second, warp, size_a, flags=flags, borderMode=cv2.BORDER_REPLICATE)
    shared_a, shared_b = first[top:bottom, left:right], np.asarray(warped[top:bottom, left:right], np.float32)
    details = _details(luma(shared_a), 0), _details(luma(shared_b), 0)
    sizes = [1 + float(np.median(np.abs(plane))) for plane in details]
    error = float(np.median(np.abs(details[0] / sizes[0] - details[1] / sizes[1])))
    return Aligned(first, second, box_a, _inverse_box(warp, box_a, size_b), shared_a, shared_b, error)


def luma(image: Plane) -> Plane:
    """Return the BT.601 luma of (h, w, 3) levels."""
    return np.asarray(image @ _LUMA, np.float32)


def correlate(a: Plane, b: Plane) -> float:
    """Return the correlation of two planes, −1 to 1; 0 if one of them is plain."""
    first, second = a - a.mean(), b - b.mean()
    norm = float(np.linalg.norm(first) * np.linalg.norm(second))
    return float((first * second).sum()) / norm if norm else 0.0


def same_tones(a: Plane, b: Plane) -> Plane:
    """Return plane a with the tones of b: a parabola through their levels that outliers do not bend."""
    x = a.ravel() / 255
    basis = np.stack([np.ones_like(x), x, x * x], axis=1).astype(np.float64)
    target = b.ravel().astype(np.float64)
    weight: NDArray[np.float64] = np.ones(len(x))
    fitted: NDArray[np.float64] = np.zeros(3)
    for _ in range(6):
        weighed = basis * weight[:, None]
        normal = weighed.T @ basis + 1e-6 * len(x) * np.diag([0, 0.01, 0.1])
        fitted = np.asarray(np.linalg.solve(normal, weighed.T @ target), np.float64)
        error = np.abs(basis @ fitted - target)
        spread = max(1.0, 2.5 * float(np.median(error)))
        weight = np.asarray(1 / (1 + (error / spread) ** 2), np.float64)
    return np.asarray(np.clip(basis @ fitted, 0, 255).reshape(a.shape), np.float32)


def same_sharpness(a: Plane, b: Plane) -> tuple[Plane, Plane]:
    """Return both planes, the sharper one blurred like the other."""
    best = (_difference(a, b), a, b)
    for sigma in _BLURS:
        for first, second in ((_blurred(a, sigma), b), (a, _blurred(b, sigma))):
            value = _difference(first, second)
            if value < 0.97 * best[0]:
                best = (value, first, second)
    return best[1], best[2]


def _difference(a: Plane, b: Plane) -> float:
    return float(np.minimum(np.abs(a - b), _CLIP).mean())


def _blurred(plane: Plane, sigma: float) -> Plane:
    return np.asarray(cv2.GaussianBlur(plane, (0, 0), sigma), np.float32)


def _details(plane: Plane, sigma: float) -> Plane:
    """Return a plane without its finest details, and without what is a matter of light, such as darkened corners."""
    fine = _blurred(plane, sigma) if sigma else plane
    return np.asarray(fine - _blurred(plane, _LIGHT), np.float32)


def _shrunk(image: NDArray[np.uint8], factors: list[float]) -> Plane:
    size = [max(1, round(side / factor)) for side, factor in zip(image.shape[1::-1], factors, strict=True)]
    return np.asarray(cv2.resize(image.astype(np.float32), size, interpolation=cv2.INTER_AREA), np.float32)


def _refined(a: Plane, b: Plane, warp: Plane) -> Plane:
    """Return the map (a scale and a shift for each axis) near the given one with which b matches a best.

    Gauss–Newton steps on the luma of both, blurred much and then little, with a gain and an offset of the tones and
    less weight for pixels that are far off: what was laid over one of them does not pull.
    """
    found = warp.copy()
    for sigma in _REFINED_AT:
        first, second = _details(luma(a), sigma), _details(luma(b), sigma)
        slopes = (cv2.Sobel(second, cv2.CV_32F, *axis, ksize=3, scale=0.125) for axis in ((1, 0), (0, 1)))
        planes = second, *(np.asarray(slope, np.float32) for slope in slopes)
        for _ in range(_STEPS):
            step = _step(first, planes, found)
            if step is None:
                break
            found += step
            if np.abs(step).max() * max(a.shape) < _LEAST_STEP and np.abs(step[:, 2]).max() < _LEAST_STEP:
                break
    corners = np.array([[0, 0, 1], [a.shape[1], 0, 1], [0, a.shape[0], 1], [a.shape[1], a.shape[0], 1]])
    moved = np.abs(corners @ (found - warp).T).max()
    return found if moved <= _MOVED * max(a.shape) else warp


def _step(a: Plane, planes: tuple[Plane, ...], warp: Plane) -> Plane | None:
    """Return the change of a map that brings b, and its slopes, nearer to a; None where too little is left of it."""
    height, width = a.shape
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    b, across, down = (cv2.warpAffine(plane, warp, (width, height), flags=flags) for plane in planes)
    limits = planes[0].shape[1] - 1.0, planes[0].shape[0] - 1.0
    low = [max(0, int(np.ceil(-warp[i, 2] / warp[i, i]))) for i in range(2)]
    high = [min(a.shape[1 - i], int((limits[i] - warp[i, 2]) / warp[i, i]) + 1) for i in range(2)]
    if min(high[0] - low[0], high[1] - low[1]) < _MIN_SIDE // 2:
        return None
    part = slice(low[1], high[1]), slice(low[0], high[0])
    x = np.arange(low[0], high[0], dtype=np.float32)[None] / width
    y = np.arange(low[1], high[1], dtype=np.float32)[:, None] / height
    across, down, values, target = across[part], down[part], b[part], a[part]
    columns = [across * x, across, down * y, down, values, np.ones_like(values)]
    basis = np.stack([column.ravel() for column in columns], axis=1)
    wanted = target.ravel()
    gain = float(np.median(np.abs(target))) / max(0.1, float(np.median(np.abs(values))))
    error = np.abs(wanted - gain * values.ravel())
    weight = 1 / (1 + (error / max(1.0, 2 * float(np.median(error)))) ** 2)
    weighed = basis * weight[:, None]
    normal = (weighed.T @ basis).astype(np.float64)
    normal += np.diag(np.diag(normal)) * 1e-5 + 1e-6 * np.eye(6)
    solved = np.linalg.solve(normal, (weighed.T @ wanted).astype(np.float64))
    gain = float(solved[4])
    if gain < 0.05:
        return None
    step = np.zeros((2, 3), np.float32)
    step[0, 0], step[0, 2] = solved[0] / gain / width, solved[1] / gain
    step[1, 1], step[1, 2] = solved[2] / gain / height, solved[3] / gain
    return np.clip(step, -_LARGEST_STEP, _LARGEST_STEP)


def _box(warp: Plane, size_a: tuple[int, ...], size_b: tuple[int, ...]) -> Box:
    low, high = [], []
    for i in range(2):
        # Pixel centres are whole numbers, so an image of n px runs from −0.5 to n − 0.5.
        offset = warp[i, 2] + warp[i, 1 - i] * (size_a[1 - i] - 1) / 2
        ends = ((-0.5 - offset) / warp[i, i] + 0.5, (size_b[i] - 0.5 - offset) / warp[i, i] + 0.5)
        low.append(max(0.0, float(ends[0])))
        high.append(min(float(size_a[i]), float(ends[1])))
    return low[0], low[1], high[0], high[1]


def _inverse_box(warp: Plane, box: Box, size_b: tuple[int, ...]) -> Box:
    centre = (box[0] + box[2]) / 2 - 0.5, (box[1] + box[3]) / 2 - 0.5
    sides = np.zeros((2, 2))
    for i in range(2):
        offset = warp[i, 2] + warp[i, 1 - i] * centre[1 - i]
        ends = warp[i, i] * (np.array([box[i], box[i + 2]]) - 0.5) + offset + 0.5
        sides[i] = np.clip(ends, 0.0, float(size_b[i]))
    (left, right), (top, bottom) = sides.tolist()
    return left, top, right, bottom
