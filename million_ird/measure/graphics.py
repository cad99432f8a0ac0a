"""Was it drawn: few colours.

- `top_colours` (0–1, down is better): share of the thumbnail that its eight most common exact colours cover. Flat
  artwork, plots, logos, silhouettes and pages are made of a few colours; light, noise and grain give a photograph
  thousands. Null under 16 px.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from million_ird.record import Sample, Tier

COLOURS = 8
_LEAST_SIDE = 16


@dataclass(frozen=True, slots=True)
class GraphicsMeasure:
    """How much of the picture a few colours cover."""

    fields: ClassVar[tuple[str, ...]] = ("top_colours",)
    tier: ClassVar[Tier] = Tier.THUMBNAIL

    def measure(self, sample: Sample) -> Mapping[str, float | None]:
        """Counts the thumbnail's colours."""
        small = sample.thumbnail
        if min(small.shape[:2]) < _LEAST_SIDE:
            return {"top_colours": None}
        return {"top_colours": top_colours(small)}


def top_colours(pixels: NDArray[np.uint8]) -> float:
    """Share of pixels that have one of the `COLOURS` most common colours; pixels: (h, w, 3) uint8."""
    codes = (pixels.reshape(-1, 3).astype(np.int32) * (65536, 256, 1)).sum(axis=1)
    _, counts = np.unique(codes, return_counts=True)
    return float(np.sort(counts)[-COLOURS:].sum() / codes.size)
