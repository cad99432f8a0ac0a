"""JPEG's blocks at another period than eight: an image that was compressed strongly and then reduced.

- `resized_blocks` (a share, ≥ 0, down is better): how much more often steps between neighbouring pixels are high at the
  borders of blocks than elsewhere, where blocks have a period of 4.5 to 8 px, as after a reduction to 0.56 to 0.99. A
  step is high if it is at least 2.5 levels above the mean of the two beside it; in smooth areas those of JPEG 30 are,
  those of JPEG 75 hardly. Their share is counted along columns, and along rows. In the spectrum of such a series blocks
  are lines at one, two and three times their frequency. Of each, the lower of both directions counts, less twice the
  median of the spectrum. The number is the largest sum of the two weaker ones: a reduction by averaging leaves a single
  line. Photographs mostly have 0, reduced ones of JPEG 75 and better up to 0.01, after JPEG 30 mostly 0.015 and more,
  after JPEG 15 0.04; saving as JPEG again hides half.

Multiples of an eighth of the sampling rate do not count: blocks of the file itself are there. Those of WebP and AVIF
can be 16 px wide, so the odd multiples of a sixteenth count as far as they are stronger than all multiples of an
eighth. So reductions to 0.6, 0.67 or 0.75 show less, and those to a half nothing. Null under 128 px.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import fft

from million_ird.images.encoded_image import EncodedImage
from million_ird.images.line_steps import LineSteps, line_steps
from million_ird.measure_specs import MEASURE_SPECS
from million_ird.measure_types import Tier

_MIN_SIDE = 128
_LENGTH = 8192
"""Samples of the spectrum, and the most pixels of a line that are looked at."""
_SHORTEST, _LONGEST = 4.5, 7.95
"""Periods in px of the blocks that are looked for."""
_HARMONICS = 3
_WINDOW = 31
_CHANCE = 2.0
_NEAR = 0.006
"""Frequencies nearer than this to a multiple of a sixteenth are those of the file's own blocks."""


@dataclass(frozen=True, slots=True)
class ResizedBlocksMeasure:
    """Strength of blocks with a period under eight pixels."""

    fields: ClassVar[tuple[str, ...]] = MEASURE_SPECS["resized_blocks"].fields
    tier: ClassVar[Tier] = MEASURE_SPECS["resized_blocks"].tier

    def measure(self, image: EncodedImage) -> Mapping[str, float | None]:
        """Measure differences along up to 512 rows and 512 columns of the luma; null under 128 px."""
        if min(image.luma.shape) < _MIN_SIDE:
            return dict.fromkeys(self.fields)
        return {"resized_blocks": _strongest(*image.line_steps)}


def resized_blocks(luma: NDArray[np.uint8]) -> float:
    """Return the strength of the blocks that both directions share, as a share; luma: (H, W)."""
    return _strongest(*line_steps(luma))


def _strongest(rows: LineSteps, columns: LineSteps) -> float:
    """Return the largest sum of the two weaker of three lines of blocks that rows and columns share."""
    shared = np.minimum(_amplitudes(rows.beside), _amplitudes(columns.beside))
    eighths, sixteenths = _multiples(8), _multiples(16)
    shared = np.where(sixteenths, np.maximum(shared - shared[eighths].max(), 0), shared)
    shared = np.where(eighths, 0.0, shared)
    multiples = np.arange(int(_LENGTH / _LONGEST), int(_LENGTH / _SHORTEST)) * np.arange(1, _HARMONICS + 1)[:, None]
    folded = np.minimum(np.minimum(multiples, _LENGTH - multiples), len(shared) - 1)
    return float(np.sort(shared[folded], axis=0)[:-1].sum(axis=0).max())


def _amplitudes(beside: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the amplitude beyond chance at each frequency of a series of mean steps; (n,) → (_LENGTH / 2,)."""
    series = beside[None, : _LENGTH - 3]
    margin = _WINDOW // 2
    centred = (series - cv2.blur(series, (_WINDOW, 1))).ravel()[margin:-margin].astype(np.float64)
    window = np.hanning(len(centred))
    amplitude = np.abs(fft.rfft(centred * window, _LENGTH)[: _LENGTH // 2]) * 2 / window.sum()
    usual = np.median(amplitude[_others()])
    return np.asarray(np.maximum(amplitude - _CHANCE * usual, 0), np.float64)


@cache
def _multiples(parts: int) -> NDArray[np.bool_]:
    """Return which frequencies are near to a multiple of the sampling rate divided by `parts`; (_LENGTH / 2,)."""
    place = parts * np.arange(_LENGTH // 2) / _LENGTH
    return np.abs(place - np.rint(place)) <= parts * _NEAR


@cache
def _others() -> NDArray[np.bool_]:
    """Return which frequencies over an eighth of the sampling rate are near to no multiple of it; (_LENGTH / 2,)."""
    return ~_multiples(8) & (8 * np.arange(_LENGTH // 2) > _LENGTH)
