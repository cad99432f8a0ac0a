"""Noise: the standard deviation that even the smoothest blocks have.

- `noise` (grey levels, ≥ 0, down is better): standard deviation of the noise of the luma, as in Immerkær 1996: the
  response to (1 −2 1; −2 4 −2; 1 −2 1), which is blind to edges along rows and columns and to gradients, divided by 6.
  It is the 1st percentile over blocks of 16×16 that are neither black nor white, corrected for what the lowest of many
  blocks have less. Texture everywhere (gravel, grass) counts a little, up to 4; noise of σ 10 in each of three channels
  is 6 in the luma.

Sharpness and resolution are judged above this noise (`sharpness.py`, `resolution.py`), since noise has energy in high
frequencies, as detail has. Null under 128 px, and where fewer than 20 blocks are neither black nor white.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from million_ird.images.encoded_image import EncodedImage
from million_ird.measure_specs import MEASURE_SPECS
from million_ird.measure_types import Tier
from million_ird.measures.pixel_sums import noise_sums

BLOCK = 16
BLOCKS = 2048
"""Blocks looked at, in rows spread over the image."""
_MIN_SIDE = 128
_MIN_BLOCKS = 20
_PERCENTILE = 1
_LOWEST = 0.85
"""What the 1st percentile of blocks of white noise has of its standard deviation."""
_DARK, _BRIGHT = 12, 243
"""Mean levels between which noise is not clipped."""
_GAIN = 6.0
_KNOWN: WeakKeyDictionary[EncodedImage, float | None] = WeakKeyDictionary()


@dataclass(frozen=True, slots=True)
class NoiseMeasure:
    """Standard deviation of the noise in the smoothest blocks."""

    fields: ClassVar[tuple[str, ...]] = MEASURE_SPECS["noise"].fields
    tier: ClassVar[Tier] = MEASURE_SPECS["noise"].tier

    def measure(self, image: EncodedImage) -> Mapping[str, float | None]:
        """Measure one 3×3 filter over up to 2,048 blocks of the luma."""
        return {"noise": noise_of(image)}


def noise_of(image: EncodedImage) -> float | None:
    """Return `noise_deviation` of an image, which three measures need, computed once."""
    if image not in _KNOWN:
        _KNOWN[image] = noise_deviation(image.luma)
    return _KNOWN[image]


def noise_deviation(luma: NDArray[np.uint8]) -> float | None:
    """Return the standard deviation of the noise in grey levels; None where too few blocks show it; luma: (H, W)."""
    if min(luma.shape) < _MIN_SIDE:
        return None
    rows, columns = luma.shape[0] // BLOCK, luma.shape[1] // BLOCK
    chosen = np.unique(np.linspace(0, rows - 1, min(rows, -(-BLOCKS // columns))).astype(np.intp))
    mean, square, level = noise_sums(luma, chosen, BLOCK)
    inside = BLOCK / (BLOCK - 2)
    variance = (square * inside - (mean * inside) ** 2)[(level >= _DARK) & (level <= _BRIGHT)]
    if variance.size < _MIN_BLOCKS:
        return None
    return float(np.sqrt(max(0.0, np.percentile(variance, _PERCENTILE)))) / (_GAIN * _LOWEST)
