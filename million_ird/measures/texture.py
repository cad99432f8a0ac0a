"""Texture and tone: flat blocks, entropy, contrast, colourfulness.

- `flat_share` (0–1, down is better): share of the blocks in which the variance of the Sobel magnitude is
  under 800, the 4KLSDB rule. Blocks are 240×240 at native scale; in an image whose short side is under 960
  they are a quarter of the short side, so that there are always at least 4×4 of them. Null under 32 px.
- `entropy` (0–8 bits, up is better): Shannon entropy of the histogram of the thumbnail's luma.
- `contrast` (0–127.5 grey levels, up is better): RMS contrast, the standard deviation of the thumbnail's
  luma.
- `colourfulness` (≥ 0, about 0 for grey, 100 for very colourful; not a quality): Hasler and Süsstrunk 2003,
  √(σ²_rg + σ²_yb) + 0.3 √(μ²_rg + μ²_yb) with rg = R − G, yb = (R + G)/2 − B.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from million_ird.images.encoded_image import EncodedImage
from million_ird.measure_specs import MEASURE_SPECS
from million_ird.measure_types import Tier
from million_ird.measures.edge_sums import sobel_sums

FLAT_BLOCK = 240
FLAT_VARIANCE = 800.0
_MIN_SIDE = 32


@dataclass(frozen=True, slots=True)
class ToneMeasure:
    """Entropy, contrast and colourfulness of the thumbnail."""

    fields: ClassVar[tuple[str, ...]] = MEASURE_SPECS["tone"].fields
    tier: ClassVar[Tier] = MEASURE_SPECS["tone"].tier

    def measure(self, image: EncodedImage) -> Mapping[str, float | None]:
        """Measure histogram and moments of at most 65,536 pixels."""
        luma = cv2.cvtColor(image.thumbnail, cv2.COLOR_RGB2GRAY)
        counts = np.bincount(luma.ravel(), minlength=256)
        share = counts[counts > 0] / luma.size
        return {
            # max, because a single grey level gives −0.0
            "entropy": max(0.0, float(-(share * np.log2(share)).sum())),
            "contrast": float(luma.std()),
            "colourfulness": colourfulness(image.thumbnail),
        }


@dataclass(frozen=True, slots=True)
class FlatMeasure:
    """Share of blocks without texture."""

    fields: ClassVar[tuple[str, ...]] = MEASURE_SPECS["flat"].fields
    tier: ClassVar[Tier] = MEASURE_SPECS["flat"].tier

    def measure(self, image: EncodedImage) -> Mapping[str, float | None]:
        """Measure the Sobel magnitude of the luma in blocks."""
        luma = image.luma
        if min(luma.shape) < _MIN_SIDE:
            return {"flat_share": None}
        return {"flat_share": float((sobel_variances(luma) < FLAT_VARIANCE).mean())}


def sobel_variances(luma: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the variance of the 3×3 Sobel magnitude in each whole block; luma: (H, W) → (rows, columns)."""
    side = min(FLAT_BLOCK, min(luma.shape) // 4)
    mean, mean_square = sobel_sums(luma, side)
    return mean_square - mean * mean


def colourfulness(pixels: NDArray[np.uint8]) -> float:
    """Return the colourfulness by Hasler and Süsstrunk; pixels: (H, W, 3) uint8 RGB."""
    red, green, blue = (pixels[..., k].astype(np.float32) for k in range(3))
    rg, yb = red - green, (red + green) / 2 - blue
    return float(np.hypot(rg.std(), yb.std()) + 0.3 * np.hypot(rg.mean(), yb.mean()))
