"""Inner loops of `tiling`, compiled: means of squares, fine structure over its deviation, and peaks.

All give what OpenCV and NumPy give, to the last bit.
"""

from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from million_ird.runtime.jit import compiled

Luma: TypeAlias = NDArray[np.uint8]
Floats: TypeAlias = NDArray[np.float32]

_F32, _U16 = np.float32, np.uint16
_REACH = 3
"""Distance in px within which only the highest peak counts."""
_SIMPLE, _LARGEST = 2, 64
"""Of squares of 2 px OpenCV rounds the mean in another way, and is fast; sums over 64 rows fit 16 bits."""


@compiled()
def _square_means(luma: Luma, side: int, means: Luma) -> None:
    """Fill what `square_means` returns."""
    rows, columns = means.shape
    sums = np.empty(columns * side, np.uint16)
    share = _F32(1 / (side * side))
    for j in range(rows):
        for x in range(sums.shape[0]):
            sums[x] = _U16(luma[j * side, x])
        for k in range(1, side):
            row = luma[j * side + k]
            for x in range(sums.shape[0]):
                sums[x] = _U16(sums[x] + _U16(row[x]))
        for i in range(columns):
            total = np.int64(0)
            for x in range(side):
                total += np.int64(sums[i * side + x])
            means[j, i] = np.uint8(np.rint(_F32(total) * share))


def square_means(luma: Luma, side: int) -> Luma:
    """Return the mean of each whole square, rounded, as `cv2.INTER_AREA` gives it; (H, W) → (H // side, W // side)."""
    rows, columns = luma.shape[0] // side, luma.shape[1] // side
    if not _SIMPLE < side <= _LARGEST:
        whole = luma[: rows * side, : columns * side]
        return np.asarray(cv2.resize(whole, (columns, rows), interpolation=cv2.INTER_AREA), np.uint8)
    means = np.empty((rows, columns), np.uint8)
    _square_means(np.ascontiguousarray(luma), side, means)
    return means


@compiled()
def _normalise(fine: Floats, power: Floats, clip: np.float32) -> None:
    """Bring fine (n,) nearer to 0 by 1, divide it by √power + 1, and clip it."""
    one = _F32(1)
    for x in range(fine.shape[0]):
        seen = max(fine[x] - one, _F32(0)) + min(fine[x] + one, _F32(0))
        value = seen / (np.sqrt(max(power[x], _F32(0))) + one)
        fine[x] = min(max(value, -clip), clip)


def normalise(fine: Floats, power: Floats, clip: float) -> None:
    """Divide what fine (h, w) has beyond 1 level by its local deviation, √power + 1 level, in place; clip at ±clip."""
    _normalise(fine.reshape(-1), power.reshape(-1), np.float32(clip))


@compiled()
def _to_deviations(beyond: Floats, power: Floats, least: np.float32) -> None:
    for x in range(beyond.shape[0]):
        beyond[x] /= np.sqrt(max(power[x], least))


def to_deviations(beyond: Floats, power: Floats, least: float) -> None:
    """Divide beyond (h, w) in place by √power, or by √least where power (h, w) is less."""
    _to_deviations(beyond.reshape(-1), power.reshape(-1), np.float32(least))


@compiled()
def _mark_high(heights: Floats, origin: tuple[int, int], limits: Floats, high: Floats) -> int:
    """Copy the heights that `tops` looks at to high, which is 0 elsewhere; return how many they are."""
    lowest, nearest_squared, far_down, far_across = limits[0], limits[1], limits[2], limits[3]
    count = 0
    for y in range(origin[0], heights.shape[0]):
        down, row = _F32(y - origin[0]), heights[y]
        if not down < far_down:
            break
        for x in range(row.shape[0]):
            if row[x] > lowest:
                across = _F32(x - origin[1])
                apart = (down > 0 or across > 0) and down * down + across * across > nearest_squared
                if apart and abs(across) < far_across:
                    high[y, x] = row[x]
                    count += 1
    return count


@compiled()
def _tops(high: Floats, found: NDArray[np.int64]) -> int:
    """Write where high has the largest value within `_REACH` and is more than 0 to found (n, 2); return how many."""
    count = 0
    if not found.shape[0]:
        return count
    height, width = high.shape
    for y in range(height):
        for x in range(width):
            if high[y, x] > 0:
                bottom, right = min(y + _REACH + 1, height), min(x + _REACH + 1, width)
                if high[y, x] == high[max(y - _REACH, 0) : bottom, max(x - _REACH, 0) : right].max():
                    found[count, 0], found[count, 1] = y, x
                    count += 1
    return count


def tops(
    heights: Floats, origin: tuple[int, int], *, lowest: float, nearest: float, farthest: tuple[float, float]
) -> NDArray[np.int64]:
    """Return where heights are the largest within 3 px, row by row: (n, 2), y and x.

    Args:
        heights: (h, w).
        origin: y and x of the shift (0, 0). Shifts up, and to the left in its row, are not looked at;
        lowest: nor are heights up to this,
        nearest: shifts up to this length,
        farthest: and shifts down, or across, of this length and more.
    """
    limits = np.array([lowest, nearest**2, *farthest], np.float32)
    high = np.zeros_like(heights)
    found = np.empty((_mark_high(heights, origin, limits, high), 2), np.int64)
    return found[: _tops(high, found)]
