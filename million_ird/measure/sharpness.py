"""Is the picture sharp anywhere.

- `laplacian_variance` (grey levels², ≥ 0; too low is blur, too high is noise or line art): variance of the 3×3
  Laplacian (0 1 0; 1 −4 1; 0 1 0) of 8-bit luma at native scale, as Pech-Pacheco et al. 2000 and the 4KLSDB recipe use
  it. The number depends on resolution and on how much of the picture is sky (cleanvision#120): use it with wide limits.
- `sharpest_blocks` (grey levels, ≥ 0, up is better): standard deviation of the Laplacian within blocks of 64×64, at
  the 95th percentile of the blocks. A photograph with a sharp subject before a soft ground keeps a high number; one
  that is blurred as a whole has no sharp block left.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from million_ird.record import Sample, Tier

BLOCK = 64
_PERCENTILE = 95


@dataclass(frozen=True, slots=True)
class SharpnessMeasure:
    """Variance of the Laplacian over the whole picture and in its sharpest blocks."""

    fields: ClassVar[tuple[str, ...]] = ("laplacian_variance", "sharpest_blocks")
    tier: ClassVar[Tier] = Tier.PIXELS

    def measure(self, sample: Sample) -> Mapping[str, float | None]:
        """One pass of a 3×3 filter over the luma; null under 3 pixels."""
        luma = sample.luma
        if min(luma.shape) < 3:
            return dict.fromkeys(self.fields)
        laplacian = np.asarray(cv2.Laplacian(luma, cv2.CV_16S), np.int16)
        _, deviation = cv2.meanStdDev(laplacian)
        return {
            "laplacian_variance": float(deviation[0, 0]) ** 2,
            "sharpest_blocks": sharpest_blocks(laplacian),
        }


def sharpest_blocks(laplacian: NDArray[np.int16]) -> float:
    """95th percentile of the standard deviation within blocks; laplacian: (H, W), whole blocks only."""
    height, width = laplacian.shape
    side = min(BLOCK, height, width)
    rows, columns = height // side, width // side
    size = (columns, rows)
    values = laplacian[: rows * side, : columns * side].astype(np.float32)
    mean = cv2.resize(values, size, interpolation=cv2.INTER_AREA)
    square = cv2.resize(values * values, size, interpolation=cv2.INTER_AREA)
    variance = np.maximum(np.asarray(square) - np.asarray(mean) ** 2, 0)
    return float(np.sqrt(np.percentile(variance, _PERCENTILE)))
