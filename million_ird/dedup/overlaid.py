"""Where two aligned copies show different things, and which of them has the edges of the difference."""

import cv2
import numpy as np
from numpy.typing import NDArray

from million_ird.dedup.aligned import Plane

_TOLD_APART = 5.0
"""Difference, in levels, from which on one copy shows what the other does not."""
_BUSY = 0.15
"""Error of the thumbnails' own compression, as a share of the local range."""


def told_apart(a: Plane, b: Plane) -> NDArray[np.uint8]:
    """Return where one of two planes shows what the other does not show within a pixel: (h, w) 0 or 1."""
    kernel = np.ones((3, 3), np.uint8)
    # Compression of the thumbnails is coarser where there is more to see.
    busy = np.minimum(*(cv2.dilate(plane, kernel) - cv2.erode(plane, kernel) for plane in (a, b)))
    excess = np.zeros(a.shape, np.float32)
    for one, other in ((a, b), (b, a)):
        above = one - cv2.dilate(other, kernel)
        below = cv2.erode(other, kernel) - one
        excess = np.maximum(excess, np.maximum(above, below))
    usual = float(np.median(np.abs(a - b)))
    return np.asarray(excess > max(_TOLD_APART, 3 * usual) + _BUSY * busy, np.uint8)


def owned_edges(a: Plane, b: Plane, where: NDArray[np.bool_]) -> tuple[float, float]:
    """Return how much of the edges of the difference, in levels per pixel, each of two planes has."""
    x, y = _gradient(a - b)
    size = np.sqrt(x * x + y * y) + 1e-3
    shares = []
    for plane, sign in ((a, 1), (b, -1)):
        own_x, own_y = _gradient(plane)
        shares.append(float((sign * (own_x * x + own_y * y) / size)[where].mean()))
    return shares[0], shares[1]


def _gradient(plane: Plane) -> tuple[Plane, Plane]:
    across, down = (cv2.Sobel(plane, cv2.CV_32F, *order, ksize=3, scale=0.125) for order in ((1, 0), (0, 1)))
    return np.asarray(across, np.float32), np.asarray(down, np.float32)
