"""Tiled marks: the same small drawing laid over an image again and again, on a lattice.

- `tiled_mark` (≥ 0, down is better): how sharply the fine structure of the luma repeats on a lattice. The luma,
  reduced by a whole number to 0.3 megapixels at most, less its blur, is divided by its own local deviation and
  clipped, so that a faint mark counts as much over foliage as over a sky. Peaks of its autocorrelation are measured
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
    size = luma.shape[1] // factor, luma.shape[0] // factor
    whole = luma[: size[1] * factor, : size[0] * factor]  # means of whole squares are faster than others
    small = luma if factor == 1 else np.asarray(cv2.resize(whole, size, interpolation=cv2.INTER_AREA), np.uint8)
    if min(small.shape) < 3 * _NEAREST:
        return 0.0  # a strip, in which no two tiles fit
    peaks = _peaks(_autocorrelation(_fine(small)), small.shape[0], small.shape[1])
    return max(map(min, _lattices(peaks)), default=0.0)


def _fine(luma: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the fine structure over its local deviation, within ±_CLIP; luma: (h, w) → (h, w)."""
    values = luma.astype(np.float32)
    fine = values - cv2.GaussianBlur(values, (0, 0), _BLUR)
    power = np.maximum(cv2.blur(fine * fine, (_AROUND, _AROUND)), 0)  # rounding can leave less than nothing
    return np.asarray(np.clip(fine / (np.sqrt(power) + 1), -_CLIP, _CLIP), np.float32)


def _autocorrelation(fine: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the circular autocorrelation, the shift (0, 0) in the middle; (h, w) → (h' ≥ h, w' ≥ w)."""
    shape = [fft.next_fast_len(side, real=True) for side in fine.shape]
    spectrum = fft.rfft2(fine, shape)
    power = spectrum.real**2 + spectrum.imag**2
    return np.asarray(fft.fftshift(fft.irfft2(power, shape)), np.float32)


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
    # An autocorrelation is symmetric: the lower half, and what the windows need above it, says all.
    middle = correlation.shape[0] // 2, correlation.shape[1] // 2
    above = min(middle[0], _SURROUNDINGS)
    half = correlation[middle[0] - above :]
    beyond = half - cv2.blur(half, (_BACKGROUND, _BACKGROUND))
    power = cv2.blur(beyond * beyond, (_SURROUNDINGS, _SURROUNDINGS))
    # In an even image rounding is all there is.
    least = float(correlation[middle]) * 1e-6 + 1e-9
    heights = np.asarray(beyond / np.sqrt(np.maximum(power, least**2)), np.float32)
    down = np.arange(len(half), dtype=np.float32)[:, None] - above
    across = np.arange(half.shape[1], dtype=np.float32)[None] - middle[1]
    nearest = max(_NEAREST, min(height, width) / 16)
    looked_at = (
        (down**2 + across**2 > nearest**2)
        & (down < height * _FARTHEST)
        & (np.abs(across) < width * _FARTHEST)
        & ((down > 0) | ((down == 0) & (across > 0)))
    )
    inside = np.where(looked_at, heights, 0)
    tops = np.argwhere((inside > _MIN_PEAK) & (inside == cv2.dilate(inside, np.ones((7, 7), np.uint8))))
    highest = tops[np.argsort(-inside[tops[:, 0], tops[:, 1]], kind="stable")][:_PEAKS]
    return _Peaks(heights, (above, middle[1]), [(int(y) - above, int(x) - middle[1]) for y, x in highest])


def _lattices(peaks: _Peaks) -> Iterator[list[float]]:
    """Yield the heights of two peaks in different directions, and those of their sum and difference."""
    for (y, x), (v, u) in combinations(peaks.shifts, 2):
        if abs(y * u - x * v) < _APART * np.hypot(y, x) * np.hypot(v, u):
            continue
        others = [found for sign in (1, -1) if (found := peaks.at(y + sign * v, x + sign * u)) is not None]
        own = [found for found in (peaks.at(y, x), peaks.at(v, u)) if found is not None]
        if others:
            yield own + others
