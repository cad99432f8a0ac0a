"""Rain: streaks of falling drops at several depths, in front of a veil of drops too far away to be visible singly.

A drop that covers a pixel for a share a of the exposure hides the scene for that share: I = (1 - a) B + a E, in linear
light. E is the light that the drop collects from a wide angle, mostly sky, so streaks are about as bright as the
brightest part of the scene; B = t J + (1 - t) E is the scene J behind the veil.

Sources: Garg and Nayar, "Vision and Rain", IJCV 2007, for a streak; Li, Cheong and Tan, "Heavy Rain Image Restoration",
CVPR 2019, for layers of streaks and the veil. Rain100L (Yang et al., CVPR 2017) adds streaks to stored levels instead.

In perspective, sizes shrink with distance while a pixel looks through more space, so each layer covers the same share
of the image, with smaller streaks. Lengths are in pixels: a crop has the same rain as the photograph it is from.
"""

from math import ceil
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from dynet.degradations.convolution import convolve
from dynet.degradations.degradation import Degradation, Image8, to_uint8
from dynet.degradations.linear_light import Light, to_levels, to_light
from dynet.degradations.motion_blur import path_kernel
from dynet.degradations.parameter_types import Range
from dynet.degradations.pseudo_depth import pseudo_depth

SKY = (0.8, 1.3)
"""Light of drops and veil, as a multiple of the brightest light of the scene; drawn per image, at most white."""
BRIGHTEST = 0.99
"""The quantile of the light that counts as the brightest."""
DIMMEST = 0.3
"""The least light of the sky, also if the scene is darker, as a crop may be."""
SPREAD = 2.5
"""Standard deviation of the angles of streaks in an image, in degrees."""
ALONG = np.array([-0.5, -0.2, 0.35, 0.5, 0.35, -0.2])
ASIDE = np.array([0, 0.4, 0.5, 0, -0.5, -0.4])
"""The outline of a streak, in lengths and widths: from the thin upper end around the blunter lower end and back."""
OUTLINE_AREA = 0.69
SMEAR = 0.5
"""How far the ends of a streak fade out, in lengths."""
FINE = 4
"""Sub-pixels along the side of a pixel, in which streaks are drawn."""
BAND = 256
"""Rows drawn at a time, so that a large photograph does not need memory for all its sub-pixels."""


class Streaks(NamedTuple):
    """Outlines (N, 6, 2), x and y in pixels, and strengths (N,) in 255ths."""

    outlines: npt.NDArray[np.float64]
    strengths: Image8


def rain(
    image: Image8,
    generator: np.random.Generator,
    *,
    density: float,
    length: float,
    width: float,
    angle: float,
    opacity: float,
    layers: float,
    veil: float,
) -> Image8:
    """Add rain to an image (H, W, 3).

    Args:
        image: (H, W, 3) of 8 bits.
        generator: Draws streaks, sky and depth.
        density: The share of the image that streaks cover, about.
        length: Mean length of streaks in the nearest layer, in pixels.
        width: Their mean width, in pixels.
        angle: Their angle from the vertical in degrees; positive leans to the right at the bottom.
        opacity: The share of the exposure for which the strongest streaks hide the scene.
        layers: The number of layers, rounded.
        veil: The share of the scene's light that is lost at the largest depth.
    """
    height, image_width = image.shape[:2]
    light = to_light(image)
    sky = np.float32(min(1.0, generator.uniform(*SKY) * _brightest(light)))
    transmission = np.float32(1 - veil) ** pseudo_depth(height, image_width, generator)
    count = round(layers)
    for layer in range(count):
        distance = 1 + layer
        streaks = _draw_streaks(
            height, image_width, generator, density / count, length / distance, width / distance, angle
        )
        visible = opacity * (1 - veil) ** (layer / count)
        cover = _smear(_rasterise(streaks, height, image_width), length / distance, angle)
        transmission *= 1 - np.float32(visible) * cover
    return to_levels(light * transmission[..., None] + (sky * (1 - transmission))[..., None])


def _brightest(light: Light) -> float:
    """Return the brightest grey light of an image, at least that of a dim sky."""
    grey = light.mean(2).ravel()
    index = int(BRIGHTEST * (grey.size - 1))
    return max(DIMMEST, float(np.partition(grey, index)[index]))


def _draw_streaks(
    height: int,
    image_width: int,
    generator: np.random.Generator,
    share: float,
    length: float,
    width: float,
    angle: float,
) -> Streaks:
    """Draw streaks in and around an image of this size that cover the given share of it."""
    margin = length
    area = np.array([image_width, height]) + 2 * margin
    number = int(generator.poisson(share * area.prod() / (OUTLINE_AREA * length * width)))
    middle = generator.random((number, 1, 2)) * area - margin
    tilt = np.radians(angle + SPREAD * generator.standard_normal((number, 1)))
    lengths = length * generator.uniform(0.5, 1.5, (number, 1))
    widths = width * generator.uniform(0.5, 1.5, (number, 1))
    strengths = generator.uniform(0.4, 1, number)
    # OpenCV draws a polygon wider by a sub-pixel, and never thinner than one: the strength compensates for that.
    drawn_widths = np.maximum(widths - 1 / FINE, 0)
    strengths *= (OUTLINE_AREA * widths / (OUTLINE_AREA * drawn_widths + 1 / FINE))[:, 0]
    right = np.sin(tilt) * lengths * ALONG + np.cos(tilt) * drawn_widths * ASIDE
    down = np.cos(tilt) * lengths * ALONG - np.sin(tilt) * drawn_widths * ASIDE
    return Streaks(middle + np.stack([right, down], -1), to_uint8(255 * strengths))


def _rasterise(streaks: Streaks, height: int, image_width: int) -> npt.NDArray[np.float32]:
    """Return (H, W) in [0, 1]: the strength of streaks times the share of each pixel that they cover."""
    import cv2  # here, since a recipe or a benchmark is read without it

    upper, lower = streaks.outlines[..., 1].min(1), streaks.outlines[..., 1].max(1)
    corners = np.rint(streaks.outlines * FINE - 0.5).astype(np.int32)
    # OpenCV draws a clipped streak slightly differently, so streaks are clipped only at the edges of the image.
    margin = ceil(float((lower - upper).max(initial=0))) + 1
    cover = np.empty((height, image_width), np.float32)
    for top in range(0, height, BAND):
        rows = min(BAND, height - top)
        fine = np.zeros(((rows + 2 * margin) * FINE, image_width * FINE), np.uint8)
        in_band = (lower >= top - 1) & (upper <= top + rows + 1)
        shifted = corners[in_band] - np.array([0, (top - margin) * FINE], np.int32)
        for outline, strength in zip(shifted, streaks.strengths[in_band].tolist(), strict=True):
            cv2.fillConvexPoly(fine, outline, strength)
        band = fine[margin * FINE : (margin + rows) * FINE]
        cover[top : top + rows] = cv2.resize(band, (image_width, rows), interpolation=cv2.INTER_AREA)
    return cover / np.float32(255)


def _smear(cover: npt.NDArray[np.float32], length: float, angle: float) -> npt.NDArray[np.float32]:
    """Smear the cover (H, W) along the direction of fall, so that streaks start and end softly as real ones do."""
    direction = 1j * np.exp(-1j * np.radians(angle))
    smear = SMEAR * length * np.linspace(-0.5, 0.5, 2 * ceil(length) + 1)
    return np.clip(convolve(cover, path_kernel(smear * direction)), 0, 1)


class Rain(Degradation):
    """Streaks over the share `density` of the image, in layers at different depths, and a veil behind them."""

    LIMITS: ClassVar = {
        "density": (0, 0.5),
        "length": (1, 200),
        "width": (0.5, 20),
        "angle": (-90, 90),
        "opacity": (0, 1),
        "layers": (1, 6),
        "veil": (0, 0.95),
    }
    kind: Literal["rain"]
    density: Range = (0.01, 0.08)
    length: Range = (20, 60)
    width: Range = (1.5, 3.5)
    angle: Range = (-30, 30)
    opacity: Range = (0.5, 1)
    layers: Range = (2, 4)
    veil: Range = (0, 0.1)

    function: ClassVar[Any] = staticmethod(rain)
