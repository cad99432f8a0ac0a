"""How much of the resolution is real: "fake HD" has pixels, but nothing in the upper part of its spectrum.

All numbers come from the mean power spectrum of the 24 sharpest tiles of 128×128 (by energy of the
Laplacian, Hann window), read along the horizontal and the vertical axis and averaged: enlarging is
separable, so that is where it shows. A native photograph falls by about 1/f² up to Nyquist; an enlarged one
breaks off where the small picture's Nyquist was. A small share of sky or blur does not matter, since the
sharpest tiles speak.

- `octave_drop` (dB, down is better): mean level between 1/6 and 4/9 of Nyquist minus mean level above 5/9
  of Nyquist. Native photographs 5–19, enlarged twice 18–30. Mild enlargement (×1.5) is found only in part.
- `effective_resolution` (0–1, up is better): highest frequency, as a share of Nyquist, at which the level
  is within 30 dB of the mean level between 1/12 and 1/4 of Nyquist. Enlarged four times: about 0.3–0.45.
- `high_frequency_share` (0–1, up is better): share of the tiles' energy (without their mean) above half of
  Nyquist.

Null under 128 px and where the tiles hold nothing but rounding.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import fft

from million_ird.record import Sample, Tier

TILE = 128
TILES = 24
WITHIN_DB = 30.0
_NYQUIST = TILE // 2
_AXIS = 8
"""How far from an axis, in frequency steps, a coefficient still counts to it."""
_FLOOR = 0.02
"""Power per pixel that stands for nothing; the rounding of 8-bit pixels alone gives 1/12."""


@dataclass(frozen=True, slots=True)
class ResolutionMeasure:
    """Where the spectrum of the sharpest tiles breaks off."""

    fields: ClassVar[tuple[str, ...]] = ("octave_drop", "effective_resolution", "high_frequency_share")
    tier: ClassVar[Tier] = Tier.PIXELS

    def measure(self, sample: Sample) -> Mapping[str, float | None]:
        """A Fourier transform of a few tiles of the luma."""
        luma = sample.luma
        if min(luma.shape) < TILE:
            return dict.fromkeys(self.fields)
        profile = axis_profile(sharpest_tiles(luma))
        # Frequencies are k/64 of Nyquist, k = 1 … 64.
        if profile[4:16].mean() < 1:
            return dict.fromkeys(self.fields)
        level = 10 * np.log10(profile + _FLOOR)
        return {
            "octave_drop": float(level[10:28].mean() - level[35:].mean()),
            "effective_resolution": effective_resolution(level),
            "high_frequency_share": float(profile[_NYQUIST // 2 :].sum() / profile.sum()),
        }


def sharpest_tiles(luma: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The tiles with the most energy in the Laplacian; luma: (H, W) → (n ≤ TILES, TILE, TILE), zero mean."""
    rows, columns = luma.shape[0] // TILE, luma.shape[1] // TILE
    cut = luma[: rows * TILE, : columns * TILE]
    edges = cv2.convertScaleAbs(cv2.Laplacian(cut, cv2.CV_16S))
    energy = np.asarray(
        cv2.resize(
            cv2.multiply(edges, edges, dtype=cv2.CV_32F), (columns, rows), interpolation=cv2.INTER_AREA
        )
    )
    best = np.argsort(energy, axis=None)[-TILES:]
    tiles = np.stack([_tile(cut, int(index) // columns, int(index) % columns) for index in best])
    return np.asarray(tiles - tiles.mean(axis=(1, 2), keepdims=True), np.float32)


def axis_profile(tiles: NDArray[np.float32]) -> NDArray[np.float64]:
    """Mean power near both axes; tiles: (n, TILE, TILE) → (64,), frequencies 1/64 … 64/64 of Nyquist."""
    window = np.hanning(TILE).astype(np.float32)
    spectra = fft.rfft2(tiles * (window[:, None] * window))
    power = (np.abs(spectra) ** 2).mean(axis=0).astype(np.float64) / float((window**2).sum() ** 2)
    near = np.r_[0 : _AXIS + 1, TILE - _AXIS : TILE]
    across = power[near].mean(axis=0)[1:]
    down = power[:, : _AXIS + 1].mean(axis=1)
    mirrored = (down[1 : _NYQUIST + 1] + down[: _NYQUIST - 1 : -1]) / 2
    return np.asarray((across + mirrored) / 2, np.float64)


def effective_resolution(level: NDArray[np.float64]) -> float:
    """Last frequency within `WITHIN_DB` of the low frequencies, as a share of Nyquist; level: (64,) in dB."""
    smooth = np.convolve(np.pad(level, 1, mode="edge"), np.full(3, 1 / 3), mode="valid")
    above = np.flatnonzero(smooth > level[4:16].mean() - WITHIN_DB)
    return float(above[-1] + 1) / _NYQUIST if above.size else 0.0


def _tile(cut: NDArray[np.uint8], row: int, column: int) -> NDArray[np.float32]:
    return cut[row * TILE : (row + 1) * TILE, column * TILE : (column + 1) * TILE].astype(np.float32)
