"""Noise that grows with the signal: y = gain · Poisson(x / gain) + N(0, sigma²).

Source: Foi et al., "Practical Poissonian-Gaussian noise modeling and fitting for single-image raw-data", IEEE TIP 2008.
The mean is x and the variance gain · x + sigma², here in levels of 255. As in most published results, stored levels
replace photon counts; `low_light` has the same noise in linear light, as in a camera.
"""

from typing import Any, ClassVar, Literal

import numpy as np

from dynet.degradations.degradation import Degradation, Image8, to_uint8
from dynet.degradations.parameter_types import Range

MIN_GAIN = 1e-6
"""Levels per photon. Below this, shot noise is at most a sixtieth of a level."""


def poisson_gaussian_noise(image: Image8, generator: np.random.Generator, *, gain: float, sigma: float) -> Image8:
    """Add shot noise and Gaussian noise to an image (H, W, 3), independent per pixel and channel.

    Args:
        image: (H, W, 3) of 8 bits.
        generator: Draws the noise.
        gain: Levels per photon.
        sigma: Standard deviation of the noise that does not depend on the signal, in levels.
    """
    levels = image.astype(np.float32)
    if gain > MIN_GAIN:
        levels = (gain * generator.poisson(image / gain)).astype(np.float32)
    return to_uint8(levels + np.float32(sigma) * generator.standard_normal(image.shape, dtype=np.float32))


class PoissonGaussianNoise(Degradation):
    """Noise with a variance of `gain` times the level plus `sigma` squared, in levels of 255."""

    LIMITS: ClassVar = {"gain": (0, 255), "sigma": (0, 255)}
    kind: Literal["poisson_gaussian_noise"]
    gain: Range = (0.1, 10)
    sigma: Range = (1, 20)

    function: ClassVar[Any] = staticmethod(poisson_gaussian_noise)
