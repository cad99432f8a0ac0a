"""Copies that only have more pixels because they were enlarged, as crops often are.

Enlarging invents no detail: the spectrum of the copy breaks off (`octave_drop`, see measures/resolution.py). One image
alone does not tell, since soft photographs look the same; beside a copy with fewer pixels it shows, if the drop is
larger by more than shrinking can make up for.
"""

import numpy as np
from numpy.typing import NDArray

_MORE_PIXELS = 1.05
_DROP_DB, _DROP_DB_PER_DOUBLING = 3.0, 2.5
"""A photograph that was shrunk to a quarter of its pixels loses up to 8 dB of its drop; crops of 0.7 to 0.8 that were
enlarged by 1.4 to 2.2 gain 4 to 20 dB."""
_MIN_DROP_DB = 18.0
"""Sharp photographs have less, enlarged ones more."""
_BLOCK = 512


def find_enlarged(
    pixels: NDArray[np.float64], octave_drop: NDArray[np.float64], groups: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Return which images are enlarged in comparison with a smaller copy of their group: (n,) bool.

    Args:
        pixels: (n,) number of pixels.
        octave_drop: (n,) dB; NaN where it was not measured, which compares with nothing.
        groups: (n,) label of the group of copies.
    """
    enlarged = np.zeros(len(pixels), bool)
    known = np.flatnonzero(np.isfinite(octave_drop) & (pixels > 0))
    order = known[np.argsort(groups[known], kind="stable")]
    starts = np.flatnonzero(np.r_[True, groups[order][1:] != groups[order][:-1]]) if len(order) else np.empty(0, int)
    for members in np.split(order, starts[1:]):
        if len(members) < 2:
            continue
        for start in range(0, len(members), _BLOCK):
            one = members[start : start + _BLOCK]
            ratio = pixels[one][:, None] / pixels[members][None]
            allowed = _DROP_DB + _DROP_DB_PER_DOUBLING * np.log2(np.maximum(ratio, 1))
            difference = octave_drop[one][:, None] - octave_drop[members][None]
            worse = (ratio >= _MORE_PIXELS) & (difference >= allowed) & (octave_drop[one] >= _MIN_DROP_DB)[:, None]
            enlarged[one] = worse.any(axis=1)
    return enlarged
