"""A picture taken in too little light: darkened and noisy in linear light, and stored as sRGB again.

x' = gain · x^gamma;  y = shot · Poisson(x' / shot) + N(0, read²), of light in [0, 1].

Sources: gain and gamma, Lv, Li and Lu, "Attention Guided Low-light Image Enhancement", IJCV 2021, there of stored
levels; the noise, Brooks et al., "Unprocessing Images for Learned Raw Denoising", CVPR 2019, section 3.1 (variance
shot · x' + read²; of real cameras shot is 0.0001 to 0.012, and read 0.0001 to 0.015, more where shot is more). White
balance, colour matrix and demosaicking are left out: channels are independent, and so are neighbouring pixels.
"""

from typing import Any, ClassVar, Literal

import numpy as np

from dynet.degradations.degradation import Degradation, Image8
from dynet.degradations.linear_light import LIGHT_OF_LEVELS, to_levels
from dynet.degradations.parameter_types import Range

LEAST_SHOT = 1e-9
"""Light a photon. Below, shot noise is less than a hundredth of a level."""


def low_light(
    image: Image8, generator: np.random.Generator, *, gain: float, gamma: float, shot: float, read: float
) -> Image8:
    """image: (H, W, 3) with the share `gain` of its light, shadows deepened by `gamma`, and a sensor's noise.

    `shot` is the light of one photon and `read` the standard deviation of the reading, white being 1.
    """
    # In double precision: a mean that differs in its seventh digit, as between processors, can change all later draws.
    light = (gain * LIGHT_OF_LEVELS**gamma)[image]
    if shot > LEAST_SHOT:
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
