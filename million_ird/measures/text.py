"""Is it written or printed: dark strokes on an even, light ground.

- `text_density` (0–1, down is better): share of 32×32 cells, of the luma shrunk by the whole factor that brings the
  longest side to 1024 or less, that hold thin dark strokes (a black hat of 15×15 over 60 levels on 4–60 % of the cell)
  on an even light ground (the ground, with the strokes closed, has a mean over 100 and a standard deviation under 6).
  Pages have half of their cells; twigs before a sky have some. Light strokes on a dark ground are left to
  `even_share`: foliage in the sun looks the same to this measure. Null under 48 px.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from million_ird.images.encoded_image import EncodedImage
from million_ird.measure_specs import MEASURE_SPECS, Tier

SIDE = 1024
CELL = 32
_STROKE = 15
_STEP = 60
_LIGHT = 100
_EVEN = 6.0
_LEAST_INK, _MOST_INK = 0.04, 0.6
_LEAST_SIDE = 48


@dataclass(frozen=True, slots=True)
class TextMeasure:
    """Share of the picture that is strokes on an even light ground."""

    fields: ClassVar[tuple[str, ...]] = MEASURE_SPECS["text"].fields
    tier: ClassVar[Tier] = MEASURE_SPECS["text"].tier

    def measure(self, image: EncodedImage) -> Mapping[str, float | None]:
        """Looks at the luma at 513 to 1024 px, or at its native size."""
        if min(image.luma.shape) < _LEAST_SIDE:
            return {"text_density": None}
        return {"text_density": stroke_cells(_shrunk(image.luma))}


def _shrunk(luma: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """By a whole factor, which is fifty times as quick as by another; luma: (H, W)."""
    factor = -(-max(luma.shape) // SIDE)
    height, width = luma.shape[0] // factor, luma.shape[1] // factor
    if factor == 1 or min(height, width) < CELL:
        return luma
    cut = luma[: height * factor, : width * factor]
    return np.asarray(cv2.resize(cut, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def stroke_cells(luma: NDArray[np.uint8]) -> float:
    """Share of cells with dark strokes on an even light ground; luma: (h, w) uint8."""
    rows, columns = luma.shape[0] // CELL, luma.shape[1] // CELL
    kernel = cv2.getStructuringElement(cv2.MORPH_RECT, (_STROKE, _STROKE))
    ground = np.asarray(cv2.morphologyEx(luma, cv2.MORPH_CLOSE, kernel), np.uint8)
    ink = (cv2.subtract(ground, luma) > _STEP).astype(np.float32)
    level = ground.astype(np.float32)
    share, mean, square = (_cell_means(values, rows, columns) for values in (ink, level, level * level))
    even = np.sqrt(np.maximum(square - mean * mean, 0)) < _EVEN
    return float(((share > _LEAST_INK) & (share < _MOST_INK) & even & (mean > _LIGHT)).mean())


def _cell_means(values: NDArray[np.float32], rows: int, columns: int) -> NDArray[np.float32]:
    """Means over whole cells; values: (h, w) → (rows, columns)."""
    cut = values[: rows * CELL, : columns * CELL]
    return np.asarray(cv2.resize(cut, (columns, rows), interpolation=cv2.INTER_AREA), np.float32)
