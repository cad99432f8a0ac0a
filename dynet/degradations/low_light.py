"""An image taken in too little light: darkened and noisy in linear light, and stored as sRGB again.

x' = gain · x^gamma;  y = shot · Poisson(x' / shot) + N(0, read²), for light in [0, 1].

Sources: gain and gamma, Lv, Li and Lu, "Attention Guided Low-light Image Enhancement", IJCV 2021, there for stored
levels; the noise, Brooks et al., "Unprocessing Images for Learned Raw Denoising", CVPR 2019, section 3.1 (variance
shot · x' + read²; real cameras have shot from 0.0001 to 0.012 and read from 0.0001 to 0.015, larger together). White
balance, colour matrix and demosaicking are omitted: channels are independent, and so are neighbouring pixels.
"""

from typing import Any, ClassVar, Literal

import numpy as np

from dynet.degradations.degradation import Degradation, Image8
from dynet.degradations.linear_light import LIGHT_OF_LEVELS, to_levels
from dynet.degradations.parameter_types import Range

MIN_SHOT = 1e-9
"""Light per photon. Below this, shot noise is less than a hundredth of a level."""


def low_light(
    image: Image8, generator: np.random.Generator, *, gain: float, gamma: float, shot: float, read: float
) -> Image8:
    """Darken an image (H, W, 3) and add the noise of a sensor.

    Args:
        image: (H, W, 3) of 8 bits.
        generator: Draws the noise.
        gain: The share of the light that is left.
        gamma: The exponent that darkens shadows.
        shot: The light of one photon, white being 1.
        read: Standard deviation of the read noise, white being 1.
    """
    # Double precision, because a mean that differs in its seventh digit between processors can change all later draws.
    light = (gain * LIGHT_OF_LEVELS**gamma)[image]
    if shot > MIN_SHOT:
        light = np.asarray(shot * generator.poisson(light / shot), np.float64)
    noise = generator.standard_normal(image.shape, dtype=np.float32)
    return to_levels(light.astype(np.float32) + np.float32(read) * noise)


class LowLight(Degradation):
    """`gain` of the light, to the power of `gamma`, with `shot` and `read` noise; 1, 1, 0 and 0 change nothing."""

    LIMITS: ClassVar = {"gain": (0, 1), "gamma": (1, 5), "shot": (0, 0.1), "read": (0, 0.1)}
    kind: Literal["low_light"]
    gain: Range = (0.03, 0.4)
    gamma: Range = (1, 1.5)
    shot: Range = (0.0001, 0.002)
    read: Range = (0.0001, 0.002)

    function: ClassVar[Any] = staticmethod(low_light)
