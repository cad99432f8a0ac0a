"""Is it written or printed: dark strokes on an even, light ground.

- `text_density` (0–1, down is better): share of 32×32 cells, of the luma shrunk to a longest side of at
  most 1024, that hold thin dark strokes (a black hat of 15×15 over 60 levels on 4–60 % of the cell) on an
  even light ground (the ground, with the strokes closed, has a mean over 100 and a standard deviation under
  6). Pages have half of their cells; twigs before a sky have some. Light strokes on a dark ground are left
  to `even_share`: foliage in the sun looks the same to this measure. Null under 48 px.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from million_ird import images
from million_ird.record import Sample, Tier

SIDE = 1024
CELL = 32
_STROKE = 15
_STEP = 60
_LIGHT = 100
_EVEN = 6.0
_LEAST_SIDE = 48


@dataclass(frozen=True, slots=True)
class TextMeasure:
    """Share of the picture that is strokes on an even light ground."""

    fields: ClassVar[tuple[str, ...]] = ("text_density",)
    tier: ClassVar[Tier] = Tier.PIXELS

    def measure(self, sample: Sample) -> Mapping[str, float | None]:
        """Looks at the luma at 1024 px or its native size."""
        if min(sample.luma.shape) < _LEAST_SIDE:
            return {"text_density": None}
        small = images.shrink(sample.luma, SIDE)
        return {"text_density": stroke_cells(small)}


def stroke_cells(luma: NDArray[np.uint8]) -> float:
    """Share of cells with dark strokes on an even light ground; luma: (h, w) uint8."""
    rows, columns = max(1, luma.shape[0] // CELL), max(1, luma.shape[1] // CELL)
    kernel = cv2.getStructuringElement(cv2.MORPH_RECT, (_STROKE, _STROKE))
    ground = np.asarray(cv2.morphologyEx(luma, cv2.MORPH_CLOSE, kernel), np.uint8)
    ink = ((cv2.subtract(ground, luma)) > _STEP).astype(np.float32)
    size = (columns, rows)
    share = np.asarray(cv2.resize(ink, size, interpolation=cv2.INTER_AREA))
    level = ground.astype(np.float32)
    mean = np.asarray(cv2.resize(level, size, interpolation=cv2.INTER_AREA))
    square = np.asarray(cv2.resize(level * level, size, interpolation=cv2.INTER_AREA))
    even = np.sqrt(np.maximum(square - mean * mean, 0)) < _EVEN
    return float(((share > 0.04) & (share < 0.6) & even & (mean > _LIGHT)).mean())
