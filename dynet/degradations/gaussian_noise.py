"""Additive white Gaussian noise: y = x + n, n ~ N(0, sigma²), the model of most published denoising results.

Source: Zhang et al., "Beyond a Gaussian Denoiser" (DnCNN), IEEE TIP 2017: sigma 15, 25 and 50 fixed, or blind with
any sigma from 0 to 55. As in the paper, the noise is added to stored levels.
"""

from typing import Any, ClassVar, Literal

import numpy as np

from dynet.degradations.degradation import Degradation, Image8, to_uint8
from dynet.degradations.parameter_types import Range


def gaussian_noise(image: Image8, generator: np.random.Generator, *, sigma: float) -> Image8:
    """Add noise of standard deviation `sigma` levels to an image (H, W, 3), independent per pixel and channel."""
    return to_uint8(image + np.float32(sigma) * generator.standard_normal(image.shape, dtype=np.float32))


class GaussianNoise(Degradation):
    """Noise with a standard deviation of `sigma` levels of 255; a range gives blind noise."""

    LIMITS: ClassVar = {"sigma": (0, 255)}
    kind: Literal["gaussian_noise"]
    sigma: Range

    function: ClassVar[Any] = staticmethod(gaussian_noise)
