"""Resampling: an image that was enlarged is made of the same few weights, again and again.

- `resampled` (≥ 0, down is better): the second differences of neighbouring pixels are smaller between two pixels of the
  small image than at them, which repeats with a period if the image was enlarged (Gallagher 2005, "Detection of linear
  and cubic interpolation in JPEG compressed images"). Each is divided by the mean of the seven around it plus eight
  levels, so that strong texture counts no more than weak, and averaged along columns; the same along rows. The series
  is divided by its mean over 31 columns; the number is the largest line in its spectrum, as an amplitude, less five
  times the median of the spectrum, the lower of that along rows and of that along columns at one frequency. Photographs
  mostly have less than 0.01, reduced without averaging up to 0.05; many of those enlarged by 1.2 and more have more.

The same of first differences, in which repeated pixels show, and of sixth differences, whose lines count 0.6 times: in
second differences Lanczos' kernel leaves hardly a line, but its ripples close to Nyquist are strong in sixth ones. The
blocks of codecs have periods, too: 8 px in JPEG, 4 and 16 in WebP, up to 32 in AVIF. Their lines are at multiples of a
32nd of the sampling rate, and the strongest of them are mostly at an eighth and a quarter. So

- an eighth does not count. A quarter counts in first differences beyond what WebP has (each pixel four times), and in
  sixth ones beyond what the other lines of blocks let expect (enlarging by four thirds);
- the other multiples count as far as they are stronger than those two, and in first differences than half the line at a
  half, which WebP's blocks modulate. In sixth differences hardly any blocks are seen beyond a quarter, so lines beyond
  it count from 0.05 on (enlarging by 1.6 and by 2);
- so does a half, which is doubling, beyond two things that leave a line there: in first differences colour at half the
  resolution, as WebP has it; in second differences cameras, which interpolate every other pixel from a colour filter.

Reduced images have lines, too, of two kinds:

- the blocks of a JPEG that was reduced. Frequencies at which there are such blocks, and the multiples of these, do not
  count (reduced_blocks.py);
- those of a reduction without averaging, or by OpenCV's averaging, whose pixels are means of two or of three. Unlike
  enlarged images these have structure up to Nyquist, so lines count the less, the lower `cutoff` is (resolution.py):
  down to a fifth.

Null under 128 px.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from million_ird.images.encoded_image import EncodedImage
from million_ird.images.line_steps import LineSteps, line_steps
from million_ird.measure_specs import MEASURE_SPECS
from million_ird.measure_types import Tier
from million_ird.measures.reduced_blocks import (
    CHANCE,
    SIXTH,
    deviations,
    find_reduced_blocks,
    near_multiples,
)
from million_ird.measures.resolution import cutoff_of

_MIN_SIDE = 128
_BINS = 256
"""Frequencies up to Nyquist that are told apart when rows and columns are compared."""
_LOWEST = 4
"""In 32nds of the sampling rate, as the next: no factor over 8 is looked for."""
_EIGHTH, _QUARTER, _HALF = 4, 8, 16
_NEAR = 0.006
"""Frequencies nearer than this to a multiple of a 32nd are those of blocks."""
_PLACE = 32 * (np.arange(_BINS) + 0.5) / (2 * _BINS)
_MULTIPLE = np.where(np.abs(_PLACE - np.rint(_PLACE)) <= 32 * _NEAR, np.rint(_PLACE), 0)
"""Each bin in 32nds of the sampling rate, and the multiple that it is near, or 0."""
_REDUCED, _ENLARGED, _LEAST_TRUST = 20.0, 28.0, 0.2
"""In dB. The spectrum of a reduced image goes on up to Nyquist: its `cutoff` is mostly 10 to 28, else 26 to 45."""
_OF_BLOCKS_IN_SIXTH = 0.05
"""Blocks and colour filters give at most 0.04 beyond a quarter of sixth differences."""
_OF_QUARTERS = 0.18
"""Blocks give up to 0.19 beyond the shares below; enlarging by four thirds mostly more than 0.2."""
_SHARE_OF_SECOND, _SHARE_OF_EIGHTH = 0.3, 0.2
_OF_WEBP = 0.55
"""The blocks of WebP give up to 0.5 at a quarter in smooth images; pixels repeated four times mostly 0.7 and more."""
_OF_HALF_COLOUR = 0.4
"""Colour at half the resolution gives up to 0.38 at a half of first differences; doubled pixels mostly 0.8 and more."""
_MODULATED = 0.5
"""WebP's blocks give up to a quarter of the line at a half beside it."""
_OF_COLOUR_FILTERS = 0.21
"""Simple interpolation of a camera's colour filters gives up to 0.22 at a half of second differences."""


@dataclass(frozen=True, slots=True)
class ResamplingMeasure:
    """Strength of the period that enlarging leaves."""

    fields: ClassVar[tuple[str, ...]] = MEASURE_SPECS["resampling"].fields
    tier: ClassVar[Tier] = MEASURE_SPECS["resampling"].tier

    def measure(self, image: EncodedImage) -> Mapping[str, float | None]:
        """Measure second differences along up to 512 rows and 512 columns of the luma."""
        if min(image.luma.shape) < _MIN_SIDE:
            return dict.fromkeys(self.fields)
        cutoff = cutoff_of(image)
        return {"resampled": _strongest(*image.line_steps) * (1 if cutoff is None else _trust(cutoff))}


def resampled(luma: NDArray[np.uint8]) -> float:
    """Return the largest line that rows and columns share, whatever the `cutoff`; luma: (H, W)."""
    return _strongest(*line_steps(luma))


def _trust(cutoff: float) -> float:
    """Return what a line counts in an image with this `cutoff` in dB."""
    return min(max((cutoff - _REDUCED) / (_ENLARGED - _REDUCED), _LEAST_TRUST), 1.0)


def _strongest(rows: LineSteps, columns: LineSteps) -> float:
    """Return the largest line that rows and columns share."""
    # Repeated pixels have equal second differences on both sides of a step, but every other first one is 0.
    pairs = (rows.first, columns.first), (rows.second, columns.second), (rows.sixth, columns.sixth)
    blocks = find_reduced_blocks(pairs)
    first, second, sixth = (np.minimum(*(_spectrum(steps, blocks) for steps in pair)) for pair in pairs)
    shared = np.maximum(first, second)
    everywhere = np.maximum(shared, SIXTH * sixth)
    between = float(everywhere[(_MULTIPLE == 0) & (_PLACE > _LOWEST)].max())
    return max(between, _beyond_blocks(first, second), _of_sixth(second, sixth), 0.0)


def _beyond_blocks(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Return the largest line at multiples of a 32nd beyond what blocks, cameras and colour leave there."""
    shared = np.maximum(first, second)
    blocks = _line(shared, _EIGHTH, _QUARTER)
    others = {*range(_LOWEST + 1, _HALF)} - {_QUARTER}
    enlarged = max(_line(first, *others) - _MODULATED * _line(first, _HALF), _line(second, *others)) - blocks
    doubled = max(_line(first, _HALF) - _OF_HALF_COLOUR, _line(second, _HALF) - _OF_COLOUR_FILTERS) - blocks
    fourfold = _line(first, _QUARTER) - max(_line(shared, _EIGHTH), _OF_WEBP)
    return max(enlarged, doubled, fourfold)


def _of_sixth(second: NDArray[np.float64], sixth: NDArray[np.float64]) -> float:
    """Return the same of sixth differences."""
    of_blocks = _SHARE_OF_SECOND * _line(second, _QUARTER) + _SHARE_OF_EIGHTH * _line(sixth, _EIGHTH)
    by_four_thirds = _line(sixth, _QUARTER) - of_blocks - _OF_QUARTERS
    return max(by_four_thirds, SIXTH * (_line(sixth, *range(_QUARTER + 1, _HALF + 1)) - _OF_BLOCKS_IN_SIXTH))


def _line(lines: NDArray[np.float64], *multiples: int) -> float:
    """Return the largest amplitude at these multiples of a 32nd of the sampling rate; lines: (_BINS,)."""
    return float(lines[np.isin(_MULTIPLE, multiples)].max())


def _spectrum(steps: NDArray[np.float32], blocks: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the amplitude beyond chance of a series of mean steps, without the lines of blocks; (n,) → (_BINS,)."""
    ratio = deviations(steps)
    window = np.hanning(len(ratio))
    amplitude = np.abs(fft.rfft(ratio * window)) * 2 / window.sum()
    beyond = np.maximum(amplitude - CHANCE * np.median(amplitude), 0)
    beyond[near_multiples(blocks, np.arange(len(beyond)) / len(ratio))] = 0
    lines = np.zeros(_BINS)
    np.maximum.at(lines, np.minimum(np.arange(len(beyond)) * 2 * _BINS // len(ratio), _BINS - 1), beyond)
    return lines
