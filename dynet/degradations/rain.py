"""Rain: streaks of falling drops at several depths, in front of the veil of those too far away to be seen singly.

A drop that lights a pixel for a share a of the exposure hides the scene for as long: I = (1 - a) B + a E, in linear
light. E is what the drop gathers from a wide angle, mostly sky, so that streaks are about as bright as the brightest of
the scene; B = t J + (1 - t) E is the scene J behind the veil.

Sources: Garg and Nayar, "Vision and Rain", IJCV 2007, for a streak; Li, Cheong and Tan, "Heavy Rain Image Restoration",
CVPR 2019, for layers of streaks and the veil. Rain100L (Yang et al., CVPR 2017) adds streaks to stored levels instead.

In perspective sizes fall with distance while the space that a pixel looks through grows, so each layer covers the same
share of the picture, with smaller streaks. Lengths are pixels: crops have the rain that their photograph would have.
"""

from math import ceil
from typing import Any, ClassVar, Literal, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from dynet.degradations.convolution import convolve
from dynet.degradations.degradation import Degradation, Image8, to_uint8
from dynet.degradations.linear_light import Light, to_levels, to_light
from dynet.degradations.motion_blur import path_kernel
from dynet.degradations.parameter_types import Range
from dynet.degradations.pseudo_depth import pseudo_depth

SKY = (0.8, 1.3)
"""Light of the drops and of the veil, in parts of the brightest of the scene; drawn for each picture, white at most."""
BRIGHTEST = 0.99
"""The share of a picture that is darker than its brightest light."""
DIMMEST = 0.3
"""Where the scene is darker than this light, as a crop of it may be, the sky is not."""
SPREAD = 2.5
"""Standard deviation of the streaks' angles around the picture's, in degrees."""
ALONG = np.array([-0.5, -0.2, 0.35, 0.5, 0.35, -0.2])
ASIDE = np.array([0, 0.4, 0.5, 0, -0.5, -0.4])
"""A streak's outline, in lengths and widths: from the thin upper end round the lower, which is blunter, and back."""
OUTLINE_AREA = 0.69
SMEAR = 0.5
"""How far the ends of a streak fade, in lengths."""
FINE = 4
"""Sub-pixels along a pixel's side, of which streaks are drawn."""
BAND = 256
"""Rows drawn at a time, so that a large photograph does not need its sub-pixels all at once."""


class Streaks(NamedTuple):
    """(N, 6, 2) outlines, x and y in pixels, and (N,) strengths in 255ths."""

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
    """image: (H, W, 3) in rain; streaks cover about the share `density` of it.

    `length` and `width`, in pixels, are the mean of the nearest of `layers` (rounded) layers; `angle` is from the
    vertical, in degrees, positive to the right below; `opacity` is the share of the exposure that the strongest streaks
    hide the scene for; `veil` is the share of the scene's light that is lost at the far end.
    """
    height, across = image.shape[:2]
    light = to_light(image)
    sky = np.float32(min(1.0, generator.uniform(*SKY) * _brightest(light)))
    left = np.float32(1 - veil) ** pseudo_depth(height, across, generator)  # of the scene's light
    count = round(layers)
    for layer in range(count):
        distance = 1 + layer
        streaks = _falling(height, across, generator, density / count, length / distance, width / distance, angle)
        seen = opacity * (1 - veil) ** (layer / count)
        left *= 1 - np.float32(seen) * _smeared(_drawn(streaks, height, across), length / distance, angle)
    return to_levels(light * left[..., None] + (sky * (1 - left))[..., None])


def _brightest(light: Light) -> float:
    """The light, grey, of the brightest that a picture shows, or of a dim sky."""
    grey = light.mean(2).ravel()
    place = int(BRIGHTEST * (grey.size - 1))
    return max(DIMMEST, float(np.partition(grey, place)[place]))


def _falling(
    height: int, across: int, generator: np.random.Generator, share: float, length: float, width: float, angle: float
) -> Streaks:
    """As many streaks, in and around a picture of this size, as cover the share of it."""
    margin = length
    room = np.array([across, height]) + 2 * margin
    number = int(generator.poisson(share * room.prod() / (OUTLINE_AREA * length * width)))
    middle = generator.random((number, 1, 2)) * room - margin
    lean = np.radians(angle + SPREAD * generator.standard_normal((number, 1)))
    long = length * generator.uniform(0.5, 1.5, (number, 1))
    wide = width * generator.uniform(0.5, 1.5, (number, 1))
    strength = generator.uniform(0.4, 1, number)
    # A polygon is drawn wider by a sub-pixel, and never thinner than one: what that covers too much is made weaker.
    drawn = np.maximum(wide - 1 / FINE, 0)
    strength *= (OUTLINE_AREA * wide / (OUTLINE_AREA * drawn + 1 / FINE))[:, 0]
    right = np.sin(lean) * long * ALONG + np.cos(lean) * drawn * ASIDE
    down = np.cos(lean) * long * ALONG - np.sin(lean) * drawn * ASIDE
    return Streaks(middle + np.stack([right, down], -1), to_uint8(255 * strength))


def _drawn(streaks: Streaks, height: int, across: int) -> npt.NDArray[np.float32]:
    """(H, W) in [0, 1]: the strength of the streaks times the share of each pixel that they cover."""
    upper, lower = streaks.outlines[..., 1].min(1), streaks.outlines[..., 1].max(1)
    corners = np.rint(streaks.outlines * FINE - 0.5).astype(np.int32)
    # A streak that is cut off is drawn a little differently: none is, but at the edges of the picture.
    margin = ceil(float((lower - upper).max(initial=0))) + 1
    cover = np.empty((height, across), np.float32)
    for top in range(0, height, BAND):
        rows = min(BAND, height - top)
        fine = np.zeros(((rows + 2 * margin) * FINE, across * FINE), np.uint8)
        here = (lower >= top - 1) & (upper <= top + rows + 1)
        shifted = corners[here] - np.array([0, (top - margin) * FINE], np.int32)
        for outline, strength in zip(shifted, streaks.strengths[here].tolist(), strict=True):
            cv2.fillConvexPoly(fine, outline, strength)
        band = fine[margin * FINE : (margin + rows) * FINE]
        cover[top : top + rows] = cv2.resize(band, (across, rows), interpolation=cv2.INTER_AREA)
    return cover / np.float32(255)


def _smeared(cover: npt.NDArray[np.float32], length: float, angle: float) -> npt.NDArray[np.float32]:
    """cover: (H, W) drawn out along the fall, so that streaks begin and end softly as real ones do."""
    fall = 1j * np.exp(-1j * np.radians(angle))
    smear = SMEAR * length * np.linspace(-0.5, 0.5, 2 * ceil(length) + 1)
    return np.clip(convolve(cover, path_kernel(smear * fall)), 0, 1)


class Rain(Degradation):
    """Streaks over the share `density` of the picture, in layers behind each other, and a veil behind them."""

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
