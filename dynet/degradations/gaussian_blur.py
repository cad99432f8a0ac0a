"""Blur with a Gaussian kernel, round or drawn out in one direction.

Source: Zhang et al., "Designing a Practical Degradation Model for Deep Blind Image Super-Resolution" (BSRGAN), ICCV
2021, and Wang et al., "Real-ESRGAN", ICCVW 2021: k ∝ exp(-½ cᵀ Σ⁻¹ c) with Σ = R diag(σ₁², σ₂²) Rᵀ. There as here
stored levels are blurred.
"""

from math import ceil
from typing import Any, ClassVar, Literal

import numpy as np

from dynet.degradations.convolution import Kernel, convolve
from dynet.degradations.degradation import Degradation, Image8, to_uint8
from dynet.degradations.parameter_types import Range

LEAST_SIGMA = 1e-3
"""Pixels: as good as none, and safe to divide by."""
REACH = 3.5
"""Standard deviations that the kernel reaches to: 0.05 % of the weight lies beyond."""


def gaussian_blur(image: Image8, generator: np.random.Generator, *, sigma: float, ratio: float, angle: float) -> Image8:
    """image: (H, W, 3) blurred with standard deviations of `sigma` pixels and, across it, `ratio` times that.

    `angle` is that of the longer axis in degrees, counter-clockwise from the horizontal. Draws nothing.
    """
    return to_uint8(convolve(image, gaussian_kernel(sigma, ratio, angle)))


def gaussian_kernel(sigma: float, ratio: float, angle: float) -> Kernel:
    """(K, K), K odd, of sum one: the Gaussian sampled at the pixels' centres."""
    reach = max(1, ceil(REACH * sigma))
    down, right = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    turn = np.radians(angle)
    along = (np.cos(turn) * right - np.sin(turn) * down) / max(sigma, LEAST_SIGMA)
    across = (np.sin(turn) * right + np.cos(turn) * down) / max(sigma * ratio, LEAST_SIGMA)
    kernel = np.exp(-0.5 * (along**2 + across**2))
    return np.asarray(kernel / kernel.sum(), np.float64)


class GaussianBlur(Degradation):
    """Standard deviation of `sigma` pixels along `angle` and `ratio` times that across it; a ratio of 1 is round."""

    LIMITS: ClassVar = {"sigma": (0, 20), "ratio": (0.1, 1), "angle": (-180, 180)}
    kind: Literal["gaussian_blur"]
    sigma: Range = (0.5, 4)
    ratio: Range = (0.3, 1)
    angle: Range = (0, 180)

    function: ClassVar[Any] = staticmethod(gaussian_blur)
