"""Frames, and several images in one: even background at the border, seams.

All are measured on the thumbnail. Null under 16 px. A dark border counts for the first two only if what it surrounds
fills a rectangle: bars and frames have straight edges, a night sky and a dark studio have not, whether they are black
or faded; for these both are 0.

- `border_share` (0–1, down is better): share of pixels within 3 levels of the border's most common colour
  in every channel, and connected to the border: cut-outs on white, framed art, letterboxes, plots. A real sky
  or a black night is connected too, but it has a gradient and is seldom so even.
- `rim_share` (0–1, down is better): share of the outermost pixels that have the border's most common colour,
  within 2 levels, and whose next two neighbours inwards have it, too; the mean of the four sides. A window on
  a white desktop or an image in a frame has little background, but this share is 1 with a border on all four
  sides, and 0.5 and more for a letterbox.
- `seam_share` (0–1, down is better): the largest share of rows that step by more than 8 levels at one and
  the same column, within at most two pixels: images put side by side. Rows only: a horizon over the sea is a
  seam in the other direction.
- `corner_share` (0–1, down is better): see corners.py.
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
from million_ird.measures.corners import corner_share
from million_ird.measures.graphics import colour_codes

BACKGROUND_TOLERANCE = 3
RIM_TOLERANCE = 2
RIM_DEPTH = 3
SEAM_STEP = 8
_DARK = 80
"""Brightest channel of a dark border, in levels: filters that look like faded film lift black to 40–70."""
_RECTANGLE = 0.9
"""Least share of its bounding box that a picture within black bars fills; dark parts at its edge count as bars."""
_MIN_SIDE = 16


@dataclass(frozen=True, slots=True)
class LayoutMeasure:
    """Even background at the border, and seams."""

    fields: ClassVar[tuple[str, ...]] = MEASURE_SPECS["layout"].fields
    tier: ClassVar[Tier] = MEASURE_SPECS["layout"].tier

    def measure(self, image: EncodedImage) -> Mapping[str, float | None]:
        """Measure the thumbnail; null under 16 px."""
        small = image.thumbnail
        if min(small.shape[:2]) < _MIN_SIDE:
            return dict.fromkeys(self.fields)
        distance, dark = _distance_from_border_colour(small)
        background = distance <= BACKGROUND_TOLERANCE
        counts = not dark or _filling(background) >= _RECTANGLE
        return {
            "border_share": border_share(background) if counts else 0.0,
            "rim_share": rim_share(distance <= RIM_TOLERANCE) if counts else 0.0,
            "seam_share": seam_share(np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), np.uint8)),
            "corner_share": corner_share(small),
        }


def _distance_from_border_colour(pixels: NDArray[np.uint8]) -> tuple[NDArray[np.int16], bool]:
    """Return the largest difference over channels to the border's most common colour, and whether this is dark.

    Args:
        pixels: (h, w, 3).
    """
    codes = colour_codes(pixels)
    border = np.concatenate([codes[0], codes[-1], codes[1:-1, 0], codes[1:-1, -1]])
    values, counts = np.unique(border, return_counts=True)
    code = int(values[counts.argmax()])
    colour = np.array([code >> 16, (code >> 8) & 255, code & 255], np.int16)
    distance = np.asarray(np.abs(pixels.astype(np.int16) - colour).max(axis=2), np.int16)
    return distance, bool(colour.max() <= _DARK)


def border_share(background: NDArray[np.bool_]) -> float:
    """Return the share of background pixels that are connected to the border; background: (h, w)."""
    return float(_connected(background).mean())


def _filling(background: NDArray[np.bool_]) -> float:
    """Return which share of its bounding box the image inside a border fills; 1 if nothing is inside; (h, w)."""
    inside = ~_connected(background)
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    return float(inside[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].mean()) if rows.size else 1.0


def _connected(background: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the background pixels that are connected to the border: (h, w)."""
    _, labels = cv2.connectedComponents(background.astype(np.uint8), connectivity=4)
    touching = np.zeros(labels.max() + 1, bool)
    touching[np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])] = True
    touching[0] = False
    return np.asarray(touching[labels])


def rim_share(background: NDArray[np.bool_]) -> float:
    """Return the share of outermost pixels that are background for `RIM_DEPTH` pixels inwards; background: (h, w)."""
    sides = (background, background[::-1], background.T, background.T[::-1])
    return float(np.mean([side[:RIM_DEPTH].all(axis=0).mean() for side in sides]))


def seam_share(luma: NDArray[np.uint8]) -> float:
    """Return the largest share of rows that step at one column, away from the border; luma: (h, w)."""
    values = luma.astype(np.int16)
    margin = max(2, luma.shape[1] // 20)
    # Over two pixels, since a seam is seldom exactly between two of them; compared with the steps next to it.
    step = np.abs(values[:, 3:-1] - values[:, 1:-3]) if luma.shape[1] > 4 else np.zeros((1, 1), np.int16)
    before, after = np.abs(values[:, 1:-3] - values[:, :-4]), np.abs(values[:, 4:] - values[:, 3:-1])
    sharp = (step > SEAM_STEP) & (step > 2 * (before + after))
    inner = sharp[:, margin:-margin]
    return float(inner.mean(axis=0).max()) if inner.size else 0.0
