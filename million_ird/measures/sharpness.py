"""Sharpness: over the whole image, in its sharpest blocks, and as a share of blocks.

- `laplacian_variance` (grey levels², ≥ 0; too low is blur, too high is noise or line art): variance of the
  3×3 Laplacian (0 1 0; 1 −4 1; 0 1 0) of 8-bit luma at native scale, as used by Pech-Pacheco et al. 2000
  and the 4KLSDB recipe. The number depends on resolution and on how much of the image is sky
  (cleanvision#120): use it with wide limits.
- `sharpest_blocks` (grey levels, ≥ 0, up is better): standard deviation of the Laplacian within blocks of
  64×64 beyond that of the noise (variances are subtracted; see `noise.py`), at the 95th percentile of the blocks.
  A photograph with a sharp subject in front of a soft background
  has a high number; one that is blurred everywhere has no sharp block.
- `textured_share` (0–1, up is better): share of blocks of 16×16 in which the Laplacian's standard deviation
  is 2 or more beyond that of the noise: texture or an edge, but neither rounding nor grain. Black blocks do not
  count, as far as a tenth of all is left. Gradients and soft
  renders with a few drawn edges have a few hundredths.

Null under 16 px.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from million_ird.images.encoded_image import EncodedImage
from million_ird.measure_specs import MEASURE_SPECS
from million_ird.measure_types import Tier
from million_ird.measures.noise import noise_of
from million_ird.measures.pixel_sums import BAND, laplacian_sums

SHARP_BLOCK = 64
SMALL_BLOCK = 16
TEXTURED = 2.0
BLACK = 4
_LEAST_REST = 0.1
_GAIN = 20.0
"""Variance of the Laplacian of white noise, as a multiple of the noise's own."""
_MARGIN, _SMALL_MARGIN = 1.2, 1.5
"""How much more the noise may have in some large and small block by chance."""
_PERCENTILE = 95


@dataclass(frozen=True, slots=True)
class SharpnessMeasure:
    """The Laplacian over the whole image, in its sharpest blocks, and the share of blocks that have texture."""

    fields: ClassVar[tuple[str, ...]] = MEASURE_SPECS["sharpness"].fields
    tier: ClassVar[Tier] = MEASURE_SPECS["sharpness"].tier

    def measure(self, image: EncodedImage) -> Mapping[str, float | None]:
        """Measure one pass of a 3×3 filter over the luma."""
        luma = image.luma
        if min(luma.shape) < SMALL_BLOCK:
            return dict.fromkeys(self.fields)
        mean, square, level, totals = laplacian_sums(luma, SMALL_BLOCK)
        sharp = (
            _average_blocks(square, SHARP_BLOCK // SMALL_BLOCK) - _average_blocks(mean, SHARP_BLOCK // SMALL_BLOCK) ** 2
        )
        noise = _GAIN * (noise_of(image) or 0) ** 2
        return {
            "laplacian_variance": _variance(totals, luma),
            "sharpest_blocks": float(np.sqrt(max(0.0, np.percentile(sharp, _PERCENTILE) - _MARGIN * noise))),
            "textured_share": _textured_share(square - mean * mean, level, noise),
        }


def _variance(totals: NDArray[np.float64], luma: NDArray[np.uint8]) -> float:
    """Return the variance over all pixels from sum and sum of squares in each band: (bands, 2)."""
    total = total_square = 0.0
    for number, (first, second) in enumerate(totals.tolist()):
        size = min(BAND, luma.shape[0] - number * BAND) * luma.shape[1]
        centre = first * (1 / size)
        deviation = math.sqrt(max(0.0, second * (1 / size) - centre * centre))  # rounded as OpenCV's meanStdDev
        total += centre * size
        total_square += (deviation**2 + centre**2) * size
    return max(0.0, total_square / luma.size - (total / luma.size) ** 2)


def _textured_share(variance: NDArray[np.float32], level: NDArray[np.uint8], noise: float) -> float:
    """Return the share of blocks with texture among those that are not black.

    Args:
        variance: (rows, columns), of the Laplacian in each block.
        level: (rows, columns), mean of each block.
        noise: variance of the Laplacian that noise alone has.
    """
    textured = int(np.count_nonzero(variance >= TEXTURED**2 + _SMALL_MARGIN * noise))
    rest = max(int(np.count_nonzero(level > BLACK)), textured, _LEAST_REST * level.size)
    return float(textured / rest)


def _average_blocks(blocks: NDArray[np.float32], factor: int) -> NDArray[np.float32]:
    """Return means over whole groups of factor×factor blocks; over all blocks where there are fewer."""
    high, wide = min(factor, blocks.shape[0]), min(factor, blocks.shape[1])
    rows, columns = blocks.shape[0] // high, blocks.shape[1] // wide
    whole = np.ascontiguousarray(blocks[: rows * high, : columns * wide])
    return np.asarray(cv2.resize(whole, (columns, rows), interpolation=cv2.INTER_AREA), np.float32)
