"""Uniform noise: every value within the amplitude is equally likely.

Source: the "random noise" of dynamic pre-training (arXiv 2404.02154), which gives no formula; uniform noise as in
Gonzalez and Woods, "Digital Image Processing", section 5.2, added to stored levels. Its standard deviation is
amplitude / √3.
"""

from typing import Any, ClassVar, Literal

import numpy as np

from dynet.degradations.degradation import Degradation, Image8, to_uint8
from dynet.degradations.parameter_types import Range


def random_noise(image: Image8, generator: np.random.Generator, *, amplitude: float) -> Image8:
    """Add noise to an image (H, W, 3), drawn uniformly from -amplitude to amplitude levels."""
    return to_uint8(image + np.float32(amplitude) * (2 * generator.random(image.shape, dtype=np.float32) - 1))


class RandomNoise(Degradation):
    """Uniform noise up to `amplitude` levels of 255."""

    LIMITS: ClassVar = {"amplitude": (0, 255)}
    kind: Literal["random_noise"]
    amplitude: Range

    function: ClassVar[Any] = staticmethod(random_noise)
