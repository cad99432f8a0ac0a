"""Smoothed by a filter that keeps edges, such as a median: the finest structure is gone, but not the sharp steps.

- `smoothed` (dB, down is better): how steeply the spectrum of the sharpest tiles (above the noise, see resolution.py)
  falls in the octave below half of Nyquist, and how little near Nyquist, where the steps that the filter left fill
  it. A lens makes the spectrum fall more and more steeply, a median the other way round. With the mean levels of the
  rings that begin at 4, 8, 16, 32 and 48 of 64 as a to e, it is (b - c) + (a - b) / 4 + 0.15 (c - d) - 0.8 (d - e),
  the direction in which medians of 5 and 7 px and photographs differ most (Fisher's linear discriminant, rounded).

  A soft photograph with noise has a similar spectrum, but fewer pixels that hardly differ from their neighbours. So the
  number is multiplied by the share of neighbours within 1 level in the eight sharpest tiles, divided by 0.3 where this
  is less than 1. Photographs mostly have up to 12, close-ups of flowers with shallow focus up to 14 and more; medians
  of 5 and 7 px mostly 12 to 16. A bilateral filter is not found.
"""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

_STARTS = 4, 8, 16, 32, 48, 65
_TILES = 8
_STEP = 1.01
"""Largest difference of neighbours that hardly differ: 1 level, and what float32 adds."""
_ENOUGH = 0.3


def smoothed(level: NDArray[np.float64], sharpest: NDArray[np.float32]) -> float:
    """Return how much a spectrum falls first and then not, weighted by the share of even neighbours, in dB.

    Args:
        level: (65,), of the spectrum above the noise in dB; ring k is k/64 of Nyquist.
        sharpest: (n, H, W), the sharpest tiles, the sharpest of them last.
    """
    a, b, c, d, e = (float(level[start:stop].mean()) for start, stop in pairwise(_STARTS))
    fall = (b - c) + (a - b) / 4 + 0.15 * (c - d) - 0.8 * (d - e)
    tiles = sharpest[-_TILES:]
    even = [float((np.abs(np.diff(tiles, axis=axis)) <= _STEP).mean()) for axis in (1, 2)]
    return fall * min(1.0, sum(even) / 2 / _ENOUGH)
