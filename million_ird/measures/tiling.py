"""Tiled marks: the same small drawing laid over an image again and again, on a lattice.

- `tiled_mark` (≥ 0, down is better): how sharply the fine structure of the luma repeats on a lattice. The luma,
  reduced by a whole number to 0.3 megapixels at most, less its blur, is divided by its own local deviation and
  clipped, so that a faint mark counts as much over foliage as over a sky. Up to 1 level does not count: nobody sees
  it, and what codecs and dithering make of a plain sky repeats, too. Peaks of its autocorrelation are measured
  in standard deviations of their surroundings (25×25 shifts). Two peaks in different directions, their sum and their
  difference make a lattice; the number is the lowest of these four, for the two peaks for which it is largest. A
  program draws each tile alike to the pixel, so peaks are as narrow as its lines: mostly 7 and more. Walls, windows,
  fences and fabrics repeat, too, but hardly ever by the same distance to the pixel, and with broad peaks: photographs
  have 0 to 3.2, generated rows of windows and fences up to 5.6.

Marks with and without text are found alike, with at least two rows and two columns of tiles. Exact drawings, such as a
chessboard or a pattern for a wall, have it as well. 0 where no two peaks belong together; null under 128 px.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import fft

from million_ird.images.encoded_image import EncodedImage
from million_ird.measure_specs import MEASURE_SPECS
from million_ird.measure_types import Tier
from million_ird.measures import tiling_kernels

_MIN_SIDE = 128
_PIXELS = 300_000
_BLUR = 2.0
_AROUND = 15
"""Side in px of the window whose deviation normalises the fine structure."""
_CLIP = 2.0
_BACKGROUND, _SURROUNDINGS = 9, 25
"""Sides in shifts of the windows of a peak's background and of the deviation it is compared with."""
_NEAREST = 20
"""Least shift in px, or a sixteenth of the shorter side: texture is alike at small shifts."""
_FARTHEST = 0.55
_MIN_PEAK, _PEAKS = 4.0, 16
_APART = 0.5
"""Sine of the least angle between the two directions of a lattice."""


@dataclass(frozen=True, slots=True)
class TilingMeasure:
    """Sharpness of the repetition on a lattice."""

    fields: ClassVar[tuple[str, ...]] = MEASURE_SPECS["tiling"].fields
    tier: ClassVar[Tier] = MEASURE_SPECS["tiling"].tier

    def measure(self, image: EncodedImage) -> Mapping[str, float | None]:
        """Measure the autocorrelation of the luma at 0.3 megapixels; null under 128 px."""
        luma = image.luma
        if min(luma.shape) < _MIN_SIDE:
            return dict.fromkeys(self.fields)
        return {"tiled_mark": tiled_mark(luma)}


def tiled_mark(luma: NDArray[np.uint8]) -> float:
    """Return by how many deviations the autocorrelation peaks on a lattice; luma: (H, W)."""
    factor = int(np.ceil(np.sqrt(luma.size / _PIXELS)))
    small = luma if factor == 1 else tiling_kernels.square_means(luma, factor)
    if min(small.shape) < 3 * _NEAREST:
        return 0.0  # a strip, in which no two tiles fit
    peaks = _peaks(_autocorrelation(_fine(small)), small.shape[0], small.shape[1])
    return max(map(min, _lattices(peaks)), default=0.0)


def _fine(luma: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the fine structure over its local deviation, within ±_CLIP; luma: (h, w) → (h, w)."""
    values = luma.astype(np.float32)
    fine = np.asarray(values - cv2.GaussianBlur(values, (0, 0), _BLUR), np.float32)
    power = np.asarray(cv2.blur(fine * fine, (_AROUND, _AROUND)), np.float32)
    tiling_kernels.normalise(fine, power, _CLIP)
    return fine


def _autocorrelation(fine: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the lower half of the circular autocorrelation, and `_SURROUNDINGS` rows above it.

    An autocorrelation is symmetric: its lower half, and what windows need above it, says all.

    Args:
        fine: (h, w), h over 2 · `_SURROUNDINGS`.

    Returns:
        (`_SURROUNDINGS` + about h / 2, w' ≥ w); the shift (0, 0) is in row `_SURROUNDINGS`, column w' // 2.
    """
    height, width = (fft.next_fast_len(side, real=True) for side in fine.shape)
    spectrum = fft.rfft2(fine, (height, width))
    power = (spectrum.real**2 + spectrum.imag**2).astype(np.complex64)
    # As irfft2 does it, first down, then across: here for the rows that are wanted.
    rows = fft.ifft(power, axis=0, norm="forward", overwrite_x=True)
    half = np.concatenate([rows[-_SURROUNDINGS:], rows[: height - height // 2]])
    correlation = fft.irfft(half, width, axis=1, norm="forward", overwrite_x=True)
    correlation *= np.float32(1 / (height * width))
    return np.asarray(fft.fftshift(correlation, axes=1), np.float32)


@dataclass(frozen=True, slots=True)
class _Peaks:
    """Peaks of the autocorrelation, and how far each shift stands out."""

    height: NDArray[np.float32]
    """(h, w) deviations from the surroundings; the shift (0, 0) is at `origin`."""
    origin: tuple[int, int]
    shifts: list[tuple[int, int]]
    """Down and across in px, the highest first; never both a shift and its opposite."""

    def at(self, down: int, across: int) -> float | None:
        """Return the height at a shift, or one pixel beside it; None where it is not known."""
        if down < 0:
            down, across = -down, -across  # both are the same repetition
        y, x = self.origin[0] + down, self.origin[1] + across
        if not (1 <= y < self.height.shape[0] - 1 and 1 <= x < self.height.shape[1] - 1):
            return None
        return float(self.height[y - 1 : y + 2, x - 1 : x + 2].max())


def _peaks(correlation: NDArray[np.float32], height: int, width: int) -> _Peaks:
    """Return the highest peaks at shifts up to about half of an image of a height and a width."""
    origin = _SURROUNDINGS, correlation.shape[1] // 2
    heights = np.asarray(correlation - cv2.blur(correlation, (_BACKGROUND, _BACKGROUND)), np.float32)
    power = np.asarray(cv2.blur(heights * heights, (_SURROUNDINGS, _SURROUNDINGS)), np.float32)
    # In an even image rounding is all there is.
    least = float(correlation[origin]) * 1e-6 + 1e-9
    tiling_kernels.to_deviations(heights, power, least**2)
    nearest, farthest = max(_NEAREST, min(height, width) / 16), (height * _FARTHEST, width * _FARTHEST)
    tops = tiling_kernels.tops(heights, origin, lowest=_MIN_PEAK, nearest=nearest, farthest=farthest)
    highest = tops[np.argsort(-heights[tops[:, 0], tops[:, 1]], kind="stable")][:_PEAKS]
    return _Peaks(heights, origin, [(int(y) - origin[0], int(x) - origin[1]) for y, x in highest])


def _lattices(peaks: _Peaks) -> Iterator[list[float]]:
    """Yield the heights of two peaks in different directions, and those of their sum and difference."""
    for (y, x), (v, u) in combinations(peaks.shifts, 2):
        if abs(y * u - x * v) < _APART * np.hypot(y, x) * np.hypot(v, u):
            continue
        others = [found for sign in (1, -1) if (found := peaks.at(y + sign * v, x + sign * u)) is not None]
        own = [found for found in (peaks.at(y, x), peaks.at(v, u)) if found is not None]
        if others:
            yield own + others
