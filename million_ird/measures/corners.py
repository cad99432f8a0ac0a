"""Even areas in the four corners: a photograph that was rotated, cut round, or given round corners.

- `corner_share` (0–1, down is better): the smallest of four areas, one in each corner, as a share of the thumbnail. An
  area is what is connected to its corner and within 6 levels of it. It is 0 unless the four corners have one colour
  within 6 levels, no two of the areas are one, and each ends in an edge: 70 % of the pixels two beyond it differ by
  more than 12 levels from its corner, and on average by 0.6 times as much as the pixels five beyond. A vignette or a
  night sky does not end so. Photographs have 0; rotated by 3 degrees they have 0.003 and more, with corners rounded by
  a tenth of the width mostly 0.001 to 0.003.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

_TOLERANCE = 6
_EDGE = 12
_SHARP = 0.7
_AT_ONCE, _FAR = 0.6, 5
"""Pixels beyond an area; a vignette goes on rising there."""
_CELL = np.ones((3, 3), np.uint8)


def corner_share(pixels: NDArray[np.uint8]) -> float:
    """Return the smallest share of the even areas in the corners; pixels: (h, w, 3)."""
    bottom, right = pixels.shape[0] - 1, pixels.shape[1] - 1
    corners = ((0, 0), (0, right), (bottom, 0), (bottom, right))
    colours = np.array([pixels[corner] for corner in corners], np.int16)
    if (colours.max(axis=0) - colours.min(axis=0)).max() > _TOLERANCE:
        return 0.0
    shares = []
    for corner, colour in zip(corners, colours, strict=True):
        area = _area(pixels, corner)
        if sum(int(area[other]) for other in corners) > 1 or not _ends_in_an_edge(pixels, area, colour):
            return 0.0
        shares.append(float(area.mean()))
    return min(shares)


def _area(pixels: NDArray[np.uint8], corner: tuple[int, int]) -> NDArray[np.uint8]:
    """Return 1 where a pixel is connected to a corner and has its colour, else 0; (h, w)."""
    height, width = pixels.shape[:2]
    filled = np.zeros((height + 2, width + 2), np.uint8)
    flags = 4 | cv2.FLOODFILL_FIXED_RANGE | cv2.FLOODFILL_MASK_ONLY | 1 << 8
    seed, tolerance = (corner[1], corner[0]), (_TOLERANCE,) * 3
    cv2.floodFill(np.require(pixels, requirements=["C", "W"]), filled, seed, 0, tolerance, tolerance, flags)
    return filled[1:-1, 1:-1]


def _ends_in_an_edge(pixels: NDArray[np.uint8], area: NDArray[np.uint8], colour: NDArray[np.int16]) -> bool:
    """Return whether most of the pixels two beyond an area differ from it, and nearly as much as those farther away."""
    rings = [area]
    for _ in range(_FAR):
        rings.append(np.asarray(cv2.dilate(rings[-1], _CELL), np.uint8))
    # One beyond is blended with the area.
    near, far = (pixels[(rings[n] - rings[n - 1]).astype(bool)].astype(np.int16) for n in (2, _FAR))
    if not len(near) or not len(far):
        return False
    differs, differs_far = (np.abs(ring - colour).max(axis=1) for ring in (near, far))
    return bool((differs > _EDGE).mean() >= _SHARP and differs.mean() >= _AT_ONCE * differs_far.mean())
