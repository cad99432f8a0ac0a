"""Motion blur: a straight movement during the exposure leaves zeros in the spectrum at equal distances.

- `motion` (≥ 0, down is better): the cepstrum, which is the transform of the logarithm of the power spectrum, has a
  deep minimum at the length and direction of a movement (Biemond, Lagendijk and Mersereau 1990, "Iterative methods for
  image deblurring"). The spectrum is the geometric mean of up to 40 tiles of 128×128 with the most energy in the
  Laplacian (Hann window), divided by its mean over all directions, so that defocus and the resolution of the picture do
  not count. The number is the deepest minimum from 7.5 to 31 pixels from the middle, less a maximum at twice this
  distance, as a multiple of the usual value there (1.48 times the median of the sizes), or of a quarter of the largest
  maximum in other directions where this is more: a repeated pattern has minima and maxima alike, such as the windows of
  a house. Photographs have 2 to 6, in whichever direction their structure runs; those that moved by 9 to 21 pixels
  mostly have 8 and more. A crop of a foggy photograph had 9.

A shaken camera moves along a curve, which is found only where a long part of it is straight, and strong
compression of a small picture hides a long movement. Null under 128 px.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from million_ird.images.encoded_image import EncodedImage
from million_ird.measure_specs import MEASURE_SPECS
from million_ird.measure_types import Tier
from million_ird.measures.pixel_sums import tile_energies

TILE = 128
_HALF = TILE // 2
_TILES = 40
_FLOOR = 50.0
"""About a quarter of the power of what rounding to whole levels adds."""
_SHORTEST, _LONGEST = 7.5, 31.0
"""In px. Nearer to the middle are the shape of details and of lenses."""
_TO_SIGMA = 1.4826
_AWAY = 4.0
"""Distance in px from the line of a movement beyond which a maximum is none of it."""
_HIGHEST = 4.0
"""Usual values that the largest maximum has by chance."""


@dataclass(frozen=True, slots=True)
class MotionMeasure:
    """Depth of the minimum that a movement leaves in the cepstrum."""

    fields: ClassVar[tuple[str, ...]] = MEASURE_SPECS["motion"].fields
    tier: ClassVar[Tier] = MEASURE_SPECS["motion"].tier

    def measure(self, image: EncodedImage) -> Mapping[str, float | None]:
        """Measure up to 40 tiles of the luma; null under 128 px."""
        luma = image.luma
        return {"motion": None if min(luma.shape) < TILE else motion(luma)}


def motion(luma: NDArray[np.uint8]) -> float:
    """Return the depth of the deepest minimum as a multiple of the usual value; luma: (H, W), at least 128×128."""
    cepstrum, ring = _cepstrum(_sharpest_tiles(luma)), _ring()
    twice = cepstrum[np.ix_(2 * np.arange(TILE) % TILE, 2 * np.arange(TILE) % TILE)]
    depth = np.where(ring, -cepstrum - np.maximum(twice, 0), -np.inf)
    deepest = np.unravel_index(int(depth.argmax()), depth.shape)
    y, x = (float(fft.fftfreq(TILE)[place] * TILE) for place in deepest)
    down, across = fft.fftfreq(TILE)[:, None] * TILE, fft.fftfreq(TILE) * TILE
    beside = ring & (np.abs(x * down - y * across) > _AWAY * np.hypot(y, x))
    inside = cepstrum[ring]
    usual = _TO_SIGMA * float(np.median(np.abs(inside - np.median(inside))))
    scale = max(usual, float(cepstrum[beside].max()) / _HIGHEST, 1e-9)
    return max(0.0, float(depth[deepest]) / scale)


def _cepstrum(tiles: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the transform of the mean logarithm of the spectrum without its rings; (n, 128, 128) → (128, 128)."""
    window = np.hanning(TILE).astype(np.float32)
    spectra = fft.rfft2((tiles - tiles.mean(axis=(1, 2), keepdims=True)) * (window[:, None] * window))
    level = np.log(spectra.real**2 + spectra.imag**2 + np.float32(_FLOOR)).mean(axis=0, dtype=np.float64)
    rings = _rings()
    mean = np.bincount(rings.ravel(), level.ravel()) / np.maximum(np.bincount(rings.ravel()), 1)
    return np.asarray(fft.irfft2(level - mean[rings], (TILE, TILE)), np.float64)


def _sharpest_tiles(luma: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the tiles with the most energy in the Laplacian, overlapping by half; (H, W) → (n ≤ 40, 128, 128)."""
    energy = tile_energies(luma, _HALF)[0]
    sums = energy[1:, 1:] + energy[:-1, 1:] + energy[1:, :-1] + energy[:-1, :-1]
    best = np.argsort(-sums.ravel(), kind="stable")[:_TILES]
    corners = [(int(number) // sums.shape[1] * _HALF, int(number) % sums.shape[1] * _HALF) for number in best]
    return np.stack([luma[y : y + TILE, x : x + TILE].astype(np.float32) for y, x in corners])


@cache
def _rings() -> NDArray[np.intp]:
    """Return the distance of each coefficient from the middle of the spectrum, rounded; (128, 65)."""
    down, across = fft.fftfreq(TILE) * TILE, np.arange(_HALF + 1)
    return np.rint(np.hypot(down[:, None], across)).astype(np.intp)


@cache
def _ring() -> NDArray[np.bool_]:
    """Return where in the cepstrum movements are looked for, which is half of a ring; (128, 128)."""
    place = fft.fftfreq(TILE) * TILE
    distance = np.hypot(place[:, None], place)
    return np.asarray((distance >= _SHORTEST) & (distance <= _LONGEST) & (place >= 0), np.bool_)
