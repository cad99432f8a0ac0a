"""Drawn artwork: even areas, few colours, no fine detail.

All are measured on the thumbnail, where noise is averaged out and artwork is still artwork. Null under 16 px.

- `even_share` (0–1, down is better): share of pixels that are exactly the same in all channels as their right and
  their lower neighbour, and of one of the three most common colours, among the pixels that are not black: nothing
  tells a night sky or a dark studio from a drawn black, so the rest of the image is judged. Even areas that are dark,
  but not black, do not count either where the rest has as many colours as a photograph. Flat artwork, plots, logos,
  silhouettes, pages and cut-outs have a quarter and more, mostly half. A clear sky is even in places, but it has a
  gradient of many colours, so photographs stay under 0.22 unless as much of them is pure white.
- `top_colours` (0–1, down is better): share of pixels that have one of the eight most common exact colours.
  For the report; grey images of low contrast have few levels to begin with, so use `even_share` in gates.
- `detail` (grey levels, up is better): 97th percentile of the magnitude of the 3×3 Laplacian (0 1 0; 1 −4
  1; 0 1 0) of the luma. Gradients, soft renders and extremely blurred images have almost nothing at
  this scale; photographs have 11 and more, including dark ones, foggy ones and a bird in an empty sky.
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

COLOURS = 8
BACKGROUNDS = 3
BLACK = 4
DARK = 40
"""Brightest channel of a dark background in levels: flowers before shadow, a night under haze, a faded black."""
_VARIOUS, _EVEN = 0.38, 0.02
"""Of the pixels that are not background, in photographs: the least share of different colours, and the largest share of
even pixels. Dark artwork and screenshots without photographs mostly have less than 0.1 different colours, or more even
pixels."""
_LEAST_REST = 0.02
_MIN_SIDE = 16
_PERCENTILE = 97


@dataclass(frozen=True, slots=True)
class GraphicsMeasure:
    """Even areas, few colours, no fine detail."""

    fields: ClassVar[tuple[str, ...]] = MEASURE_SPECS["graphics"].fields
    tier: ClassVar[Tier] = MEASURE_SPECS["graphics"].tier

    def measure(self, image: EncodedImage) -> Mapping[str, float | None]:
        """Measure the thumbnail's pixels and their neighbours."""
        small = image.thumbnail
        if min(small.shape[:2]) < _MIN_SIDE:
            return dict.fromkeys(self.fields)
        codes = colour_codes(small)
        colours, counts = np.unique(codes, return_counts=True)
        order = np.argsort(counts, kind="stable")
        luma = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
        return {
            "even_share": even_share(codes, colours[order]),
            "top_colours": float(counts[order[-COLOURS:]].sum() / codes.size),
            "detail": float(np.percentile(np.abs(cv2.Laplacian(luma, cv2.CV_16S)), _PERCENTILE)),
        }


def colour_codes(pixels: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Return one number for each colour; pixels: (h, w, 3) → (h, w)."""
    red, green, blue = (pixels[..., k].astype(np.int32) for k in range(3))
    return np.asarray((red << 16) | (green << 8) | blue, np.int32)


def even_share(codes: NDArray[np.int32], common: NDArray[np.int32]) -> float:
    """Return the share of pixels that equal their right and lower neighbour and have one of the commonest colours.

    Black pixels do not count. Dark even ones do not either, if the other pixels have many colours.

    Args:
        codes: (h, w), as `colour_codes` returns them.
        common: (n,) the different codes, the commonest last.
    """
    here = codes[:-1, :-1]
    even = (codes[:-1, 1:] == here) & (codes[1:, :-1] == here)
    black = _is_at_most(here, BLACK)
    backgrounds = common[~_is_at_most(common, BLACK)][-BACKGROUNDS:]
    share = _share_of_rest(here, even, ~black, backgrounds)
    if not _is_at_most(backgrounds, DARK).any():
        return share
    dark = even & _is_at_most(here, DARK)
    if _is_various(here, even, ~(black | dark)):
        others = common[~_is_at_most(common, DARK)][-BACKGROUNDS:]
        share = min(share, _share_of_rest(here, even, ~(black | dark), others))
    return share


def _share_of_rest(
    here: NDArray[np.int32], even: NDArray[np.bool_], rest: NDArray[np.bool_], backgrounds: NDArray[np.int32]
) -> float:
    """Return the share of even pixels of some colours; of a fiftieth of the image where less is the rest."""
    counted = max(int(np.count_nonzero(rest)), _LEAST_REST * rest.size)
    return float(np.count_nonzero(even & np.isin(here, backgrounds)) / counted)


def _is_various(here: NDArray[np.int32], even: NDArray[np.bool_], rest: NDArray[np.bool_]) -> bool:
    """Return whether the pixels of the rest have many colours and are hardly ever even; all (h, w)."""
    n = int(np.count_nonzero(rest))
    different = len(np.unique(here[rest]))
    return n > 0 and different >= _VARIOUS * n and int(np.count_nonzero(even & rest)) <= _EVEN * n


def _is_at_most(codes: NDArray[np.int32], level: int) -> NDArray[np.bool_]:
    """Return which colours have no channel over a level; any shape."""
    return np.asarray(np.maximum(np.maximum(codes >> 16, (codes >> 8) & 255), codes & 255) <= level)
