"""Steps between neighbouring pixels of the luma, compiled: Sobel magnitudes in blocks, and the lines of a grid.

Each function reads the luma once, a few rows at a time, and has the numbers of OpenCV's filters and averages: to the
last bit on processors where OpenCV adds four values at a time. Sums of integers in float32 are exact up to 2²⁴. For
Sobel magnitudes the order of OpenCV's additions is kept: block by block from the first row to the last, four values at
a time. (Where 1 / (1 / side) is not side in float64, as for 49 and 98, OpenCV averages in another order: there the mean
magnitude differs by up to some millionths.)

The first four functions are in `pixel_sums`, too: a compiled function can call only those of its own file (`jit.py`).
"""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from million_ird.runtime.jit import compiled

Luma: TypeAlias = NDArray[np.uint8]
Floats: TypeAlias = NDArray[np.float32]

_BAND = 512
"""Rows whose steps are added up in float32."""
_F32 = np.float32


@compiled()
def _pad(row: Luma, out: Floats) -> None:
    """Write row (n,) to out (n + 2,), with its second value before it and its last but one behind it."""
    n = row.shape[0]
    for x in range(n):
        out[x + 1] = _F32(row[x])
    out[0] = out[2]
    out[n + 1] = out[n - 1]


@compiled()
def _three_lines(width: int) -> tuple[Floats, Floats, Floats]:
    """Return lines for three rows, as `_pad` fills them."""
    return np.empty(width + 2, np.float32), np.empty(width + 2, np.float32), np.empty(width + 2, np.float32)


@compiled()
def _inside(y: int, height: int) -> int:
    """Return the row that stands for row y: itself, or the one mirrored at the edge."""
    y = -y if y < 0 else y
    return 2 * height - 2 - y if y >= height else y


@compiled()
def _clear(sums: Floats) -> None:
    """Fill a matrix with 0."""
    for k in range(sums.shape[0]):
        for x in range(sums.shape[1]):
            sums[k, x] = _F32(0)


@compiled()
def _add_fours(a: Floats, b: Floats, totals: Floats) -> None:
    """Add a and b (4n,) to the two totals, four at a time: side by side, since either waits for its last addition."""
    first, second = totals[0], totals[1]
    for x in range(0, a.shape[0], 4):
        first += ((a[x] + a[x + 1]) + a[x + 2]) + a[x + 3]
        second += ((b[x] + b[x + 1]) + b[x + 2]) + b[x + 3]
    totals[0], totals[1] = first, second


@compiled()
def _fill(values: Floats, buffer: Floats, kept: int) -> None:
    """Copy values (n,) to buffer behind the values that were kept there."""
    for x in range(values.shape[0]):
        buffer[kept + x] = values[x]


@compiled()
def _add_in_order(buffer: Floats, count: int, total: np.float32) -> np.float32:
    """Add the first values of buffer to a total, four at a time, and move what is left, up to 3, to its start."""
    whole = count // 4 * 4
    for x in range(0, whole, 4):
        total += ((buffer[x] + buffer[x + 1]) + buffer[x + 2]) + buffer[x + 3]
    for x in range(count - whole):
        buffer[x] = buffer[whole + x]
    return total


@compiled()
def _sobel(above: Floats, here: Floats, below: Floats, square: Floats, size: Floats) -> None:
    """Write the square of a row of the Sobel magnitude and the magnitude to (n,); the others are (n + 2,)."""
    two = _F32(2)
    for x in range(square.shape[0]):
        across = (above[x + 2] - above[x]) + two * (here[x + 2] - here[x]) + (below[x + 2] - below[x])
        down = (below[x] - above[x]) + two * (below[x + 1] - above[x + 1]) + (below[x + 2] - above[x + 2])
        both = across * across + down * down
        square[x] = both
        size[x] = np.sqrt(both)


@compiled()
def _sobel_sums(luma: Luma, side: int, mean: Floats, mean_square: Floats) -> None:
    """Fill what `sobel_sums` returns; luma: (rows · side, columns · side)."""
    rows, columns = mean.shape
    height, width = rows * side, columns * side
    above, here, below = _three_lines(width)
    values = np.empty((2, width), np.float32)
    buffers = np.empty((2, columns, side + 3), np.float32)
    totals = np.empty((2, columns), np.float32)
    share = _F32(1) / _F32(side * side)
    _pad(luma[_inside(-1, height), :width], above)
    _pad(luma[0, :width], here)
    for j in range(rows):
        _clear(totals)
        kept = 0
        for y in range(j * side, (j + 1) * side):
            _pad(luma[_inside(y + 1, height), :width], below)
            _sobel(above, here, below, values[0], values[1])
            for i in range(columns):
                start, stop = i * side, (i + 1) * side
                if side % 4 == 0:
                    _add_fours(values[0, start:stop], values[1, start:stop], totals[:, i])
                    continue
                for k in range(2):
                    _fill(values[k, start:stop], buffers[k, i], kept)
                    totals[k, i] = _add_in_order(buffers[k, i], kept + side, totals[k, i])
            kept = (kept + side) % 4
            above, here, below = here, below, above
        for i in range(columns):
            for k in range(2):
                for x in range(kept):
                    totals[k, i] += buffers[k, i, x]
            mean_square[j, i] = totals[0, i] * share
            mean[j, i] = totals[1, i] * share


def sobel_sums(luma: Luma, side: int) -> tuple[Floats, Floats]:
    """Return mean and mean square of the 3×3 Sobel magnitude in each whole block.

    Args:
        luma: (H, W). What is beyond the last whole block in either direction is not looked at.
        side: of a block, at least 2.

    Returns:
        Two of (H // side, W // side) float32.
    """
    blocks = (luma.shape[0] // side, luma.shape[1] // side)
    mean, mean_square = np.empty(blocks, np.float32), np.empty(blocks, np.float32)
    _sobel_sums(np.ascontiguousarray(luma), side, mean, mean_square)
    return mean, mean_square


@compiled("reassoc")
def _difference(a: Floats, b: Floats) -> np.float32:
    """Return Σ |a − b| of (n,) levels, n at most 4,096: exact in any order."""
    total = _F32(0)
    for x in range(a.shape[0]):
        total += np.abs(a[x] - b[x])
    return total


@compiled()
def _step_sums(luma: Luma, across: NDArray[np.float64], down: NDArray[np.float64]) -> None:
    """Add to across (W - 1,) and down (H - 1,) the steps between neighbours in luma (H, W)."""
    height, width = luma.shape
    here = np.empty(width + 2, np.float32)
    below = np.empty(width + 2, np.float32)
    steps = np.empty(width - 1, np.float32)
    _pad(luma[0], here)
    for top in range(0, height, _BAND):
        for x in range(width - 1):
            steps[x] = _F32(0)
        for y in range(top, min(top + _BAND, height)):
            left, right = here[1:width], here[2 : width + 1]
            for x in range(width - 1):
                steps[x] += np.abs(right[x] - left[x])
            if y + 1 < height:
                _pad(luma[y + 1], below)
                for start in range(1, width + 1, 4096):
                    stop = min(start + 4096, width + 1)
                    down[y] += np.float64(_difference(here[start:stop], below[start:stop]))
                here, below = below, here
        for x in range(width - 1):
            across[x] += np.float64(steps[x])


def mean_steps(luma: Luma) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the mean step between neighbours, |a − b|, over each line between two columns and between two rows.

    Args:
        luma: (H, W), at least 2 px high and wide.

    Returns:
        (W - 1,) and (H - 1,) float64.
    """
    height, width = luma.shape
    across, down = np.zeros(width - 1), np.zeros(height - 1)
    _step_sums(np.ascontiguousarray(luma), across, down)
    return across * (1 / height), down * (1 / width)
