"""Mean steps between neighbouring pixels along lines of the luma, compiled: the base of two measures of resampling.

At most 512 lines are looked at. Steps are integers, or sixteenths, and their shares are cut off to multiples of 1/1024,
so that the sums in float32 are exact in any order.
"""

from dataclasses import dataclass
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from million_ird.runtime.jit import compiled

Luma: TypeAlias = NDArray[np.uint8]
Floats: TypeAlias = NDArray[np.float32]

LINES = 512
"""Rows, and columns, that are looked at."""

REACH = 3
"""Steps on each side that are averaged with a step itself, to divide it by their mean."""

_F32, _I32 = np.float32, np.int32
_UNIT = 1024
_AROUND = 2 * REACH + 1
_SCALE = np.float32(_AROUND * _UNIT)
LEVELS = 8
"""Added to the mean of the steps around, so that even areas count little, and what JPEG leaves in a sky even less."""
_LEVEL = np.float32(_AROUND * LEVELS)
BORDER = 2.5
"""Grey levels: borders of the blocks of JPEG 30 are as high, those of JPEG 75 seldom."""
_TWICE = np.float32(2 * BORDER)


@dataclass(frozen=True, slots=True)
class LineSteps:
    """Mean steps at each place of parallel lines of n px: rows or columns, spread over the image."""

    first: Floats
    """(n - 7,), the mean share of |b − a| in the mean of the seven around plus `LEVELS`; a, b, c, … are neighbours."""
    second: Floats
    """(n - 8,), the same of |a − 2b + c|."""
    sixth: Floats
    """(n - 12,), the same of a 16th of the sixth difference |a − 6b + 15c − 20d + 15e − 6f + g|."""
    beside: Floats
    """(n - 3,), how often |c − b| is `BORDER` and more above the mean of |b − a| and |d − c|, 0 to 1."""


@compiled()
def _add_shares(steps: Floats, shares: Floats) -> None:
    """Add the share of each step (n + 6,) in those around it to shares (n,), in multiples of 1 / _UNIT."""
    for x in range(shares.shape[0]):
        around = steps[x] + steps[x + 1] + steps[x + 2] + steps[x + 3] + steps[x + 4] + steps[x + 5] + steps[x + 6]
        shares[x] += _F32(_I32(_SCALE * steps[x + 3] / (around + _LEVEL)))


@compiled()
def _fill_sixth(line: Floats, out: Floats) -> None:
    """Write a 16th of the size of the sixth differences of a line (n + 6,) to out (n,)."""
    six, fifteen, twenty, share = _F32(6), _F32(15), _F32(20), _F32(1 / 16)
    for x in range(out.shape[0]):
        ends, next_to_ends = line[x] + line[x + 6], line[x + 1] + line[x + 5]
        inner = fifteen * (line[x + 2] + line[x + 4]) - twenty * line[x + 3]
        out[x] = share * np.abs((ends - six * next_to_ends) + inner)


@compiled()
def _add_rows(rows: Luma, first: Floats, second: Floats, sixth: Floats, beside: Floats) -> None:
    """Add the steps in all rows (lines, n) to the sums."""
    n, one, two = rows.shape[1], _F32(1), _F32(2)
    line, steps, bends = np.empty(n, np.float32), np.empty(n - 1, np.float32), np.empty(n - 2, np.float32)
    sixths = np.empty(n - 6, np.float32)
    for y in range(rows.shape[0]):
        row = rows[y]
        for x in range(n):
            line[x] = _F32(row[x])
        for x in range(n - 1):
            steps[x] = np.abs(line[x + 1] - line[x])
        for x in range(n - 2):
            bends[x] = np.abs((line[x] + line[x + 2]) - two * line[x + 1])
        for x in range(n - 3):
            if two * steps[x + 1] - (steps[x] + steps[x + 2]) >= _TWICE:
                beside[x] += one
        _add_shares(steps, first)
        _add_shares(bends, second)
        _fill_sixth(line, sixths)
        _add_shares(sixths, sixth)


def line_steps(luma: Luma) -> tuple[LineSteps, LineSteps]:
    """Return the mean steps along up to `LINES` rows, and along as many columns.

    Args:
        luma: (H, W), at least 13 px high and wide.
    """
    down, across = (-(-side // LINES) for side in luma.shape)
    columns = cv2.transpose(np.ascontiguousarray(luma[:, ::across])).astype(np.uint8, copy=False)
    return _steps_along(np.ascontiguousarray(luma[::down])), _steps_along(columns)


def _steps_along(rows: Luma) -> LineSteps:
    first, second, sixth, beside = (np.zeros(rows.shape[1] - cut, np.float32) for cut in (7, 8, 12, 3))
    _add_rows(rows, first, second, sixth, beside)
    share = _F32(1 / len(rows))
    unit = share / _UNIT
    return LineSteps(first * unit, second * unit, sixth * unit, beside * share)
