"""Real resolution: "fake HD" has many pixels, but no structure in the upper part of its spectrum.

All numbers are computed from the mean power spectrum of the 24 sharpest tiles of 128×128 (by energy of the Laplacian,
Hann window), averaged over square rings, on which the larger of the horizontal and the vertical frequency is the same:
upscaling is separable, so an upscaled image has no energy outside a square. The spectrum of a native photograph falls
by about 1/f² up to Nyquist; that of an upscaled one breaks off at the Nyquist frequency of the small image. Sky or blur
in a part of the image does not matter, since only the sharpest tiles are used.

Noise fills what upscaling leaves empty, so the drops are those of the structure above it: the spectrum of the smoothest
tiles is subtracted, as far as `noise` allows (see noise.py): smooth tiles of a picture full of texture are no noise.

- `octave_drop` (dB, down is better): mean level from 0.1 to 0.36 of Nyquist minus mean level over 0.56 of Nyquist.
  Native photographs have 8–24, upscaled by two 23–40.
- `cutoff` (dB, down is better): the same plus one and a half times the steepest fall between a frequency and 1.33 times
  this frequency, from 0.22 of Nyquist on. A soft photograph falls steadily, an upscaled one breaks off.
- `lower_octave_drop` (dB, down is better): the same one octave lower: 0.08 to 0.22 minus 0.3 to 0.5 of Nyquist.
  Native photographs have 4–20, upscaled by four 21–40.
- `effective_resolution` (0–1, up is better): highest frequency, as a share of Nyquist, at which the level is within 34
  dB of its mean between 1/16 and 1/4 of Nyquist: a reading for the report, coarser than the drops.
- `high_frequency_share` (0–1, up is better): share of the tiles' energy (without their mean) above half of Nyquist.
- `spectral_copies`, `oversharpened`, `smoothed` (down is better): see the files spectral_copies.py, sharpening.py and
  smoothing.py.

Null under 128 px and where the tiles hold nothing but rounding noise.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import ClassVar
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from million_ird.images.encoded_image import EncodedImage
from million_ird.images.vp8_header import find_vp8
from million_ird.measure_specs import MEASURE_SPECS
from million_ird.measure_types import Tier
from million_ird.measures.noise import noise_of
from million_ird.measures.pixel_sums import tile_energies
from million_ird.measures.sharpening import oversharpened
from million_ird.measures.smoothing import smoothed
from million_ird.measures.spectral_copies import spectral_copies

TILE = 128
TILES = 24
WITHIN_DB = 34.0
_NYQUIST = TILE // 2
_DARK, _BRIGHT = 20, 235
"""Mean levels of tiles whose noise is not clipped."""
_NOISE_TILES = 12
_NOISE_SLACK = 1.5
"""How much more power the smoothest tiles may have at high frequencies than `noise` says, to be taken as noise."""
_ABOVE_NOISE = 0.05
"""Least power of the structure, as a share of the noise: less cannot be told from none."""
_STEEPEST = 1.5
_FALLS = np.arange(14, 41)
"""From these rings on the steepest fall is looked for. Near Nyquist many a camera breaks off."""
_FLOOR = 0.02
"""Power per pixel that counts as none; the rounding of 8-bit pixels alone gives 1/12."""
_KNOWN: WeakKeyDictionary[EncodedImage, "SharpestTiles | None"] = WeakKeyDictionary()


@dataclass(frozen=True, slots=True)
class ResolutionMeasure:
    """Frequency at which the spectrum of the sharpest tiles breaks off."""

    fields: ClassVar[tuple[str, ...]] = MEASURE_SPECS["resolution"].fields
    tier: ClassVar[Tier] = MEASURE_SPECS["resolution"].tier

    def measure(self, image: EncodedImage) -> Mapping[str, float | None]:
        """Measure the Fourier transform of a few tiles of the luma."""
        tiles = sharpest_tiles(image)
        if tiles is None:
            return dict.fromkeys(self.fields)
        structure, power = tiles.structure, tiles.power
        level = 10 * np.log10(tiles.rings + _FLOOR)
        total = float(power.sum() - power[0, 0])
        cutoff = _cutoff(structure)
        return {
            "octave_drop": _octave_drop(structure),
            "lower_octave_drop": float(structure[6:15].mean() - structure[20:33].mean()),
            "cutoff": cutoff,
            "spectral_copies": spectral_copies(
                tiles.pixels, tiles.corners, cutoff, webp=find_vp8(image.encoded) is not None
            ),
            "effective_resolution": effective_resolution(level),
            "high_frequency_share": float(power[_rings() > _NYQUIST // 2].sum() / total),
            "oversharpened": oversharpened(image.luma, level),
            "smoothed": smoothed(structure, tiles.pixels),
        }


@dataclass(frozen=True, slots=True)
class SharpestTiles:
    """The sharpest tiles of an image and their spectrum."""

    pixels: NDArray[np.float32]
    """(n, TILE, TILE), zero mean."""
    corners: NDArray[np.intp]
    """(n, 2), row and column of the first pixel of each."""
    power: NDArray[np.float64]
    """(128, 65), the mean power."""
    rings: NDArray[np.float64]
    """(65,), its mean in each ring."""
    structure: NDArray[np.float64]
    """(65,), the level in dB of what is above the noise."""


def sharpest_tiles(image: EncodedImage) -> SharpestTiles | None:
    """Return the sharpest tiles, which two measures need, found once; None where an image has no resolution."""
    if image not in _KNOWN:
        _KNOWN[image] = _sharpest_tiles(image)
    return _KNOWN[image]


def cutoff_of(image: EncodedImage) -> float | None:
    """Return `cutoff` of an image in dB; None where it has no resolution."""
    tiles = sharpest_tiles(image)
    return None if tiles is None else _cutoff(tiles.structure)


def _sharpest_tiles(image: EncodedImage) -> SharpestTiles | None:
    if min(image.luma.shape) < TILE:
        return None
    corners, sharpest, smoothest = extreme_tiles(image.luma)
    power = mean_power(sharpest)
    rings = ring_means(power)
    if rings[5:17].mean() < 1:
        return None
    structure = structure_level(rings, ring_means(mean_power(smoothest)), noise_of(image) or 0)
    return SharpestTiles(sharpest, corners, power, rings, structure)


def _octave_drop(structure: NDArray[np.float64]) -> float:
    return float(structure[7:24].mean() - structure[36:].mean())


def _cutoff(structure: NDArray[np.float64]) -> float:
    return _octave_drop(structure) + _STEEPEST * steepest_fall(structure)


def structure_level(rings: NDArray[np.float64], smooth: NDArray[np.float64], noise: float) -> NDArray[np.float64]:
    """Return the level in dB of what is above the noise; all (65,).

    Args:
        rings: mean power of the sharpest tiles at each frequency.
        smooth: that of the smoothest tiles.
        noise: standard deviation that these can have by noise alone, in grey levels.
    """
    high = max(float(smooth[36:].mean()), 1e-9)
    spectrum = smooth * min(1.0, _NOISE_SLACK * noise**2 / high)
    above = np.convolve(np.pad(rings - spectrum, 2, mode="edge"), np.full(5, 0.2), mode="valid")
    return np.asarray(10 * np.log10(np.maximum(above, _ABOVE_NOISE * spectrum) + _FLOOR), np.float64)


def steepest_fall(level: NDArray[np.float64]) -> float:
    """Return the largest fall in dB from a frequency to 1.33 times this frequency; level: (65,) in dB."""
    return float((level[_FALLS] - level[(_FALLS * 4) // 3]).max())


def ring_means(power: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean power in each square ring: ring k is k/64 of Nyquist, ring 0 the mean; (128, 65) → (65,)."""
    return np.asarray(np.bincount(_rings().ravel(), power.ravel()) / np.bincount(_rings().ravel()), np.float64)


def extreme_tiles(luma: NDArray[np.uint8]) -> tuple[NDArray[np.intp], NDArray[np.float32], NDArray[np.float32]]:
    """Return the tiles with the most and with the least energy in the Laplacian, both (n, TILE, TILE), zero mean.

    Before them, the corners of the former, (n, 2). The former are at most `TILES`. The latter are at most 12 and a
    quarter of all, and neither black nor white where there are others.

    Args:
        luma: (H, W), at least `TILE` px high and wide.
    """
    rows, columns = luma.shape[0] // TILE, luma.shape[1] // TILE
    whole = luma[: rows * TILE, : columns * TILE]
    energy, level = (values.ravel() for values in tile_energies(luma, TILE))
    order = np.argsort(energy)
    clipped = (level < _DARK) | (level > _BRIGHT)
    smooth = order[np.argsort(clipped[order], kind="stable")][: max(1, min(_NOISE_TILES, rows * columns // 4))]
    sharp, soft = (np.stack(np.divmod(numbers, columns), axis=1) * TILE for numbers in (order[-TILES:], smooth))
    return sharp, _tiles(whole, sharp), _tiles(whole, soft)


def _tiles(luma: NDArray[np.uint8], corners: NDArray[np.intp]) -> NDArray[np.float32]:
    tiles = np.stack([luma[y : y + TILE, x : x + TILE].astype(np.float32) for y, x in corners.tolist()])
    return np.asarray(tiles - tiles.mean(axis=(1, 2), keepdims=True), np.float32)


def mean_power(tiles: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the mean power spectrum, 1 for white noise of variance 1.

    Args:
        tiles: (n, TILE, TILE), zero mean.

    Returns:
        (TILE, TILE // 2 + 1).
    """
    window = np.hanning(TILE).astype(np.float32)
    spectra = fft.rfft2(tiles * (window[:, None] * window))
    power = (spectra.real**2 + spectra.imag**2).mean(axis=0)
    return np.asarray(power, np.float64) / float((window**2).sum() ** 2)


def effective_resolution(level: NDArray[np.float64]) -> float:
    """Return the last frequency within `WITHIN_DB` of the low ones, as a share of Nyquist; level: (65,) in dB."""
    smooth = np.convolve(np.pad(level, 1, mode="edge"), np.full(3, 1 / 3), mode="valid")
    above = np.flatnonzero(smooth > level[4:17].mean() - WITHIN_DB)
    return float(above[-1]) / _NYQUIST if above.size else 0.0


@cache
def _rings() -> NDArray[np.intp]:
    """Return the larger of the two frequencies at each coefficient, in steps: (TILE, TILE // 2 + 1)."""
    down = np.abs(np.rint(fft.fftfreq(TILE) * TILE)).astype(np.intp)
    return np.maximum(down[:, None], np.arange(_NYQUIST + 1, dtype=np.intp))
