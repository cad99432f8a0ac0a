"""Levels and steps along the lines of the luma, compiled: the base of `composites`.

Levels are integers, so sums are exact in any order. Means are those of `cv2.reduce` to the last bit: the sum as a
float32, times 1 / count as a float32. A row or column of up to 65,793 px, 2²⁴ / 255, fits.
"""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from million_ird.runtime.jit import compiled

Luma: TypeAlias = NDArray[np.uint8]
Floats: TypeAlias = NDArray[np.float32]
Integers: TypeAlias = NDArray[np.int64]

NOT_EVEN, EVEN, NEARLY = 0, 1, 2

_F32, _I32, _U16 = np.float32, np.int32, np.uint16
_SHORT = 256
"""Levels whose sum fits 16 bits."""
_CHECKED = 64
"""Samples after which a line is given up if it is not even."""
_MARGIN = 1e-3
"""Relative distance of a variance from its limit that rounding in float32 could bridge."""


@compiled()
def _starts(size: int, parts: int) -> Integers:
    """Return where parts start if `np.array_split` cuts size into parts, and size behind them: (parts + 1,)."""
    starts = np.empty(parts + 1, np.int64)
    for part in range(parts + 1):
        starts[part] = part * (size // parts) + min(part, size % parts)
    return starts


@compiled()
def _sum(values: Luma) -> np.int64:
    total = _I32(0)
    for x in range(values.shape[0]):
        total = _I32(total + _I32(values[x]))
    return np.int64(total)


@compiled()
def _sum_of_steps(a: Luma, b: Luma) -> np.int64:
    """Return Σ |a − b|."""
    total = _I32(0)
    for x in range(a.shape[0]):
        step = _I32(_I32(a[x]) - _I32(b[x]))
        total = _I32(total + (step if step > 0 else _I32(-step)))
    return np.int64(total)


@compiled()
def _clear(values: NDArray[np.uint16]) -> None:
    for x in range(values.shape[0]):
        values[x] = _U16(0)


@compiled()
def _add_levels(row: Luma, sums: NDArray[np.uint16]) -> None:
    for x in range(sums.shape[0]):
        sums[x] = _U16(sums[x] + _U16(row[x]))


@compiled()
def _add_steps(left: Luma, right: Luma, sums: NDArray[np.uint16]) -> None:
    """Add |left − right| (n,) to sums (n,)."""
    for x in range(sums.shape[0]):
        sums[x] = _U16(sums[x] + _U16(max(left[x], right[x]) - min(left[x], right[x])))


@compiled()
def _levels(luma: Luma, down: Floats, across: Floats) -> None:
    """Fill what `mean_levels` returns."""
    (height, width), parts = luma.shape, down.shape[0]
    starts = _starts(width, parts)
    for y in range(height):
        for part in range(parts):
            start, stop = starts[part], starts[part + 1]
            down[part, y] = _F32(_sum(luma[y, start:stop])) * _F32(1 / (stop - start))
    sums = np.empty(width, np.uint16)
    starts = _starts(height, parts)
    for part in range(parts):
        start, stop = starts[part], starts[part + 1]
        for x in range(width):
            across[part, x] = _F32(0)
        for top in range(start, stop, _SHORT):
            _clear(sums)
            for y in range(top, min(top + _SHORT, stop)):
                _add_levels(luma[y], sums)
            for x in range(width):
                across[part, x] += _F32(sums[x])
        for x in range(width):
            across[part, x] *= _F32(1 / (stop - start))


@compiled()
def _steps(luma: Luma, down: Floats, across: Floats) -> None:
    """Fill what `mean_steps` returns."""
    (height, width), parts = luma.shape, down.shape[0]
    starts = _starts(width, parts)
    for y in range(height - 1):
        for part in range(parts):
            start, stop = starts[part], starts[part + 1]
            down[part, y] = _F32(_sum_of_steps(luma[y, start:stop], luma[y + 1, start:stop])) * _F32(1 / (stop - start))
    sums = np.empty(width - 1, np.uint16)
    starts = _starts(height, parts)
    for part in range(parts):
        start, stop = starts[part], starts[part + 1]
        for x in range(width - 1):
            across[part, x] = _F32(0)
        for top in range(start, stop, _SHORT):
            _clear(sums)
            for y in range(top, min(top + _SHORT, stop)):
                _add_steps(luma[y, : width - 1], luma[y, 1:], sums)
            for x in range(width - 1):
                across[part, x] += _F32(sums[x])
        for x in range(width - 1):
            across[part, x] *= _F32(1 / (stop - start))


def mean_levels(luma: Luma, parts: int) -> tuple[Floats, Floats]:
    """Return the mean level of each part of each row, and of each column; luma: (H, W).

    Returns:
        (parts, H) and (parts, W).
    """
    height, width = luma.shape
    down, across = np.empty((parts, height), np.float32), np.empty((parts, width), np.float32)
    _levels(np.ascontiguousarray(luma), down, across)
    return down, across


def mean_steps(luma: Luma, parts: int) -> tuple[Floats, Floats]:
    """Return the mean step, |a − b|, from each part of a row to the next row, and the same of columns; luma: (H, W).

    Returns:
        (parts, H - 1) and (parts, W - 1).
    """
    height, width = luma.shape
    down, across = np.empty((parts, height - 1), np.float32), np.empty((parts, width - 1), np.float32)
    _steps(np.ascontiguousarray(luma), down, across)
    return down, across


@compiled()
def _exceeds(one: np.int64, two: np.int64, count: int, limit: float) -> np.bool:
    """Return whether the squared distances of `count` values from their mean add up to more than a limit."""
    return np.float64(two) - np.float64(one) * np.float64(one) / np.float64(count) > limit


@compiled()
def _judge(one: np.int64, two: np.int64, count: int, deviation: float) -> int:
    limit = count * deviation * deviation
    if _exceeds(one, two, count, limit * (1 + _MARGIN)):
        return NOT_EVEN
    return NEARLY if _exceeds(one, two, count, limit * (1 - _MARGIN)) else EVEN


@compiled()
def _even_rows(luma: Luma, step: int, deviation: float, sums: Integers, verdicts: Luma) -> None:
    """Fill what `even_lines` returns, for rows."""
    width = luma.shape[1]
    count = (width - 1) // step + 1
    limit = count * deviation * deviation * (1 + _MARGIN)
    for y in range(luma.shape[0]):
        one = two = np.int64(0)
        seen = 0
        # Some of the values are never closer to their mean than all are to theirs.
        while seen < count and (seen == 0 or not _exceeds(one, two, seen, limit)):
            stop = min(seen + _CHECKED, count)
            for k in range(seen, stop):
                value = np.int64(luma[y, k * step])
                one += value
                two += value * value
            seen = stop
        sums[y] = one
        verdicts[y] = _judge(one, two, count, deviation) if seen == count else NOT_EVEN


@compiled()
def _even_columns(luma: Luma, step: int, deviation: float, sums: Integers, verdicts: Luma) -> None:
    """Fill what `even_lines` returns, for columns."""
    height, width = luma.shape
    count = (height - 1) // step + 1
    limit = count * deviation * deviation * (1 + _MARGIN)
    ones, twos = np.zeros(width, np.int32), np.zeros(width, np.int32)
    seen, left = 0, width
    while seen < count and left:
        stop = min(seen + _CHECKED, count)
        for k in range(seen, stop):
            row = luma[k * step]
            for x in range(width):
                value = _I32(row[x])
                ones[x] = _I32(ones[x] + value)
                twos[x] = _I32(twos[x] + _I32(value * value))
        seen, left = stop, 0
        for x in range(width):
            left += not _exceeds(np.int64(ones[x]), np.int64(twos[x]), seen, limit)
    for x in range(width):
        sums[x] = ones[x]
        verdicts[x] = _judge(np.int64(ones[x]), np.int64(twos[x]), count, deviation) if seen == count else NOT_EVEN


def even_lines(luma: Luma, step: int, deviation: float, *, columns: bool) -> tuple[Integers, Luma]:
    """Return which rows, or columns, have a standard deviation up to a limit; luma: (H, W).

    Args:
        luma: (H, W).
        step: distance between the pixels of a line that are looked at, at most 4,096 in all.
        deviation: the limit.
        columns: whether lines are columns.

    Returns:
        For each line, the sum of its pixels, if it is not `NOT_EVEN`; and `EVEN`, `NOT_EVEN`, or `NEARLY` where the
        limit is so close that rounding could decide.
    """
    lines = luma.shape[int(columns)]
    sums, verdicts = np.empty(lines, np.int64), np.empty(lines, np.uint8)
    (_even_columns if columns else _even_rows)(np.ascontiguousarray(luma), step, deviation, sums, verdicts)
    return sums, verdicts


@compiled()
def _count_steep(pieces: Floats, margin: int, limits: Floats, counts: NDArray[np.uint8]) -> None:
    """Fill what `count_steep` returns."""
    least, steeper, sharper = limits[0], limits[1], limits[2]
    number = counts.shape[1]
    for k in range(pieces.shape[0]):
        p = pieces[k, margin : margin + number]
        l1, r1 = pieces[k, margin - 1 : margin - 1 + number], pieces[k, margin + 1 : margin + 1 + number]
        l2, r2 = pieces[k, margin - 2 : margin - 2 + number], pieces[k, margin + 2 : margin + 2 + number]
        l3, r3 = pieces[k, margin - 3 : margin - 3 + number], pieces[k, margin + 3 : margin + 3 + number]
        l4, r4 = pieces[k, margin - 4 : margin - 4 + number], pieces[k, margin + 4 : margin + 4 + number]
        l5, r5 = pieces[k, margin - 5 : margin - 5 + number], pieces[k, margin + 5 : margin + 5 + number]
        for i in range(number):
            beside = ((l2[i] + r2[i]) + l3[i]) + r3[i]
            beside = (((beside + l4[i]) + r4[i]) + l5[i]) + r5[i]
            steep = (p[i] > steeper * beside) & (p[i] > least)
            sharp = steep & (p[i] > sharper * (l1[i] + r1[i]))
            counts[0, i] = np.uint8(counts[0, i] + np.uint8(steep))
            counts[1, i] = np.uint8(counts[1, i] + np.uint8(sharp))


def count_steep(pieces: Floats, margin: int, *, least: float, steeper: float, sharper: float) -> NDArray[np.uint8]:
    """Count the pieces of each line whose step is larger than those beside it.

    Args:
        pieces: (n, lines), n at most 255.
        margin: lines at either end that are left out, at least 5.
        least: steps are larger than this,
        steeper: than this share of the sum over the lines 2 to 5 beside it,
        sharper: and, for the second count, than this share of the sum of the two next to it.

    Returns:
        (2, lines - 2 · margin).
    """
    counts = np.zeros((2, pieces.shape[1] - 2 * margin), np.uint8)
    _count_steep(pieces, margin, np.array([least, steeper, sharper], np.float32), counts)
    return counts
