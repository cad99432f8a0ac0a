"""What frames the subject: an even ground that reaches the rim.

- `border_share` (0–1, down is better): share of the thumbnail that is of one even colour (within 3 levels of the rim's
  most common colour in every channel) and connected to the rim: cut-outs on white, framed art, letterboxes, plots.
  A real sky or a night's black is connected too, but it drifts and is seldom so even.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from million_ird.record import Sample, Tier

TOLERANCE = 3
_LEAST_SIDE = 16


@dataclass(frozen=True, slots=True)
class LayoutMeasure:
    """Share of even ground that touches the rim."""

    fields: ClassVar[tuple[str, ...]] = ("border_share",)
    tier: ClassVar[Tier] = Tier.THUMBNAIL

    def measure(self, sample: Sample) -> Mapping[str, float | None]:
        """Looks at the thumbnail; null under 16 px."""
        small = sample.thumbnail
        if min(small.shape[:2]) < _LEAST_SIDE:
            return {"border_share": None}
        return {"border_share": border_share(small)}


def border_share(pixels: NDArray[np.uint8]) -> float:
    """Share of pixels in the rim's colour that are connected to the rim; pixels: (h, w, 3) uint8."""
    rim = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    codes = (rim.astype(np.int64) * (65536, 256, 1)).sum(axis=1)
    values, counts = np.unique(codes, return_counts=True)
    code = int(values[counts.argmax()])
    colour = np.array([code >> 16, (code >> 8) & 255, code & 255])
    even = (np.abs(pixels.astype(np.int16) - colour).max(axis=2) <= TOLERANCE).astype(np.uint8)
    _, labels = cv2.connectedComponents(even, connectivity=4)
    edge = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    touching = np.zeros(labels.max() + 1, bool)
    touching[edge] = True
    touching[0] = False
    return float(touching[labels].mean())
