"""How much of the picture's resolution is real.

- `high_frequency_share` (0–1, up is better): share of the spectral energy of the most textured 128×128 tiles (windowed,
  without their mean) above half of Nyquist. Null under 128 px and for one flat colour.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from million_ird.record import Sample, Tier

TILE = 128
TILES = 16


@dataclass(frozen=True, slots=True)
class ResolutionMeasure:
    """Spectral energy near Nyquist."""

    fields: ClassVar[tuple[str, ...]] = ("high_frequency_share",)
    tier: ClassVar[Tier] = Tier.PIXELS

    def measure(self, sample: Sample) -> Mapping[str, float | None]:
        """A Fourier transform of a few tiles of the luma."""
        luma = sample.luma
        if min(luma.shape) < TILE:
            return {"high_frequency_share": None}
        power = _tile_power(luma)
        total = power.sum()
        if total <= 0:
            return {"high_frequency_share": None}
        y = np.abs(np.fft.fftfreq(TILE))[:, None]
        x = np.fft.rfftfreq(TILE)[None]
        return {"high_frequency_share": float(power[np.maximum(x, y) > 0.25].sum() / total)}


def _tile_power(luma: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Summed power spectra of the tiles with the largest variance; luma: (H, W) → (TILE, TILE // 2 + 1)."""
    rows, columns = luma.shape[0] // TILE, luma.shape[1] // TILE
    grid = luma[: rows * TILE, : columns * TILE].reshape(rows, TILE, columns, TILE).swapaxes(1, 2)
    tiles = grid.reshape(-1, TILE, TILE).astype(np.float32)
    best = np.argsort(tiles.var(axis=(1, 2)))[-TILES:]
    window = np.hanning(TILE)
    chosen = tiles[best] - tiles[best].mean(axis=(1, 2), keepdims=True)
    spectra = np.fft.rfft2(chosen * window[:, None] * window[None])
    return np.asarray((np.abs(spectra) ** 2).sum(axis=0), np.float64)
