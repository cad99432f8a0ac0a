"""Text, written or printed: dark strokes on an even, light background.

- `text_density` (0–1, down is better): share of cells of 32×32 that hold thin dark strokes (a black hat of 15×15 over
  60 levels on 4–60 % of the cell) on an even, light background (after closing the strokes, its mean is over 100 and its
  standard deviation under 6). Measured on the luma, downscaled by the smallest integer factor that brings the longest
  side to 1024 or less. Pages have half of their cells; twigs in front of a sky have some. Light strokes on a dark
  background are not counted, because foliage in the sun looks the same to this measure; `even_share` finds such pages.
  Null under 48 px.
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

SIDE = 1024
CELL = 32
_STROKE = 15
_STEP = 60
_MIN_LIGHT = 100
_MAX_DEVIATION = 6.0
_MIN_INK, _MAX_INK = 0.04, 0.6
_MIN_SIDE = 48


@dataclass(frozen=True, slots=True)
class TextMeasure:
    """Share of the image that is dark strokes on an even, light background."""

    fields: ClassVar[tuple[str, ...]] = MEASURE_SPECS["text"].fields
    tier: ClassVar[Tier] = MEASURE_SPECS["text"].tier

    def measure(self, image: EncodedImage) -> Mapping[str, float | None]:
        """Measure the luma at 513 to 1024 px, or at its native size."""
        if min(image.luma.shape) < _MIN_SIDE:
            return {"text_density": None}
        return {"text_density": stroke_cells(_downscale(image.luma))}


def _downscale(luma: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Downscale luma (H, W) by an integer factor, which is fifty times as fast as by another."""
    factor = -(-max(luma.shape) // SIDE)
    height, width = luma.shape[0] // factor, luma.shape[1] // factor
    if factor == 1 or min(height, width) < CELL:
        return luma
    whole = luma[: height * factor, : width * factor]
    return np.asarray(cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def stroke_cells(luma: NDArray[np.uint8]) -> float:
    """Return the share of cells with dark strokes on an even, light background; luma: (h, w) uint8."""
    rows, columns = luma.shape[0] // CELL, luma.shape[1] // CELL
    kernel = cv2.getStructuringElement(cv2.MORPH_RECT, (_STROKE, _STROKE))
    background = np.asarray(cv2.morphologyEx(luma, cv2.MORPH_CLOSE, kernel), np.uint8)
    ink = (cv2.subtract(background, luma) > _STEP).astype(np.float32)
    level = background.astype(np.float32)
    share, mean, square = (_cell_means(values, rows, columns) for values in (ink, level, level * level))
    even = np.sqrt(np.maximum(square - mean * mean, 0)) < _MAX_DEVIATION
    return float(((share > _MIN_INK) & (share < _MAX_INK) & even & (mean > _MIN_LIGHT)).mean())


def _cell_means(values: NDArray[np.float32], rows: int, columns: int) -> NDArray[np.float32]:
    """Return means over whole cells; values: (h, w) → (rows, columns)."""
    whole = values[: rows * CELL, : columns * CELL]
    return np.asarray(cv2.resize(whole, (columns, rows), interpolation=cv2.INTER_AREA), np.float32)
