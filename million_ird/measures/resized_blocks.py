"""JPEG's blocks at another period than eight: an image that was compressed strongly and then reduced.

- `resized_blocks` (grey levels, ≥ 0, down is better): how much more neighbouring pixels differ at the borders of
  blocks than beside them, where blocks have a period of 4.5 to 7.75 px, as they have after a reduction to 0.57 to
  0.97. Each difference of neighbours, less the mean of the two beside it, is clipped at 3 levels, so that edges count
  little, and averaged along columns; the same along rows. In the spectrum of such a series blocks are lines at one,
  two and three times their frequency. Of each, the lower of both directions counts, less twice the median of the
  spectrum. The number is the largest sum of the three. Photographs mostly have 0 to 0.04; those reduced after JPEG 30
  and worse mostly 0.1 and more, after JPEG 75 a quarter as much, which in a lossless file can be more than 0.08;
  saving as JPEG again hides most.

`resampled` looks for enlargement in the same way and finds the strongest of these, too. Multiples of an eighth of the
sampling rate do not count: blocks of the file itself are there, and those of WebP. So reductions to 0.6, 0.67 or 0.75
show less, and those to a half nothing. Reducing with a bilinear kernel leaves lines of its own, up to 0.1 in noisy
scenes; WebP and AVIF of quality 20 can have as much, at any size. Null under 128 px.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import fft

from million_ird.images.encoded_image import EncodedImage
from million_ird.measure_specs import MEASURE_SPECS
from million_ird.measure_types import Tier

_MIN_SIDE = 128
_LINES = 512
"""Rows, and columns, that are looked at."""
_LENGTH = 8192
"""Samples of the spectrum, and the most pixels of a line that are looked at."""
_SHORTEST, _LONGEST = 4.5, 7.75
"""Periods in px of the blocks that are looked for."""
_HARMONICS = 3
_CLIP = 6
"""In halves of a level."""
_WINDOW = 31
_CHANCE = 2.0
_NEAR = 0.006
"""Frequencies nearer than this to a multiple of an eighth are those of the file's own blocks."""
_BESIDE = np.array([[-1, 2, -1]], np.float32)


@dataclass(frozen=True, slots=True)
class ResizedBlocksMeasure:
    """Strength of blocks with a period under eight pixels."""

    fields: ClassVar[tuple[str, ...]] = MEASURE_SPECS["resized_blocks"].fields
    tier: ClassVar[Tier] = MEASURE_SPECS["resized_blocks"].tier

    def measure(self, image: EncodedImage) -> Mapping[str, float | None]:
        """Measure differences along up to 512 rows and 512 columns of the luma; null under 128 px."""
        luma = image.luma
        if min(luma.shape) < _MIN_SIDE:
            return dict.fromkeys(self.fields)
        return {"resized_blocks": resized_blocks(luma)}


def resized_blocks(luma: NDArray[np.uint8]) -> float:
    """Return the strength in grey levels of the blocks that both directions share; luma: (H, W)."""
    rows, columns = luma[:: -(-luma.shape[0] // _LINES)], luma[:, :: -(-luma.shape[1] // _LINES)].T
    shared = np.minimum(*(_lines(np.ascontiguousarray(part[:, :_LENGTH])) for part in (rows, columns)))
    first = np.arange(int(_LENGTH / _LONGEST), int(_LENGTH / _SHORTEST))
    multiples = first * np.arange(1, _HARMONICS + 1)[:, None]
    inside = multiples < len(shared)
    return float(np.where(inside, shared[np.where(inside, multiples, 0)], 0).sum(axis=0).max())


def _lines(rows: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the amplitude beyond chance at each frequency; rows: (n, w) → (_LENGTH / 2,)."""
    steps = np.asarray(cv2.absdiff(rows[:, 1:], rows[:, :-1]), np.uint8)
    higher = np.clip(np.asarray(cv2.filter2D(steps, cv2.CV_16S, _BESIDE), np.int16)[:, 1:-1], -_CLIP, _CLIP)
    # A border's step is compared with the mean of the two beside it, hence half.
    series = np.asarray(cv2.reduce(higher, 0, cv2.REDUCE_AVG, dtype=cv2.CV_32F), np.float32) / 2
    margin = _WINDOW // 2
    centred = (series - cv2.blur(series, (_WINDOW, 1))).ravel()[margin:-margin].astype(np.float64)
    window = np.hanning(len(centred))
    amplitude = np.abs(fft.rfft(centred * window, _LENGTH)[: _LENGTH // 2]) * 2 / window.sum()
    eighth = 8 * np.arange(_LENGTH // 2) / _LENGTH
    of_blocks = np.abs(eighth - np.rint(eighth)) <= 8 * _NEAR
    usual = np.median(amplitude[~of_blocks & (eighth > 1)])
    return np.where(of_blocks, 0.0, np.maximum(amplitude - _CHANCE * usual, 0))
