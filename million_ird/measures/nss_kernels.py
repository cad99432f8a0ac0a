"""Sums of NIQE and BRISQUE over a plane, compiled: 7×7 normalisation, products with neighbours, their moments.

A plane is read a few rows at a time; besides the plane, only those rows are in memory, whatever its size.

BRISQUE is filtered in float32 and in the same order of operations as PyTorch, NIQE in float64. This is necessary: in a
flat region the normalised luma is only the rounding error of the 7×7 sum, its sign decides on which side of the
asymmetric Gaussian those pixels are counted, and charts, logos and images on white are mostly flat. So the two scores
cannot share the filter and still equal pyiqa's; they share the luma and the code of the sums.
"""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from million_ird.measures.nss_planes import Floats, Plane
from million_ird.runtime.jit import compiled

Sums: TypeAlias = NDArray[np.float64]

BLOCK = 96
"""Side of NIQE's blocks at full size (Mittal et al. 2013, section III-B); half of it at half size."""
REACH = 3
"""Pixels of the 7×7 window on each side of its centre."""
BAND = 16
"""Rows that BRISQUE's filter processes at once, so that they stay in the second-level cache."""

_F32 = np.float32
_ONE = _F32(1)
_ZERO = _F32(0)
_EPS = np.finfo(np.float32).eps


def _gaussian() -> NDArray[np.float32]:
    """Return the (7, 7) float32 Gaussian of sigma 7/6, normalised before rounding (Mittal et al. 2012, equation 2)."""
    at = np.arange(-REACH, REACH + 1, dtype=np.float64)
    window = np.exp(-(at[:, None] ** 2 + at[None, :] ** 2) / (2 * (7 / 6) ** 2))
    return np.asarray(window / window.sum(), np.float32)


_WINDOW = _gaussian()


def _half_gaussian() -> NDArray[np.float64]:
    """Return the left half of the row from which the window is built, its centre last: (4,) float64.

    Rounded to float32, the window's 49 weights sum to a little over 1. This row keeps their sum, so that a flat region
    becomes a tiny negative number, as in pyiqa, instead of zero or a number of either sign.
    """
    row = np.exp(-(np.arange(-REACH, 1, dtype=np.float64) ** 2) / (2 * (7 / 6) ** 2))
    total = 2 * row[:REACH].sum() + row[REACH]
    return np.asarray(row / total * np.sqrt(_WINDOW.astype(np.float64).sum()))


_COLUMN = _half_gaussian()
# Offsets of the upper, upper left and upper right neighbours in a row with wrapped ends (partners 2, 3 and 4).
_UPPER = (0, 0, 1, 0, 2)


@compiled()
def _copy(row: Floats, out: Floats) -> None:
    """Copy row (n,) to out (n,); a loop, because numba takes seconds to compile an assignment to a slice."""
    for x in range(row.shape[0]):
        out[x] = row[x]


@compiled()
def _ones(count: int) -> Floats:
    """Return (count,) ones; a loop for the same reason."""
    out = np.empty(count, np.float32)
    for x in range(count):
        out[x] = _ONE
    return out


@compiled()
def _fill(source: Plane, top: int, band: Floats, squares: Floats) -> None:
    """Fill band and squares (rows + 6, W + 6) with luma and its square from row top - 3 on, 0 outside the image."""
    height, width = source.shape
    for r in range(band.shape[0]):
        y = top - REACH + r
        line = band[r]
        if 0 <= y < height:
            row = source[y]
            for x in range(REACH):
                line[x] = line[width + REACH + x] = _ZERO
            for x in range(width):
                line[x + REACH] = _F32(row[x])
        else:
            for x in range(width + 2 * REACH):
                line[x] = _ZERO
        square = squares[r]
        for x in range(width + 2 * REACH):
            square[x] = line[x] * line[x]


@compiled("contract")
def _taps(line: Floats, square: Floats, mean: Floats, power: Floats, weights: Floats) -> None:
    """Add one row of the window: mean[x] += Σ line[x + k]·weights[k], power likewise, from left to right.

    oneDNN, which PyTorch uses to convolve in float32, adds the 49 products of a window row by row in this order with
    fused multiply-adds. So do these sums, which are therefore equal to the last bit.
    """
    w0, w1, w2, w3 = weights[0], weights[1], weights[2], weights[3]
    for x in range(mean.shape[0]):
        t = mean[x]
        t += line[x] * w0
        t += line[x + 1] * w1
        t += line[x + 2] * w2
        t += line[x + 3] * w3
        t += line[x + 4] * w2
        t += line[x + 5] * w1
        t += line[x + 6] * w0
        mean[x] = t
        t = power[x]
        t += square[x] * w0
        t += square[x + 1] * w1
        t += square[x + 2] * w2
        t += square[x + 3] * w3
        t += square[x + 4] * w2
        t += square[x + 5] * w1
        t += square[x + 6] * w0
        power[x] = t


@compiled()
def _normalise(band: Floats, squares: Floats, out: Floats) -> None:
    """Write (luma - mean) / (deviation + 1) over the Gaussian window to out (rows, width).

    band and squares: (rows + 6, width + 6), as `_fill` fills them.

    Mittal et al. 2012, equations 1 to 3, with C = 1.
    """
    rows, width = out.shape
    mean = np.empty(width, np.float32)
    power = np.empty(width, np.float32)
    for y in range(rows):
        for x in range(width):
            mean[x] = power[x] = _ZERO
        for k in range(2 * REACH + 1):
            _taps(band[y + k], squares[y + k], mean, power, _WINDOW[k])
        line = band[y + REACH]
        row = out[y]
        for x in range(width):
            m = mean[x]
            variance = np.abs(power[x] - m * m)
            row[x] = (line[x + REACH] - m) / (np.sqrt(variance + _EPS) + _ONE)


# Sums of terms of one sign hardly depend on their order, and without a fixed order eight are added at once.
@compiled("reassoc", "nsz", "contract")
def _add_products(a: Floats, b: Floats, sums: Sums) -> None:
    """Add to sums (5,), for p = a·b: count of p < 0, count of p > 0, Σ p² where p < 0, Σ p² where p > 0, Σ |p|."""
    below = above = left = right = size = _ZERO
    for x in range(a.shape[0]):
        p = a[x] * b[x]
        below += _ONE if p < _ZERO else _ZERO
        above += _ONE if p > _ZERO else _ZERO
        low = min(p, _ZERO)
        high = max(p, _ZERO)
        left += low * low
        right += high * high
        size += high - low
    sums[0] += below
    sums[1] += above
    sums[2] += left
    sums[3] += right
    sums[4] += size


@compiled()
def _add_row(row: Floats, above: Floats, ones: Floats, first: int, last: int, sums: Sums) -> None:
    """Add to sums (5, 5) a row itself and its products with its left, upper and two upper diagonal neighbours.

    row, above: (width + 2,), with wrapped ends, because both scores treat the image as periodic. Only the partners
    first to last - 1 of the five are added.
    """
    width = row.shape[0] - 2
    for partner in range(first, last):
        if partner == 0:
            other = ones[:width]
        elif partner == 1:
            other = row[:width]
        else:
            start = _UPPER[partner]
            other = above[start : start + width]
        _add_products(row[1 : width + 1], other, sums[partner])


@compiled()
def _add_band(normal: Floats, opening: Floats, ones: Floats, first: bool, sums: Sums) -> None:
    """Add to sums (5, 5) the rows from 1 on of normal (rows + 1, W + 2).

    The upper neighbours of the image's first row are in its last row, so its products with them are added at the end.
    """
    width = normal.shape[1] - 2
    for y in range(1, normal.shape[0]):
        row = normal[y]
        row[0] = row[width]
        row[width + 1] = row[1]
        if first and y == 1:
            _copy(row, opening)
        _add_row(row, normal[y - 1], ones, 0, 2 if first and y == 1 else 5, sums)


@compiled()
def _scan_whole(source: Plane, sums: Sums) -> None:
    """Add to sums (5, 5) BRISQUE's normalised luma over all of source (H, W), which is padded with 0."""
    height, width = source.shape
    band = np.empty((BAND + 2 * REACH, width + 2 * REACH), np.float32)
    squares = np.empty((BAND + 2 * REACH, width + 2 * REACH), np.float32)
    # Row 0 is the last row of the previous band; the first and last column are the wrapped ends of each row.
    normal = np.empty((BAND + 1, width + 2), np.float32)
    opening = np.empty(width + 2, np.float32)
    ones = _ones(width)
    for top in range(0, height, BAND):
        rows = min(BAND, height - top)
        _fill(source, top, band[: rows + 2 * REACH], squares[: rows + 2 * REACH])
        _normalise(band, squares, normal[1 : rows + 1, 1 : width + 1])
        _add_band(normal[: rows + 1], opening, ones, top == 0, sums)
        _copy(normal[rows], normal[0])
    _add_row(opening, normal[0], ones, 2, 5, sums)


@compiled("contract")
def _sum_columns(source: Plane, height: int, y: int, mean: Sums, power: Sums) -> None:
    """Write the window's column sums of luma and its square around row y to mean and power (width + 6,), in float64.

    Outside the image, the outermost pixels are repeated.
    """
    a, b = source[max(y - 3, 0)], source[min(y + 3, height - 1)]
    c, d = source[max(y - 2, 0)], source[min(y + 2, height - 1)]
    e, f = source[max(y - 1, 0)], source[min(y + 1, height - 1)]
    g = source[y]
    width = mean.shape[0] - 2 * REACH
    k0, k1, k2, k3 = _COLUMN[0], _COLUMN[1], _COLUMN[2], _COLUMN[3]
    for x in range(width):
        a_, b_, c_, d_ = np.float64(a[x]), np.float64(b[x]), np.float64(c[x]), np.float64(d[x])
        e_, f_, g_ = np.float64(e[x]), np.float64(f[x]), np.float64(g[x])
        mean[x + REACH] = k0 * (a_ + b_) + k1 * (c_ + d_) + k2 * (e_ + f_) + k3 * g_
        power[x + REACH] = (
            k0 * (a_ * a_ + b_ * b_) + k1 * (c_ * c_ + d_ * d_) + k2 * (e_ * e_ + f_ * f_) + k3 * (g_ * g_)
        )
    for x in range(REACH):
        mean[x], mean[width + REACH + x] = mean[REACH], mean[width + REACH - 1]
        power[x], power[width + REACH + x] = power[REACH], power[width + REACH - 1]


@compiled("contract")
def _finish_row(row: Plane, unit: float, mean: Sums, power: Sums, out: Floats) -> None:
    """Write (luma - mean) / (deviation + 1) of one row to out (width,), from the column sums of `_sum_columns`."""
    k0, k1, k2, k3 = _COLUMN[0], _COLUMN[1], _COLUMN[2], _COLUMN[3]
    for x in range(out.shape[0]):
        m = k0 * (mean[x] + mean[x + 6]) + k1 * (mean[x + 1] + mean[x + 5])
        m += k2 * (mean[x + 2] + mean[x + 4]) + k3 * mean[x + 3]
        p = k0 * (power[x] + power[x + 6]) + k1 * (power[x + 1] + power[x + 5])
        p += k2 * (power[x + 2] + power[x + 4]) + k3 * power[x + 3]
        # The differences of large numbers are computed; from here on float32 is precise enough and twice as fast.
        contrast = _F32((np.float64(row[x]) - m) * unit)
        variance = _F32(np.abs(p - m * m) * (unit * unit))
        out[x] = contrast / (np.sqrt(variance) + _ONE)


@compiled()
def _scan_blocks(source: Plane, unit: float, side: int, sums: Sums) -> None:
    """Add to sums (down, across, 5, 5) NIQE's normalised luma of each side × side block of source (H, W) · unit.

    Within a block the neighbour of a pixel at the edge is the one at the opposite edge.
    """
    down, across = sums.shape[0], sums.shape[1]
    height, width = down * side, across * side
    mean = np.empty(width + 2 * REACH, np.float64)
    power = np.empty(width + 2 * REACH, np.float64)
    normal = np.empty((side, width), np.float32)
    above = np.empty(side + 2, np.float32)
    here = np.empty(side + 2, np.float32)
    ones = _ones(side)
    for j in range(down):
        for r in range(side):
            y = j * side + r
            _sum_columns(source, height, y, mean, power)
            _finish_row(source[y], unit, mean, power, normal[r])
        for i in range(across):
            _wrap(normal[side - 1, i * side : (i + 1) * side], above)
            for r in range(side):
                _wrap(normal[r, i * side : (i + 1) * side], here)
                _add_row(here, above, ones, 0, 5, sums[j, i])
                above, here = here, above


@compiled()
def _wrap(row: Floats, out: Floats) -> None:
    """Write row (n,) to out (n + 2,), with its last value before it and its first after it."""
    n = row.shape[0]
    for x in range(n):
        out[x + 1] = row[x]
    out[0] = row[n - 1]
    out[n + 1] = row[0]


def whole_sums(plane: Plane) -> Sums:
    """Return BRISQUE's sums over a plane.

    Returns:
        (5, 5) float64. Axis 0: the normalised luma itself, then its products with the left, upper, upper left and upper
        right neighbour. Axis 1: number of negative and of positive values, sum of squares of the negative and of the
        positive values, sum of absolute values.
    """
    sums = np.zeros((5, 5))
    _scan_whole(plane, sums)
    return sums


def block_sums(plane: Plane, unit: float, side: int) -> Sums:
    """Return NIQE's sums (n, 5, 5) float64 over whole side × side blocks of plane · unit; axes as in `whole_sums`."""
    sums = np.zeros((plane.shape[0] // side, plane.shape[1] // side, 5, 5))
    _scan_blocks(plane, unit, side, sums)
    return sums.reshape(-1, 5, 5)
