"""Some rows of the luma at half the size, compiled: OpenCV's `INTER_AREA` where height or width is odd.

OpenCV halves an even number of pixels quickly, but an odd one by a table over all of the image, which takes 20 times as
long. Here only the rows that are looked at are made, by the same weights, in the same order and in float32.
"""

from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from million_ird.runtime.jit import compiled

Luma: TypeAlias = NDArray[np.uint8]
Floats: TypeAlias = NDArray[np.float32]

_F32 = np.float32
_LEAST = 1e-3
"""Share of a pixel that OpenCV leaves out."""


def halved_rows(luma: Luma, rows: NDArray[np.intp]) -> Luma:
    """Return these rows of what `cv2.resize(luma, (W // 2, H // 2), interpolation=cv2.INTER_AREA)` returns.

    Args:
        luma: (H, W), at least 4 px high and wide.
        rows: (n,), numbers of rows, less than H // 2.

    Returns:
        (n, W // 2).
    """
    height, width = luma.shape
    if height % 2 == 0 and width % 2 == 0:
        return np.asarray(cv2.resize(luma, (width // 2, height // 2), interpolation=cv2.INTER_AREA), np.uint8)[rows]
    half = np.empty((len(rows), width // 2), np.uint8)
    _fill(np.ascontiguousarray(luma), rows, _weights(width), _weights(height), half)
    return half


def _weights(length: int) -> Floats:
    """Return the weights of pixels 2i, 2i + 1 and 2i + 2 in pixel i at half the size; (3, length // 2)."""
    count = length // 2
    scale = length / count
    start = np.arange(count) * scale
    cell = np.minimum(scale, length - start)
    middle = 2 * np.arange(count) + 1
    before = np.where(middle - start > 1, 1, middle - start)
    after = np.minimum(start + scale - (middle + 1), 1)
    shares = np.stack([np.where(before > _LEAST, before, 0), np.ones(count), np.where(after > _LEAST, after, 0)])
    return np.asarray(shares / cell, np.float32)


@compiled()
def _halve(row: Luma, weights: Floats, out: Floats) -> None:
    """Write a row (n,) at half the size to out (n // 2,)."""
    last = out.shape[0] - 1
    one, two, three = weights[0], weights[1], weights[2]
    for x in range(last):
        pair = _F32(row[2 * x]) * one[x] + _F32(row[2 * x + 1]) * two[x]
        out[x] = pair + _F32(row[2 * x + 2]) * three[x]
    out[last] = _F32(row[2 * last]) * one[last] + _F32(row[2 * last + 1]) * two[last]
    if 2 * last + 2 < row.shape[0]:
        out[last] += _F32(row[2 * last + 2]) * three[last]


@compiled()
def _fill(luma: Luma, rows: NDArray[np.intp], across: Floats, down: Floats, half: Luma) -> None:
    """Fill what `halved_rows` returns."""
    width = half.shape[1]
    first, second, third = np.empty(width, np.float32), np.empty(width, np.float32), np.empty(width, np.float32)
    known = -1
    for j in range(rows.shape[0]):
        y = rows[j]
        if known == 2 * y:
            first, third = third, first
        else:
            _halve(luma[2 * y], across, first)
        _halve(luma[2 * y + 1], across, second)
        known = min(2 * y + 2, luma.shape[0] - 1)  # has no weight where it is beyond the last row
        _halve(luma[known], across, third)
        one, two, three = down[0, y], down[1, y], down[2, y]
        for x in range(width):
            half[j, x] = np.uint8(np.rint((one * first[x] + two * second[x]) + three * third[x]))
