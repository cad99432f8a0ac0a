"""Mean steps between neighbouring pixels along lines of the luma, compiled: the base of two measures of resampling.

The luma is read once in each direction. Steps are integers, and at most 512 lines are looked at, so that their sums in
float32 are exact in any order: the means are those of OpenCV's filters and its `reduce`, to the last bit.
"""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from million_ird.runtime.jit import compiled

Luma: TypeAlias = NDArray[np.uint8]
Floats: TypeAlias = NDArray[np.float32]

LINES = 512
"""Rows, and columns, that are looked at."""

_F32 = np.float32
_CLIP = np.float32(6)


@dataclass(frozen=True, slots=True)
class LineSteps:
    """Mean steps at each place of parallel lines of n px: rows or columns, spread over the image."""

    first: Floats
    """(n - 1,), the mean of |b − a|, where a, b, c, d are neighbours."""
    second: Floats
    """(n - 2,), the mean of |a − 2b + c|."""
    beside: Floats
    """(n - 3,), the mean of 2 |c − b| − |b − a| − |d − c|, cut off at ±6."""


@compiled()
def _copy(row: Luma, stride: int, out: Floats) -> None:
    """Write every `stride`-th value of row to out (n,)."""
    for x in range(out.shape[0]):
        out[x] = _F32(row[x * stride])


@compiled()
def _cut(value: np.float32) -> np.float32:
    """Return a value, cut off at ±_CLIP."""
    value = _CLIP if value > _CLIP else value
    return -_CLIP if value < -_CLIP else value


@compiled()
def _add_row(line: Floats, first: Floats, second: Floats, beside: Floats) -> None:
    """Add the steps in a row (n,) to first (n - 1,), second (n - 2,) and beside (n - 3,)."""
    two, last = _F32(2), beside.shape[0]
    for x in range(last):
        a, b, c, d = line[x], line[x + 1], line[x + 2], line[x + 3]
        before, step, after = np.abs(b - a), np.abs(c - b), np.abs(d - c)
        first[x] += before
        second[x] += np.abs((a + c) - two * b)
        beside[x] += _cut(two * step - (before + after))
    for x in range(last, last + 2):
        first[x] += np.abs(line[x + 1] - line[x])
    second[last] += np.abs((line[last] + line[last + 2]) - two * line[last + 1])


@compiled("reassoc")
def _add_up(a: Floats, b: Floats, c: Floats, d: Floats) -> tuple[np.float32, np.float32, np.float32]:
    """Return the sums of the steps from c to d, of those around c, and of those from b to c beside the others."""
    two = _F32(2)
    first = second = beside = _F32(0)
    for x in range(a.shape[0]):
        before, step, after = np.abs(b[x] - a[x]), np.abs(c[x] - b[x]), np.abs(d[x] - c[x])
        first += after
        second += np.abs((b[x] + d[x]) - two * c[x])
        beside += _cut(two * step - (before + after))
    return first, second, beside


@compiled()
def _along_rows(luma: Luma, stride: int, first: Floats, second: Floats, beside: Floats) -> None:
    """Add the steps in every `stride`-th row."""
    line = np.empty(luma.shape[1], np.float32)
    for y in range(0, luma.shape[0], stride):
        _copy(luma[y], 1, line)
        _add_row(line, first, second, beside)


@compiled()
def _along_columns(luma: Luma, stride: int, first: Floats, second: Floats, beside: Floats) -> None:
    """Write the sums of the steps in every `stride`-th column."""
    count = -(-luma.shape[1] // stride)
    a, b, c = np.zeros(count, np.float32), np.zeros(count, np.float32), np.zeros(count, np.float32)
    d = np.empty(count, np.float32)
    for y in range(luma.shape[0]):
        _copy(luma[y], stride, d)
        sums = _add_up(a, b, c, d)
        if y > 0:
            first[y - 1] = sums[0]
        if y > 1:
            second[y - 2] = sums[1]
        if y > 2:
            beside[y - 3] = sums[2]
        a, b, c, d = b, c, d, a


def line_steps(luma: Luma) -> tuple[LineSteps, LineSteps]:
    """Return the mean steps along up to `LINES` rows, and along as many columns.

    Args:
        luma: (H, W), at least 4 px high and wide.
    """
    luma = np.ascontiguousarray(luma)
    found = []
    for axis, add in ((0, _along_rows), (1, _along_columns)):
        stride, length = -(-luma.shape[axis] // LINES), luma.shape[1 - axis]
        first, second, beside = (np.zeros(length - cut, np.float32) for cut in (1, 2, 3))
        add(luma, stride, first, second, beside)
        share = _F32(1 / -(-luma.shape[axis] // stride))
        found.append(LineSteps(first * share, second * share, beside * share))
    return found[0], found[1]
