"""Grain: noise whose neighbouring pixels are alike, so that it is still there at half the size.

- `grain` (grey levels, ≥ 0, down is better): standard deviation of the noise of the luma at half the size beyond that
  at full size (variances are subtracted). White noise has half of its deviation there and gives 0; a camera's noise,
  which the interpolation of colours spreads, gives 1 to 2 at σ 10 of the sensor and up to 3.6 at σ 20; noise that was
  blurred, enlarged or smoothed away in its finest part gives more. Both are the 5th percentile over blocks of 16×16
  that are neither dark nor bright, by the filter of `noise`.
  Texture such as gravel and foliage is as coarse, but no noise: the responses to the filter in the smoothest tenth of
  the blocks have a kurtosis of 3 where they are noise, mostly 3.5 to 10 where they are texture, and 1.5 in even waves.
  The number counts whole from 2.7 to 3.2, not at all under 2.2 and over 4.2, and in part between these. Photographs
  have 0 to 2.9, white noise of σ 25 in each channel that was blurred by one pixel and brought to σ 25 again has 3 to 6.

Where all of a picture is textured, grain is not seen. Null under 128 px, and where fewer than 20 blocks are neither
dark nor bright.
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

BLOCK = 16
_BLOCKS = 2048
"""Blocks looked at, in rows spread over the image."""
_MIN_SIDE, _MIN_BLOCKS = 128, 20
_DARK, _BRIGHT = 30, 225
"""Mean levels between which noise is not clipped."""
_PERCENTILE, _LOWEST = 5, 0.9
"""Percentile of the blocks, and what it has of the deviation of white noise."""
_GAIN = 6.0
_SMOOTHEST = 10
"""One of so many blocks is looked at for its kurtosis."""
_KURTOSIS = 2.2, 2.7, 3.2, 4.2
"""Where waves end, noise begins and ends, and texture begins."""
_KERNEL = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)


@dataclass(frozen=True, slots=True)
class GrainMeasure:
    """Noise at half the size beyond that at full size."""

    fields: ClassVar[tuple[str, ...]] = MEASURE_SPECS["grain"].fields
    tier: ClassVar[Tier] = MEASURE_SPECS["grain"].tier

    def measure(self, image: EncodedImage) -> Mapping[str, float | None]:
        """Measure one 3×3 filter over up to 2,048 blocks of the luma at two sizes."""
        return {"grain": grain(image.luma)}


def grain(luma: NDArray[np.uint8]) -> float | None:
    """Return the deviation of coarse noise in grey levels; None where too few blocks show it; luma: (H, W)."""
    if min(luma.shape) < _MIN_SIDE:
        return None
    size = luma.shape[1] // 2, luma.shape[0] // 2
    half = np.asarray(cv2.resize(luma, size, interpolation=cv2.INTER_AREA), np.uint8)
    fine, coarse = _responses(luma), _responses(half)
    if min(len(fine), len(coarse)) < _MIN_BLOCKS:
        return None
    beyond = max(0.0, _variance(coarse) - _variance(fine))
    share = float(np.interp(_kurtosis(coarse), _KURTOSIS, (0, 1, 1, 0)))
    return float(np.sqrt(beyond)) * share


def _responses(luma: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the responses to (1 −2 1; −2 4 −2; 1 −2 1) in blocks, without the outermost pixels; (H, W) → (n, 256)."""
    rows, columns = (luma.shape[0] - 2) // BLOCK, (luma.shape[1] - 2) // BLOCK
    chosen = np.unique(np.linspace(0, rows - 1, min(rows, -(-_BLOCKS // columns))).astype(np.intp))
    blocks, levels = [], []
    for row in chosen.tolist():
        strip = luma[row * BLOCK : (row + 1) * BLOCK + 2, : columns * BLOCK + 2]
        response = cv2.filter2D(strip, cv2.CV_32F, _KERNEL)
        blocks.append(_cut(np.asarray(response, np.float32)[1:-1, 1:-1]))
        levels.append(_cut(strip[1:-1, 1:-1].astype(np.float32)).mean(axis=1))
    level = np.concatenate(levels)
    return np.asarray(np.concatenate(blocks)[(level > _DARK) & (level < _BRIGHT)], np.float32)


def _cut(strip: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the blocks of a strip, (16, 16 n) → (n, 256)."""
    return strip.reshape(BLOCK, -1, BLOCK).swapaxes(0, 1).reshape(-1, BLOCK * BLOCK)


def _variance(responses: NDArray[np.float32]) -> float:
    """Return the variance of the noise that the smoother blocks show; (n, 256)."""
    return float(np.percentile(responses.var(axis=1), _PERCENTILE)) / (_GAIN * _LOWEST) ** 2


def _kurtosis(responses: NDArray[np.float32]) -> float:
    """Return the fourth moment of the responses in the smoothest blocks over their squared variance; (n, 256)."""
    deviation = responses.std(axis=1)
    order = np.argsort(deviation, kind="stable")[: max(4, len(deviation) // _SMOOTHEST)]
    alike = responses[order] / np.maximum(deviation[order, None], 1e-6)
    return float((alike**4).mean())
