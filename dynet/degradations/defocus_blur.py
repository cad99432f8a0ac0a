"""Blur of a lens out of focus: every point becomes a disc, in linear light, so that highlights spread realistically.

Source: geometrical optics' circle of confusion (Pentland, "A New Sense for Depth of Field", IEEE TPAMI 1987): through a
round aperture, a point out of focus lights a disc evenly. All of the image is assumed to be at one distance.
"""

from math import ceil
from typing import Any, ClassVar, Literal

import numpy as np

from dynet.degradations.convolution import Kernel, convolve
from dynet.degradations.degradation import Degradation, Image8
from dynet.degradations.linear_light import to_levels, to_light
from dynet.degradations.parameter_types import Range

SUBPIXELS = 9
"""Sub-pixels along the side of a pixel. Odd, so that one is in the centre and a disc of radius 0 is that pixel."""


def defocus_blur(image: Image8, generator: np.random.Generator, *, radius: float) -> Image8:
    """Spread every point of an image (H, W, 3) over a disc of `radius` pixels. Draws nothing."""
    return to_levels(convolve(to_light(image), disc_kernel(radius)))


def disc_kernel(radius: float) -> Kernel:
    """Return the share of each pixel that is in the disc: (K, K), K odd, with a sum of 1."""
    reach = ceil(radius)
    side = 2 * reach + 1
    positions = (np.arange(side * SUBPIXELS) - (side * SUBPIXELS - 1) / 2) / SUBPIXELS
    inside = positions[:, None] ** 2 + positions[None, :] ** 2 <= radius**2
    kernel = inside.reshape(side, SUBPIXELS, side, SUBPIXELS).sum((1, 3)).astype(np.float64)
    return np.asarray(kernel / kernel.sum(), np.float64)


class DefocusBlur(Degradation):
    """A disc of `radius` pixels."""

    LIMITS: ClassVar = {"radius": (0, 40)}
    kind: Literal["defocus_blur"]
    radius: Range

    function: ClassVar[Any] = staticmethod(defocus_blur)
