"""PSNR and SSIM as in the published all-in-one tables: equal to those of scikit-image with a data range of 1.

Both compare two colour images (H, W, 3) of any float type in [0, 1] and compute in float64.
"""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

FloatImage = npt.NDArray[np.floating[Any]]
Float64 = npt.NDArray[np.float64]

SSIM_WINDOW = 7
"""Side of SSIM's window in pixels, and so the smallest side of an image that has an SSIM."""

_C1, _C2 = 0.01**2, 0.03**2  # keep SSIM's quotients finite, for a data range of 1
_BAND = 32  # rows at a time: bands that stay in the processor's cache are three times as fast as whole images


def psnr(image: FloatImage, clean: FloatImage) -> float:
    """Return the peak signal-to-noise ratio over all pixels and channels.

    Args:
        image: (H, W, C) in [0, 1].
        clean: The reference, of the same shape.

    Returns:
        Decibels; infinite for equal images.

    Raises:
        ValueError: The shapes differ.
    """
    _check_shapes(image, clean)
    total = 0.0
    for top in range(0, len(image), _BAND):
        difference = (_float64(image[top : top + _BAND]) - _float64(clean[top : top + _BAND])).ravel()
        total += float(np.dot(difference, difference))
    error = total / int(image.size)
    return math.inf if error == 0 else -10 * math.log10(error)


def ssim(image: FloatImage, clean: FloatImage) -> float:
    """Return the structural similarity, the mean over windows and channels.

    Wang et al., "Image quality assessment: from error visibility to structural similarity", 2004, with the defaults of
    scikit-image: a uniform window of 7×7 (not the paper's Gaussian), only windows inside the image, and sample
    covariances (divided by 48, not 49).

    Args:
        image: (H, W, C) in [0, 1].
        clean: The reference, of the same shape.

    Returns:
        At most 1, which equal images have.

    Raises:
        ValueError: The shapes differ, or a side has less than 7 pixels.
    """
    _check_shapes(image, clean)
    height, width, channels = image.shape
    if min(height, width) < SSIM_WINDOW:
        raise ValueError(f"SSIM needs sides of at least {SSIM_WINDOW} pixels, not {height} and {width}")
    overlap = SSIM_WINDOW - 1  # rows of a window after its first
    total = 0.0
    for top in range(0, height - overlap, _BAND):
        bottom = top + _BAND + overlap
        total += _similarities(_float64(image[top:bottom]), _float64(clean[top:bottom]))
    windows = int((height - overlap) * (width - overlap) * channels)
    return total / windows


def _similarities(x: Float64, y: Float64) -> float:
    """Return the sum of the similarities of two (H, W, C) over all windows inside them.

    Only the sum of the two variances is needed, so four filters suffice instead of five.
    """
    mean_x, mean_y = _window_means(x), _window_means(y)
    products = mean_x * mean_y
    squares = mean_x * mean_x + mean_y * mean_y
    sample = SSIM_WINDOW**2 / (SSIM_WINDOW**2 - 1)
    covariance = sample * (_window_means(x * y) - products)
    variances = sample * (_window_means(x * x + y * y) - squares)
    similarity = (2 * products + _C1) * (2 * covariance + _C2) / ((squares + _C1) * (variances + _C2))
    return float(similarity.sum())


def _window_means(values: Float64) -> Float64:
    """Return the means of (H, W, C) over the windows inside it, (H - 6, W - 6, C)."""
    import cv2  # here, since a recipe or a benchmark is read without it

    edge = SSIM_WINDOW // 2
    # OpenCV drops the axis of a single channel.
    means = cv2.boxFilter(values, cv2.CV_64F, (SSIM_WINDOW, SSIM_WINDOW)).reshape(values.shape)
    return means[edge:-edge, edge:-edge].astype(np.float64, copy=False)


def _float64(values: FloatImage) -> Float64:
    return np.ascontiguousarray(values, np.float64)


def _check_shapes(image: FloatImage, clean: FloatImage) -> None:
    if image.shape != clean.shape or image.ndim != 3:
        raise ValueError(f"two images (H, W, C) of one shape are compared, not {image.shape} and {clean.shape}")
