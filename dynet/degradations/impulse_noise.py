"""Impulse noise: a share of the values is lost and replaced by other values.

Source: Chan, Ho and Nikolova, "Salt-and-pepper noise removal by median-type noise detectors and detail-preserving
regularization", IEEE TIP 2005: salt-and-pepper noise replaces them by 0 or 255, equally often; random-valued
noise by any level. `extremes` is the share of the first kind, so one model has both kinds and their mixtures.
"""

from typing import Any, ClassVar, Literal

import numpy as np

from dynet.degradations.degradation import Degradation, Image8
from dynet.degradations.parameter_types import Range


def impulse_noise(image: Image8, generator: np.random.Generator, *, share: float, extremes: float) -> Image8:
    """Replace a `share` of the values of an image (H, W, 3): by 0 or 255 in `extremes` of cases, else by any level.

    Values are independent per pixel and channel.
    """
    is_lost = generator.random(image.shape, dtype=np.float32) < share
    is_extreme = generator.random(image.shape, dtype=np.float32) < extremes
    level = generator.integers(0, 256, image.shape, dtype=np.uint8)
    extreme_level = np.where(level < 128, np.uint8(0), np.uint8(255))
    return np.where(is_lost, np.where(is_extreme, extreme_level, level), image)


class ImpulseNoise(Degradation):
    """A `share` of lost values; `extremes` 1 is salt-and-pepper noise, 0 is random-valued."""

    LIMITS: ClassVar = {"share": (0, 1), "extremes": (0, 1)}
    kind: Literal["impulse_noise"]
    share: Range = (0.01, 0.3)
    extremes: Range = (0, 1)

    function: ClassVar[Any] = staticmethod(impulse_noise)
