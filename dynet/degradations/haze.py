"""Haze: light from the scene is lost on its way to the camera, and light of the sky is scattered into it.

I = J t + A (1 - t),  t = exp(-beta d), in linear light.

Source: Koschmieder's law as in McCartney, "Optics of the Atmosphere" (1976), and Narasimhan and Nayar, "Vision and the
Atmosphere", IJCV 2002. Light is added, so this is computed in linear light. RESIDE (Li et al., IEEE TIP 2019, section
II) applies it to stored levels; its OTS and SOTS have A from 0.8 to 1 and beta from 0.04 to 0.2 for depth in metres.
Here the depth d is invented (`pseudo_depth`), from 0 to 1, so beta is the optical thickness at the largest depth.
"""

from typing import Any, ClassVar, Literal

import numpy as np

from dynet.degradations.degradation import Degradation, Image8
from dynet.degradations.linear_light import light_of_level, to_levels, to_light
from dynet.degradations.parameter_types import Range
from dynet.degradations.pseudo_depth import pseudo_depth

TINT = 0.06
"""How much warmer (red over blue) or cooler than grey the light of the haze may be."""


def haze(image: Image8, generator: np.random.Generator, *, beta: float, airlight: float) -> Image8:
    """Put an image (H, W, 3) behind haze.

    Args:
        image: (H, W, 3) of 8 bits.
        generator: Draws the tint of the haze and the depth.
        beta: Optical thickness at the largest depth.
        airlight: Stored level of the light of the haze, as a share of 255.
    """
    warmth = generator.uniform(-TINT, TINT)
    depth = pseudo_depth(image.shape[0], image.shape[1], generator)
    transmission = np.exp(np.float32(-beta) * depth)[..., None]
    sky = light_of_level(255 * airlight) * np.array([1 + warmth, 1, 1 - warmth], np.float32)
    return to_levels(to_light(image) * transmission + sky.astype(np.float32) * (1 - transmission))


class Haze(Degradation):
    """Haze of optical thickness `beta` at the largest depth, with the level `airlight`, as a share of 255."""

    LIMITS: ClassVar = {"beta": (0, 10), "airlight": (0, 1)}
    kind: Literal["haze"]
    beta: Range = (0.1, 1.5)
    airlight: Range = (0.7, 0.95)

    function: ClassVar[Any] = staticmethod(haze)
