"""Variance of a 3×3 filter's responses in blocks of 16×16 px, compiled: the base of grain.

Levels and responses are integers, so sums of them are exact in float32, whatever their order. Squared deviations are
added in NumPy's order (pairwise summation: two halves, each in eight sums), so that a variance is that of
`ndarray.var` to the last bit.
"""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from million_ird.runtime.jit import compiled

Luma: TypeAlias = NDArray[np.uint8]
Floats: TypeAlias = NDArray[np.float32]

BLOCK = 16
_EIGHT = 8
"""How many sums NumPy adds values to in turn."""

_F32 = np.float32


@compiled()
def _respond(above: Luma, here: Luma, below: Luma, line: Floats, out: Floats, sums: Floats) -> None:
    """Write the responses to (1 −2 1; −2 4 −2; 1 −2 1) to out (n,); add them and the levels to sums (2, n).

    The rows, and `line`, which is written over, are n + 2 long.
    """
    two, ones, levels = _F32(2), sums[0], sums[1]
    for x in range(line.shape[0]):
        line[x] = (_F32(above[x]) + _F32(below[x])) - two * _F32(here[x])
    for x in range(out.shape[0]):
        response = (line[x] + line[x + 2]) - two * line[x + 1]
        out[x] = response
        ones[x] += response
        levels[x] += _F32(here[x + 1])


@compiled()
def _add_squares(values: Floats, mean: np.float32, eight: Floats) -> None:
    """Add the squared deviations of values (16,) from a mean to eight sums in turn."""
    for k in range(_EIGHT):
        one = values[k] - mean
        two = values[k + _EIGHT] - mean
        eight[k] = (eight[k] + one * one) + two * two


@compiled()
def _half(values: Floats, mean: np.float32, eight: Floats) -> np.float32:
    """Return the sum of the squared deviations of values (8, 16) from a mean; `eight` is written over."""
    for k in range(_EIGHT):
        eight[k] = _F32(0)
    for r in range(values.shape[0]):
        _add_squares(values[r], mean, eight)
    left = (eight[0] + eight[1]) + (eight[2] + eight[3])
    total: np.float32 = left + ((eight[4] + eight[5]) + (eight[6] + eight[7]))
    return total


@compiled()
def _response_variances(luma: Luma, tops: NDArray[np.intp], variance: Floats, level: Floats) -> None:
    """Fill what `response_variances` returns."""
    columns = variance.shape[1]
    width = columns * BLOCK
    line, values = np.empty(width + 2, np.float32), np.empty((BLOCK, width), np.float32)
    sums, eight = np.empty((2, width), np.float32), np.empty(_EIGHT, np.float32)
    size = _F32(BLOCK * BLOCK)
    for j in range(tops.shape[0]):
        for x in range(width):
            sums[0, x] = sums[1, x] = _F32(0)
        for r in range(BLOCK):
            y = tops[j] + r
            above, here, below = luma[y, : width + 2], luma[y + 1, : width + 2], luma[y + 2, : width + 2]
            _respond(above, here, below, line, values[r], sums)
        for i in range(columns):
            start, stop = i * BLOCK, (i + 1) * BLOCK
            total = shade = _F32(0)
            for x in range(start, stop):
                total += sums[0, x]
                shade += sums[1, x]
            mean = total / size
            upper = _half(values[:_EIGHT, start:stop], mean, eight)
            variance[j, i] = (upper + _half(values[_EIGHT:, start:stop], mean, eight)) / size
            level[j, i] = shade / size


def response_variances(luma: Luma, tops: NDArray[np.intp]) -> tuple[Floats, Floats]:
    """Return the variance of the responses to (1 −2 1; −2 4 −2; 1 −2 1), and the mean level, in whole blocks.

    Args:
        luma: (H, W). The first and the last column are in no block: they are beside the responses.
        tops: (n,), the rows above rows of blocks, each at most H - 18.

    Returns:
        Two of (n, (W - 2) // 16) float32.
    """
    blocks = (len(tops), (luma.shape[1] - 2) // BLOCK)
    variance, level = np.empty(blocks, np.float32), np.empty(blocks, np.float32)
    _response_variances(np.ascontiguousarray(luma), tops, variance, level)
    return variance, level
