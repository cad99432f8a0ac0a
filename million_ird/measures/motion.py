"""Motion blur: a straight movement during the exposure leaves zeros in the spectrum at equal distances.

- `motion` (≥ 0, down is better): the cepstrum, which is the transform of the logarithm of the power spectrum, has a
  deep minimum at the length and direction of a movement (Biemond, Lagendijk and Mersereau 1990, "Iterative methods for
  image deblurring"). The spectrum is the geometric mean of up to 40 tiles of 128×128 with the most energy in the
  Laplacian (Hann window), divided by its mean over all directions, so that defocus and the resolution of the picture do
  not count. The number is the deepest minimum from 7.5 to 31 pixels from the middle, less a maximum at twice this
  distance, as a multiple of the usual value there (1.48 times the median of the sizes), or of a quarter of the largest
  maximum in other directions where this is more: a repeated pattern has minima and maxima alike, such as the windows of
  a house. A movement also takes away the high frequencies along its way, so the number counts less where the tiles have
  many: it is multiplied by the root of 0.024 over the share of their energy above half of Nyquist (without noise, see
  noise.py), at most by 1.12. Photographs have 0 to 6, in whichever direction their structure runs, edited ones up to 9;
  those that moved by 9 to 21 pixels mostly have 10 and more.

A shaken camera moves along a curve, which is found only where a long part of it is straight, and strong
compression of a small picture hides a long movement. Null under 128 px.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import ClassVar, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from million_ird.images.encoded_image import EncodedImage
from million_ird.measure_specs import MEASURE_SPECS
from million_ird.measure_types import Tier
from million_ird.measures.noise import noise_of
from million_ird.measures.pixel_sums import tile_energies
from million_ird.runtime.jit import compiled

Floats: TypeAlias = NDArray[np.float32]

TILE = 128
_HALF = TILE // 2
_TILES = 40
_TOGETHER = 8
"""Tiles whose spectra are in memory at once."""
_FLOOR = np.float32(50)
"""About a quarter of the power of what rounding to whole levels adds."""
_SHORTEST, _LONGEST = 7.5, 31.0
"""In px. Nearer to the middle are the shape of details and of lenses."""
_TO_SIGMA = 1.4826
_AWAY = 4.0
"""Distance in px from the line of a movement beyond which a maximum does not belong to it."""
_USUAL_SHARE, _LARGEST_FACTOR = 0.024, 1.12
"""Share of energy above half of Nyquist at which a depth counts as it is, and what it is multiplied by at most."""
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
        return {"motion": None if min(luma.shape) < TILE else motion(luma, noise_of(image) or 0)}


def motion(luma: NDArray[np.uint8], noise: float = 0) -> float:
    """Return the depth of the deepest minimum as a multiple of the usual value, less where high frequencies are strong.

    Args:
        luma: (H, W), at least 128×128.
        noise: its standard deviation in levels.
    """
    luma = np.ascontiguousarray(luma)
    cepstrum, energy = _cepstrum(luma, _sharpest_tiles(luma))
    return _depth(cepstrum) * _factor(energy, noise)


def _factor(energy: NDArray[np.float64], noise: float) -> float:
    """Return what a depth is multiplied by: more than 1 where high frequencies are weak, less where they are strong.

    Args:
        energy: (2,), the mean variance of a tile above half of Nyquist, and in all.
        noise: standard deviation in levels.
    """
    high, whole = energy - noise**2 * _noise_variances()
    share = max(float(high), 0.0) / max(float(whole), 1e-9)
    return min(_LARGEST_FACTOR, math.sqrt(_USUAL_SHARE / max(share, 1e-9)))


def _depth(cepstrum: NDArray[np.float64]) -> float:
    """Return the depth of the deepest minimum as a multiple of the usual value; cepstrum: (128, 128)."""
    ring = _ring()
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


def _cepstrum(luma: NDArray[np.uint8], corners: NDArray[np.intp]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the transform of the mean logarithm of the tiles' spectrum without its rings, and their energy.

    Args:
        luma: (H, W).
        corners: (n, 2), of the tiles.

    Returns:
        (128, 128); and (2,), the mean variance of a tile above half of Nyquist, and in all, under the window.
    """
    total, energy = np.zeros((TILE, _HALF + 1)), np.zeros((TILE, _HALF + 1))
    for start in range(0, len(corners), _TOGETHER):
        some = corners[start : start + _TOGETHER]
        tiles = np.empty((len(some), TILE, TILE), np.float32)
        _cut_tiles(luma, some, _window(), tiles)
        powers = np.empty((len(some), TILE, _HALF + 1), np.float32)
        _powers(fft.rfft2(tiles, overwrite_x=True), powers)
        _add_up(powers, energy)
        _add_up(np.log(powers, out=powers), total)
    level, rings = total / len(corners), _rings()
    mean = np.bincount(rings.ravel(), level.ravel()) / np.maximum(np.bincount(rings.ravel()), 1)
    cepstrum = np.asarray(fft.irfft2(level - mean[rings], (TILE, TILE)), np.float64)
    return cepstrum, _variances(energy / len(corners))


def _variances(power: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the variance above half of Nyquist, and in all but the mean, of a power spectrum (128, 65); (2,)."""
    weights = np.full((TILE, _HALF + 1), 2.0)
    weights[:, [0, -1]] = 1
    power = power * weights / (TILE**2 * float(np.square(_window(), dtype=np.float64).sum()))
    return np.array([power[_rings() > _HALF // 2].sum(), power[_rings() > 0].sum()])


@cache
def _noise_variances() -> NDArray[np.float64]:
    """Return what `_variances` returns for noise of variance 1: (2,)."""
    return _variances(np.full((TILE, _HALF + 1), float(np.square(_window(), dtype=np.float64).sum())))


def _sharpest_tiles(luma: NDArray[np.uint8]) -> NDArray[np.intp]:
    """Return the corners of the tiles with the most energy in the Laplacian, overlapping by half; (n ≤ 40, 2)."""
    energy = tile_energies(luma, _HALF)[0]
    sums = energy[1:, 1:] + energy[:-1, 1:] + energy[1:, :-1] + energy[:-1, :-1]
    best = np.argsort(-sums.ravel(), kind="stable")[:_TILES]
    return np.stack(np.divmod(best, sums.shape[1]), axis=1) * _HALF


@compiled()
def _cut_tiles(luma: NDArray[np.uint8], corners: NDArray[np.intp], window: Floats, tiles: Floats) -> None:
    """Write the tiles at corners (n, 2), less their mean, times a window (128, 128), to tiles (n, 128, 128)."""
    size = window.shape[0]
    for n in range(corners.shape[0]):
        y, x = corners[n, 0], corners[n, 1]
        total = 0
        for r in range(size):
            row = luma[y + r, x : x + size]
            for c in range(size):
                total += row[c]
        mean = np.float32(total) / np.float32(size * size)  # exact, as is its difference from a level
        for r in range(size):
            row, weights, out = luma[y + r, x : x + size], window[r], tiles[n, r]
            for c in range(size):
                out[c] = (np.float32(row[c]) - mean) * weights[c]


@compiled()
def _powers(spectra: NDArray[np.complex64], out: Floats) -> None:
    """Write the squared sizes of spectra (n, h, w), and what rounding adds, to out (n, h, w)."""
    for n in range(out.shape[0]):
        for y in range(out.shape[1]):
            row, line = spectra[n, y], out[n, y]
            for x in range(line.shape[0]):
                real, imaginary = row[x].real, row[x].imag
                line[x] = (real * real + imaginary * imaginary) + _FLOOR


@compiled()
def _add_up(values: Floats, total: NDArray[np.float64]) -> None:
    """Add values (n, h, w), one after the other, to a total (h, w)."""
    for n in range(values.shape[0]):
        for y in range(total.shape[0]):
            row, line = values[n, y], total[y]
            for x in range(line.shape[0]):
                line[x] += np.float64(row[x])


@cache
def _window() -> Floats:
    """Return Hann's window; (128, 128)."""
    window = np.hanning(TILE).astype(np.float32)
    return window[:, None] * window


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
