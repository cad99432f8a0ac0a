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
REACH = 5
"""Lines on both sides of a line with which its steps are compared."""

_F32, _I32, _U16, _U8 = np.float32, np.int32, np.uint16, np.uint8
_LINES = 2 * REACH + 1
_SHORT = 256
"""Levels whose sum fits 16 bits."""
_COUNTABLE = (1 << 16) - 1
"""Lines after which counts of 16 bits are full."""
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
def _clear(values: NDArray[np.uint16]) -> None:
    for x in range(values.shape[0]):
        values[x] = _U16(0)


@compiled()
def _add_levels(row: Luma, sums: NDArray[np.uint16]) -> None:
    for x in range(sums.shape[0]):
        sums[x] = _U16(sums[x] + _U16(row[x]))


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
def _fill_steps(a: Luma, b: Luma, out: Luma) -> None:
    """Write |a − b| (n,) to out (n,)."""
    for x in range(out.shape[0]):
        out[x] = np.uint8(max(a[x], b[x]) - min(a[x], b[x]))


@compiled()
def _count_largest_down(luma: Luma, sums: Integers, counts: Integers) -> None:
    """Fill what `largest_steps` returns, for rows."""
    height, width = luma.shape
    recent, larger = np.empty((_LINES, width), np.uint8), np.empty(width, np.uint8)
    for y in range(height - 1):
        new = recent[y % _LINES]
        _fill_steps(luma[y], luma[y + 1], new)
        sums[y] = _sum(new)
        if y < 2 * REACH:
            continue
        middle = y - REACH
        l1, r1 = recent[(middle - 1) % _LINES], recent[(middle + 1) % _LINES]
        l2, r2 = recent[(middle - 2) % _LINES], recent[(middle + 2) % _LINES]
        l3, r3 = recent[(middle - 3) % _LINES], recent[(middle + 3) % _LINES]
        l4, r4 = recent[(middle - 4) % _LINES], recent[(middle + 4) % _LINES]
        l5, r5 = recent[(middle - 5) % _LINES], recent[(middle + 5) % _LINES]
        step = recent[middle % _LINES]
        for x in range(width):
            near = _U8(max(_U8(max(l1[x], r1[x])), _U8(max(l2[x], r2[x]))))
            far = _U8(max(_U8(max(l3[x], r3[x])), _U8(max(l4[x], r4[x]))))
            most = _U8(max(_U8(max(near, far)), _U8(max(l5[x], r5[x]))))
            larger[x] = _U8(step[x] > most)
        counts[middle] = _sum(larger)


@compiled()
def _count_largest_across(luma: Luma, sums: Integers, counts: Integers) -> None:
    """Fill what `largest_steps` returns, for columns."""
    height, width = luma.shape
    steps = np.empty(width - 1, np.uint8)
    added, counted = np.zeros(width - 1, np.int32), np.empty(width - 1 - 2 * REACH, np.uint16)
    n = counted.shape[0]
    step = steps[REACH : REACH + n]
    l1, l2, l3, l4, l5 = steps[4 : 4 + n], steps[3 : 3 + n], steps[2 : 2 + n], steps[1 : 1 + n], steps[:n]
    r1, r2, r3, r4, r5 = steps[6 : 6 + n], steps[7 : 7 + n], steps[8 : 8 + n], steps[9 : 9 + n], steps[10 : 10 + n]
    for top in range(0, height, _COUNTABLE):
        for x in range(n):
            counted[x] = _U16(0)
        for y in range(top, min(top + _COUNTABLE, height)):
            _fill_steps(luma[y, : width - 1], luma[y, 1:], steps)
            for x in range(width - 1):
                added[x] = _I32(added[x] + _I32(steps[x]))
            for x in range(n):
                near = _U8(max(_U8(max(l1[x], r1[x])), _U8(max(l2[x], r2[x]))))
                far = _U8(max(_U8(max(l3[x], r3[x])), _U8(max(l4[x], r4[x]))))
                most = _U8(max(_U8(max(near, far)), _U8(max(l5[x], r5[x]))))
                counted[x] = _U16(counted[x] + _U16(step[x] > most))
        for x in range(n):
            counts[REACH + x] += counted[x]
    for x in range(width - 1):
        sums[x] = added[x]


def mean_levels(luma: Luma, parts: int) -> tuple[Floats, Floats]:
    """Return the mean level of each part of each row, and of each column; luma: (H, W).

    Returns:
        (parts, H) and (parts, W).
    """
    height, width = luma.shape
    down, across = np.empty((parts, height), np.float32), np.empty((parts, width), np.float32)
    _levels(np.ascontiguousarray(luma), down, across)
    return down, across


def largest_steps(luma: Luma, *, columns: bool) -> tuple[Integers, Integers]:
    """Return how much pixels step across each line, and at how many of them the step is larger than beside the line.

    Line k lies between row, or column, k and k + 1. A pixel counts if its step is larger than those across the `REACH`
    lines on both sides. For the first and the last `REACH` lines, none counts.

    Args:
        luma: (H, W), at least 64×64.
        columns: whether lines lie between columns.

    Returns:
        Σ |a − b| and counts, (lines - 1,) each.
    """
    lines = luma.shape[int(columns)] - 1
    sums, counts = np.zeros(lines, np.int64), np.zeros(lines, np.int64)
    (_count_largest_across if columns else _count_largest_down)(np.ascontiguousarray(luma), sums, counts)
    return sums, counts


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
