"""Sharpened too much: overshoots beside edges that are cut off at black and white, and a spectrum that hardly falls.

- `oversharpened` (dB, down is better): a sum of three terms.

  1. The mean level of the spectrum from 0.19 to 0.42 of Nyquist minus that from 0.06 to 0.11, in dB: a photograph falls
     by 13 dB (median; 8 to 18), an unsharp mask lifts the upper band. Of the spectrum of the sharpest tiles, see
     resolution.py.
  2. 0.3 times the share of dark overshoots, and
  3. 0.2 times that of bright ones, each in dB above 1 in 10,000 pixels. An overshoot is a pixel of at most 4 levels, or
     at least 251, with pixels among the 3×3 around it that differ by more than 40 levels, and at most 16 as dark or as
     bright among the 7×7: a thin line beside an edge is cut off there, while an area that is black is content.

  Photographs have -24 to 0.6. Edited as is common (contrast of 1.3 to 1.6, 1 to 3 % of the levels cut off, an unsharp
  mask of 100 % over 0.6 px or 80 % over 1 px, also after reducing) they have up to 1.5, one in 80 more; with an unsharp
  mask of 200 % and more, and tone mapping of the HDR kind, mostly more. Sharpening where no edge reaches black or
  white shows in the first term only.
"""

import numpy as np
from numpy.typing import NDArray

from million_ird.runtime.jit import compiled

_UPPER, _LOWER = slice(12, 28), slice(4, 8)
"""Rings of the spectrum."""
_DARK_WEIGHT, _BRIGHT_WEIGHT = 0.3, 0.2
_RARE = 1e-4
"""Share of pixels that is 0 dB."""
_BLACK, _WHITE = 4, 251
_STEP = 40
_REACH, _THIN = 3, 16
"""Pixels to each side, and how many among them are as dark or as bright beside a thin line."""
_RUN = 64
"""Pixels that are passed over at once where none is black or white, or no step is large."""


def oversharpened(luma: NDArray[np.uint8], level: NDArray[np.float64]) -> float:
    """Return the rise of the spectrum plus the weighted shares of overshoots, in dB.

    Args:
        luma: (H, W).
        level: (65,), of the spectrum of the sharpest tiles in dB; ring k is k/64 of Nyquist.
    """
    dark, bright = _count_overshoots(np.require(luma, requirements=["C", "W"]))
    shares = _DARK_WEIGHT * _decibels(dark / luma.size) + _BRIGHT_WEIGHT * _decibels(bright / luma.size)
    return float(level[_UPPER].mean() - level[_LOWER].mean() + shares)


def _decibels(share: float) -> float:
    return float(10 * np.log10(1 + share / _RARE))


@compiled()
def _count_overshoots(luma: NDArray[np.uint8]) -> tuple[int, int]:
    """Count dark and bright pixels beside large steps; luma: (H, W), C-contiguous."""
    height, width = luma.shape
    dark, bright = 0, 0
    for y in range(height):
        for start in range(0, width, _RUN):
            stop = min(start + _RUN, width)
            if not _may_overshoot(luma, y, start, stop):
                continue
            for x in range(start, stop):
                value = luma[y, x]
                if (value <= _BLACK or value >= _WHITE) and _range(luma, y, x) > _STEP and _is_thin(luma, y, x):
                    dark += value <= _BLACK
                    bright += value >= _WHITE
    return dark, bright


@compiled()
def _may_overshoot(luma: NDArray[np.uint8], y: int, start: int, stop: int) -> bool:
    """Return whether a run of pixels has black or white ones, and it and its neighbours a large step."""
    lowest, highest = _extremes(luma[y, start:stop])
    if lowest > _BLACK and highest < _WHITE:
        return False
    left, right = max(0, start - 1), min(luma.shape[1], stop + 1)
    for j in range(max(0, y - 1), min(luma.shape[0], y + 2)):
        low, high = _extremes(luma[j, left:right])
        lowest, highest = min(lowest, low), max(highest, high)
    return bool(highest - lowest > _STEP)


@compiled()
def _extremes(run: NDArray[np.uint8]) -> tuple[np.int64, np.int64]:
    """Return the smallest and the largest level; 8-bit throughout, so that one instruction compares many pixels."""
    low, high = run[0], run[0]
    for x in range(run.shape[0]):
        low, high = min(low, run[x]), max(high, run[x])
    return np.int64(low), np.int64(high)


@compiled()
def _range(luma: NDArray[np.uint8], y: int, x: int) -> int:
    """Return the largest less the smallest level of the 3×3 pixels around a pixel."""
    low, high = 255, 0
    for j in range(max(0, y - 1), min(luma.shape[0], y + 2)):
        for i in range(max(0, x - 1), min(luma.shape[1], x + 2)):
            low, high = min(low, luma[j, i]), max(high, luma[j, i])
    return high - low


@compiled()
def _is_thin(luma: NDArray[np.uint8], y: int, x: int) -> bool:
    """Return whether few of the 7×7 pixels around a black or white pixel are as dark, or as bright."""
    is_dark, count = luma[y, x] <= _BLACK, 0
    for j in range(max(0, y - _REACH), min(luma.shape[0], y + _REACH + 1)):
        for i in range(max(0, x - _REACH), min(luma.shape[1], x + _REACH + 1)):
            count += luma[j, i] <= _BLACK if is_dark else luma[j, i] >= _WHITE
        if count > _THIN:
            return False
    return True
