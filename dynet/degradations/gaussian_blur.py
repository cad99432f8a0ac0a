"""Blur with a Gaussian kernel, isotropic or elongated in one direction.

Source: Zhang et al., "Designing a Practical Degradation Model for Deep Blind Image Super-Resolution" (BSRGAN), ICCV
2021, and Wang et al., "Real-ESRGAN", ICCVW 2021: k ∝ exp(-½ cᵀ Σ⁻¹ c) with Σ = R diag(σ₁², σ₂²) Rᵀ. As in these
papers, stored levels are blurred.
"""

from math import ceil
from typing import Any, ClassVar, Literal

import numpy as np

from dynet.degradations.convolution import Kernel, convolve
from dynet.degradations.degradation import Degradation, Image8, to_uint8
from dynet.degradations.parameter_types import Range

MIN_SIGMA = 1e-3
"""Pixels: practically no blur, and safe to divide by."""
REACH = 3.5
"""Radius of the kernel in standard deviations: 0.05 % of the weight is outside."""


def gaussian_blur(image: Image8, generator: np.random.Generator, *, sigma: float, ratio: float, angle: float) -> Image8:
    """Blur an image (H, W, 3) with a Gaussian. Draws nothing.

    Args:
        image: (H, W, 3) of 8 bits.
        generator: Not used.
        sigma: Standard deviation along the longer axis, in pixels.
        ratio: Standard deviation along the shorter axis, as a share of `sigma`.
        angle: Direction of the longer axis in degrees, counter-clockwise from the horizontal.
    """
    return to_uint8(convolve(image, gaussian_kernel(sigma, ratio, angle)))


def gaussian_kernel(sigma: float, ratio: float, angle: float) -> Kernel:
    """Return the Gaussian sampled at pixel centres: (K, K), K odd, with a sum of 1."""
    reach = max(1, ceil(REACH * sigma))
    down, right = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    direction = np.radians(angle)
    along = (np.cos(direction) * right - np.sin(direction) * down) / max(sigma, MIN_SIGMA)
    across = (np.sin(direction) * right + np.cos(direction) * down) / max(sigma * ratio, MIN_SIGMA)
    kernel = np.exp(-0.5 * (along**2 + across**2))
    return np.asarray(kernel / kernel.sum(), np.float64)


class GaussianBlur(Degradation):
    """Standard deviations of `sigma` pixels along `angle` and `ratio` times that across; a ratio of 1 is isotropic."""

    LIMITS: ClassVar = {"sigma": (0, 20), "ratio": (0.1, 1), "angle": (-180, 180)}
    kind: Literal["gaussian_blur"]
    sigma: Range = (0.5, 4)
    ratio: Range = (0.3, 1)
    angle: Range = (0, 180)

    function: ClassVar[Any] = staticmethod(gaussian_blur)
