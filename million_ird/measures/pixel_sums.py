"""Sums of 3×3 filters over blocks of the luma, compiled: the base of sharpness, resolution and noise.

Each function reads the luma once, a few rows at a time, and has the numbers of OpenCV's filters and of its averaging by
`INTER_AREA`: to the last bit on processors where OpenCV adds four values at a time. All levels and responses are
integers, so their sums in float32 are exact, whatever their order, up to 2²⁴. Beyond that the order of OpenCV's
additions is kept: block by block from the first row to the last, four values at a time.
"""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from million_ird.runtime.jit import compiled

Luma: TypeAlias = NDArray[np.uint8]
Floats: TypeAlias = NDArray[np.float32]

BAND = 512
"""Rows whose totals are added up together."""

_F32 = np.float32
_EXACT = 1 << 24


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
def _add_squares_in_order(values: Floats, total: np.float32) -> np.float32:
    """Add the squares of values (4n,) to a total, four at a time."""
    for x in range(0, values.shape[0], 4):
        a, b, c, d = values[x], values[x + 1], values[x + 2], values[x + 3]
        total += ((a * a + b * b) + c * c) + d * d
    return total


@compiled()
def _laplacian(above: Floats, here: Floats, below: Floats, out: Floats) -> None:
    """Write a row of the Laplacian to out (n,); the others are (n + 2,), as `_pad` fills them."""
    for x in range(out.shape[0]):
        out[x] = ((above[x + 1] + below[x + 1]) + (here[x] + here[x + 2])) - _F32(4) * here[x + 1]


@compiled()
def _second(above: Floats, here: Floats, below: Floats, out: Floats) -> None:
    """Write a row of (1 −2 1; −2 4 −2; 1 −2 1) to out (n,); the others are (n + 2,), as `_pad` fills them."""
    two = _F32(2)
    for x in range(out.shape[0]):
        left = (above[x] + below[x]) - two * here[x]
        middle = (above[x + 1] + below[x + 1]) - two * here[x + 1]
        right = (above[x + 2] + below[x + 2]) - two * here[x + 2]
        out[x] = (left + right) - two * middle


@compiled()
def _clear(sums: Floats) -> None:
    """Fill a matrix with 0."""
    for k in range(sums.shape[0]):
        for x in range(sums.shape[1]):
            sums[k, x] = _F32(0)


@compiled()
def _add_row(values: Floats, levels: Floats, sums: Floats) -> None:
    """Add responses (n,), their squares and levels (n + 2,), padded, to sums (3, n)."""
    one, two, three = sums[0], sums[1], sums[2]
    for x in range(values.shape[0]):
        one[x] += values[x]
        two[x] += values[x] * values[x]
        three[x] += levels[x + 1]


@compiled()
def _block(sums: Floats, values: Floats, start: int, stop: int) -> tuple[float, np.float32, float]:
    """Return the sums of responses, of their squares and of levels over columns `start` to `stop` - 1.

    The sums (3, n) are those of the columns of values (rows, n), which are looked at where they are too large.
    """
    first = second = third = 0.0
    for x in range(start, stop):
        first += np.float64(sums[0, x])
        second += np.float64(sums[1, x])
        third += np.float64(sums[2, x])
    ordered = _F32(second)
    if second > _EXACT:
        ordered = _F32(0)
        for r in range(values.shape[0]):
            ordered = _add_squares_in_order(values[r, start:stop], ordered)
    return first, ordered, third


@compiled()
def _laplacian_sums(luma: Luma, side: int, mean: Floats, square: Floats, level: Luma, totals: Floats) -> None:
    """Fill what `laplacian_sums` returns."""
    height, width = luma.shape
    rows, columns = mean.shape
    above, here, below = _three_lines(width)
    values = np.empty((side, width), np.float32)
    sums = np.empty((3, width), np.float32)
    share = _F32(1) / _F32(side * side)
    _pad(luma[_inside(-1, height)], above)
    _pad(luma[0], here)
    for top in range(0, height, side):
        _clear(sums)
        deep = min(side, height - top)
        for r in range(deep):
            _pad(luma[_inside(top + r + 1, height)], below)
            _laplacian(above, here, below, values[r])
            _add_row(values[r], here, sums)
            above, here, below = here, below, above
        band = top // BAND
        first = second = 0.0
        for x in range(width):
            first += np.float64(sums[0, x])
            second += np.float64(sums[1, x])
        totals[band, 0] += first
        totals[band, 1] += second
        j = top // side
        if j >= rows:
            continue
        for i in range(columns):
            one, two, three = _block(sums, values, i * side, (i + 1) * side)
            mean[j, i] = _F32(one) * share
            square[j, i] = two * share
            level[j, i] = np.uint8(np.rint(three / (side * side)))


def laplacian_sums(luma: Luma, side: int) -> tuple[Floats, Floats, Luma, NDArray[np.float64]]:
    """Sum the Laplacian (0 1 0; 1 −4 1; 0 1 0) in blocks.

    Args:
        luma: (H, W), at least 2 px high and wide.
        side: of a block, a divisor of `BAND` and a multiple of 4, at most 16.

    Returns:
        Mean and mean square of the Laplacian in each whole block, (rows, columns) float32; the mean level there,
        rounded, uint8; sum and sum of squares in each band of `BAND` rows, blocks or not: (bands, 2) float64.
    """
    height, width = luma.shape
    blocks = (height // side, width // side)
    mean, square, level = np.empty(blocks, np.float32), np.empty(blocks, np.float32), np.empty(blocks, np.uint8)
    totals = np.zeros((-(-height // BAND), 2))
    _laplacian_sums(np.ascontiguousarray(luma), side, mean, square, level, totals)
    return mean, square, level, totals


@compiled()
def _whole_laplacian(above: Luma, here: Luma, below: Luma, out: NDArray[np.int16]) -> None:
    """Write a row of the Laplacian to out (n,), in integers of 16 bits, of which a processor adds most at a time."""
    last = out.shape[0] - 1
    for x in range(1, last):
        beside = np.int64(here[x - 1]) + np.int64(here[x + 1])
        out[x] = np.int16(np.int64(above[x]) + np.int64(below[x]) + beside - 4 * np.int64(here[x]))
    for x, beside in ((0, np.int64(here[1])), (last, np.int64(here[last - 1]))):
        out[x] = np.int16(np.int64(above[x]) + np.int64(below[x]) + 2 * beside - 4 * np.int64(here[x]))


@compiled()
def _clipped_square(edge: np.int16) -> np.float32:
    """Return the square of a response, cut off at ±255."""
    square = _F32(edge) * _F32(edge)
    return square if square < _F32(255 * 255) else _F32(255 * 255)


@compiled()
def _add_clipped(edges: NDArray[np.int16], levels: Luma, squares: Floats, shades: NDArray[np.uint16]) -> None:
    """Add the clipped squares of responses (n,) to squares (n,), and levels (n,) to shades (n,)."""
    for x in range(squares.shape[0]):
        squares[x] += _clipped_square(edges[x])
    for x in range(shades.shape[0]):
        shades[x] = np.uint16(np.int64(shades[x]) + np.int64(levels[x]))


@compiled()
def _add_clipped_in_order(edges: NDArray[np.int16], total: np.float32) -> np.float32:
    """Add the clipped squares of responses (4n,) to a total, four at a time."""
    for x in range(0, edges.shape[0], 4):
        a, b = _clipped_square(edges[x]), _clipped_square(edges[x + 1])
        total += ((a + b) + _clipped_square(edges[x + 2])) + _clipped_square(edges[x + 3])
    return total


@compiled()
def _tile_energies(luma: Luma, side: int, energy: Floats, level: Luma) -> None:
    """Fill what `tile_energies` returns; luma: (rows · side, columns · side) or larger."""
    rows, columns = energy.shape
    height, width = rows * side, columns * side
    edges = np.empty((side, width), np.int16)
    squares, shades = np.empty(width, np.float32), np.empty(width, np.uint16)
    share = _F32(1) / _F32(side * side)
    for j in range(rows):
        for x in range(width):
            squares[x], shades[x] = _F32(0), np.uint16(0)
        for r in range(side):
            y = j * side + r
            above, here = luma[_inside(y - 1, height), :width], luma[y, :width]
            _whole_laplacian(above, here, luma[_inside(y + 1, height), :width], edges[r])
            _add_clipped(edges[r], here, squares, shades)
        for i in range(columns):
            square, shade = 0.0, np.int64(0)
            for x in range(i * side, (i + 1) * side):
                square += np.float64(squares[x])
                shade += np.int64(shades[x])
            total = _F32(square)
            if square > _EXACT:
                total = _F32(0)
                for r in range(side):
                    total = _add_clipped_in_order(edges[r, i * side : (i + 1) * side], total)
            energy[j, i] = total * share
            level[j, i] = np.uint8(np.rint(shade / (side * side)))


def tile_energies(luma: Luma, side: int) -> tuple[Floats, Luma]:
    """Return the mean square of the Laplacian, cut off at ±255, and the mean level of each whole tile.

    Args:
        luma: (H, W). What is beyond the last whole tile in either direction is not looked at.
        side: of a tile, a multiple of 4, at most 256.

    Returns:
        (H // side, W // side) float32, and the same uint8, rounded.
    """
    tiles = (luma.shape[0] // side, luma.shape[1] // side)
    energy, level = np.empty(tiles, np.float32), np.empty(tiles, np.uint8)
    _tile_energies(np.ascontiguousarray(luma), side, energy, level)
    return energy, level


@compiled()
def _noise_sums(luma: Luma, chosen: NDArray[np.intp], side: int, mean: Floats, square: Floats, level: Floats) -> None:
    """Fill what `noise_sums` returns."""
    columns = mean.shape[1]
    width = columns * side
    above, here, below = _three_lines(width)
    values = np.empty((side - 2, width), np.float32)
    sums = np.empty((3, width), np.float32)
    share = _F32(1) / _F32(side * side)
    for j in range(chosen.shape[0]):
        top = chosen[j] * side
        _clear(sums)
        _pad(luma[top, :width], above)
        _pad(luma[top + 1, :width], here)
        for x in range(width):
            sums[2, x] = _F32(luma[top, x]) + _F32(luma[top + side - 1, x])
        for r in range(side - 2):
            _pad(luma[top + r + 2, :width], below)
            _second(above, here, below, values[r])
            _add_row(values[r], here, sums)
            above, here, below = here, below, above
        for i in range(columns):
            one, two, three = _block(sums, values, i * side, (i + 1) * side)
            mean[j, i] = _F32(one) * share
            square[j, i] = two * share
            level[j, i] = _F32(three) * share


def noise_sums(luma: Luma, chosen: NDArray[np.intp], side: int) -> tuple[Floats, Floats, Floats]:
    """Sum (1 −2 1; −2 4 −2; 1 −2 1) in the rows of blocks with these numbers.

    Args:
        luma: (H, W).
        chosen: (n,), numbers of rows of blocks.
        side: of a block, 4 to 16 and a multiple of 4.

    Returns:
        Mean and mean square of the response in each whole block, in which its first and last row count as 0, and the
        mean level: (n, W // side) float32 each.
    """
    blocks = (len(chosen), luma.shape[1] // side)
    mean, square, level = (np.empty(blocks, np.float32) for _ in range(3))
    _noise_sums(np.ascontiguousarray(luma), chosen, side, mean, square, level)
    return mean, square, level


@compiled()
def _window_responses(luma: Luma, means: Floats) -> None:
    """Fill what `window_responses` returns."""
    rows, columns = means.shape
    height, width = luma.shape[0] // rows, luma.shape[1] // columns
    above, here, below = _three_lines(luma.shape[1])
    values, sums = np.empty(luma.shape[1], np.float32), np.empty(luma.shape[1], np.float32)
    share = _F32(1) / _F32(height * width)
    for j in range(rows):
        for x in range(luma.shape[1]):
            sums[x] = _F32(0)
        _pad(luma[j * height], above)
        _pad(luma[j * height + 1], here)
        for y in range(j * height + 1, (j + 1) * height - 1):
            _pad(luma[y + 1], below)
            _second(above, here, below, values)
            for x in range(luma.shape[1]):
                sums[x] += np.abs(values[x])
            above, here, below = here, below, above
        for i in range(columns):
            total = 0.0
            for x in range(i * width + 1, (i + 1) * width - 1):
                total += np.float64(sums[x])
            means[j, i] = _F32(total) * share


def window_responses(luma: Luma, rows: int, columns: int) -> Floats:
    """Return the mean size of the response to (1 −2 1; −2 4 −2; 1 −2 1) in each window.

    Args:
        luma: (rows · h, columns · w): windows of h×w, 3 to 64 px each, side by side.
        rows: windows from top to bottom.
        columns: windows from left to right.

    Returns:
        (rows, columns) float32. The outermost pixels of a window count as 0.
    """
    means = np.empty((rows, columns), np.float32)
    _window_responses(np.ascontiguousarray(luma), means)
    return means
