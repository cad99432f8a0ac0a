"""Quantisation tables of JPEG: the IJG's, and which of these does as much harm as another table.

A table that is coarse for low frequencies and fine for high ones, as Photoshop's are, and a flat one, as MozJPEG's are
by default, have no quality of the IJG's scale; and how coarse their steps are on the average does not tell what they
do to an image. So tables are compared by the mean squared error that is expected of them in a photograph.

The coefficients of a photograph at frequency (u, v) are taken to have Laplace distributions of mean size
b (u + v)^-1.27 levels, with b of 14.4, 60 and 144 in 0.5, 0.3 and 0.2 of its blocks: flat, usual and busy ones. The
quality that follows is within 4 of that by the true error (`tests/million_ird/measures/test_jpeg_tables.py`). By the
mean ratio of steps two tables of Photoshop that begin with 18, 14, 14, 21 would have 64 and 87, where both errors say
60 and 79.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray

# The luma table of ITU-T T.81 Annex K, table K.1, in natural (row by row) order: IJG's quality 50.
IJG_LUMA = (
    16, 11, 10, 16, 24, 40, 51, 61,
    12, 12, 14, 19, 26, 58, 60, 55,
    14, 13, 16, 24, 40, 57, 69, 56,
    14, 17, 22, 29, 51, 87, 80, 62,
    18, 22, 37, 56, 68, 109, 103, 77,
    24, 35, 55, 64, 81, 104, 113, 92,
    49, 64, 78, 87, 103, 121, 120, 101,
    72, 92, 95, 98, 112, 100, 103, 99,
)  # fmt: skip

_SHARES, _SIZES = (0.5, 0.3, 0.2), (14.4, 60.0, 144.0)
"""Of blocks, and the mean sizes of their coefficients at the lowest frequencies, in levels."""
_FALL = 1.27
_MEAN_FALL = 0.5
"""Takes the place of u + v at the mean of a block."""
_MOST_STEPS = 40.0
"""A step of so many mean sizes sets all coefficients to 0, so a larger one does no more harm."""


def jpeg_quality(tables: tuple[tuple[int, ...], ...] | None) -> float | None:
    """Return the IJG quality whose luma table does as much harm as the first of `tables`, 1–100; None without tables.

    Args:
        tables: 64 values each in natural order, as Pillow returns them.
    """
    steps = luma_steps(tables)
    if steps is None:
        return None
    table = np.maximum(steps.ravel().astype(np.float64), 1)  # a broken file can state steps of 0
    return float(np.abs(_log_errors_of_ijg() - np.log(expected_error(table))).argmin() + 1)


def luma_steps(tables: tuple[tuple[int, ...], ...] | None) -> NDArray[np.int64] | None:
    """Return the steps of the first of a file's tables, (8, 8); None without a whole one."""
    return np.array(tables[0], np.int64).reshape(8, 8) if tables and len(tables[0]) == 64 else None


def ijg_luma_table(quality: int) -> NDArray[np.int64]:
    """Return the 64 luma steps of IJG's quality 1–100 in natural order, as jpeg_set_quality computes them."""
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality
    return np.clip((np.asarray(IJG_LUMA, np.int64) * scale + 50) // 100, 1, 255)


def expected_error(table: NDArray[np.float64]) -> float:
    """Return the squared error of a block, summed over its coefficients, that rounding to multiples of steps leaves.

    Args:
        table: (64,), the steps, at least 1.
    """
    row, column = np.divmod(np.arange(64), 8)
    falls = np.where(row + column > 0, row + column, _MEAN_FALL) ** -_FALL
    return sum(
        share * float(_rounding_error(table, size * falls).sum()) for share, size in zip(_SHARES, _SIZES, strict=True)
    )


def _rounding_error(step: NDArray[np.float64], size: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean squared error of rounding values of a Laplace distribution of mean size `size` to multiples.

    The integral of (x - n·step)² over the bins around n·step, in closed form.
    """
    s = np.minimum(step, _MOST_STEPS * size)
    even, odd = s * s / 4 + 2 * size * size, s * size
    half = np.exp(-s / size / 2)
    of_zero = 2 * size * size - half * (even + odd)
    of_others = half**2 / (1 - half**2) * ((even - odd) / half - half * (even + odd))
    return np.asarray(of_zero + of_others, np.float64)


@cache
def _log_errors_of_ijg() -> NDArray[np.float64]:
    return np.log([expected_error(ijg_luma_table(quality).astype(np.float64)) for quality in range(1, 101)])
