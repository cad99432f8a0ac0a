"""Fits a pristine model for NIQE on photographs of one's own choice.

Mittal, Soundararajan and Bovik 2013, section III: of every picture the patches at least three quarters as sharp as
its sharpest one are kept, sharpness being the mean local deviation, and one Gaussian is fitted to the features of
all of them. Blurred background thus teaches the model nothing.
"""

from collections.abc import Iterable

import cv2
import numpy as np
from numpy.typing import NDArray

from million_ird.errors import UsageError
from million_ird.measures.nss import SMALLEST, patch_features
from million_ird.measures.nss_features import FEATURES
from million_ird.measures.nss_kernels import BLOCK
from million_ird.measures.nss_models import NiqeModel
from million_ird.measures.nss_planes import luma

SHARPNESS = 0.75
"""Share of the sharpest patch's mean deviation that a patch must reach (the paper's threshold)."""
FEWEST_PATCHES = 100
"""Fewer give no covariance of 36 features worth having."""


def fit_niqe(images: Iterable[NDArray[np.uint8]]) -> NiqeModel:
    """images (H, W, 3) or (H, W) uint8, any sizes from 96×96 on → the Gaussian of their sharp patches.

    The same pictures give the same model, whatever their order (within rounding).

    Raises:
        UsageError: the pictures have fewer than 100 sharp patches.
    """
    parts = [sharp_patches(image) for image in images]
    features = np.concatenate([np.empty((0, FEATURES)), *parts])
    if len(features) < FEWEST_PATCHES:
        raise UsageError(
            f"a NIQE model needs {FEWEST_PATCHES} sharp patches of 96×96; these pictures have {len(features)}"
        )
    return NiqeModel(features.mean(axis=0), np.cov(features, rowvar=False))


def sharp_patches(image: NDArray[np.uint8]) -> NDArray[np.float64]:
    """image (H, W, 3) or (H, W) uint8 → (n, 36) float64: the features of its sharp patches; none if under 96×96."""
    grey = luma(np.ascontiguousarray(image)) if image.ndim == 3 else image
    if min(grey.shape) < SMALLEST:
        return np.empty((0, FEATURES))
    features = patch_features(grey)
    sharpness = _sharpness(grey)
    keep = (sharpness > SHARPNESS * sharpness.max()) & np.isfinite(features).all(axis=1)
    return np.asarray(features[keep])


def _sharpness(grey: NDArray[np.uint8]) -> NDArray[np.float64]:
    """grey (H, W) → (patches,): mean deviation over the 7×7 Gaussian window within each block, row by row."""
    down, across = grey.shape[0] // BLOCK, grey.shape[1] // BLOCK
    values = grey[: down * BLOCK, : across * BLOCK].astype(np.float64)
    mean = cv2.GaussianBlur(values, (7, 7), 7 / 6, borderType=cv2.BORDER_REPLICATE)
    power = cv2.GaussianBlur(values * values, (7, 7), 7 / 6, borderType=cv2.BORDER_REPLICATE)
    deviation = np.sqrt(np.abs(power - mean * mean))
    return np.asarray(deviation.reshape(down, BLOCK, across, BLOCK).mean(axis=(1, 3)).ravel())
