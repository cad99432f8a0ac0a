"""Fitting a pristine model for NIQE to any set of photographs.

Mittal, Soundararajan and Bovik 2013, section III: from every image, patches at least three quarters as sharp as its
sharpest one are kept (sharpness is the mean local deviation), and one Gaussian is fitted to the features of all of
them. So a blurred background does not influence the model.
"""

from collections.abc import Iterable

import cv2
import numpy as np
from numpy.typing import NDArray

from million_ird.errors import UsageError
from million_ird.measures.nss import MIN_SIDE, patch_features
from million_ird.measures.nss_features import FEATURES
from million_ird.measures.nss_kernels import BLOCK
from million_ird.measures.nss_models import NiqeModel
from million_ird.measures.nss_planes import luma

SHARPNESS = 0.75
"""Share of the sharpest patch's mean deviation that a patch must reach (the paper's threshold)."""
MIN_PATCHES = 100
"""Fewer do not give a reliable covariance of 36 features."""


def fit_niqe(images: Iterable[NDArray[np.uint8]]) -> NiqeModel:
    """Fit a Gaussian to the features of the sharp patches of all images.

    The same images give the same model, in any order (within rounding).

    Args:
        images: (H, W, 3) or (H, W) uint8 each, of any size; those under 96×96 have no patches.

    Raises:
        UsageError: the images have fewer than 100 sharp patches.
    """
    parts = [sharp_patches(image) for image in images]
    features = np.concatenate([np.empty((0, FEATURES)), *parts])
    if len(features) < MIN_PATCHES:
        raise UsageError(f"a NIQE model needs {MIN_PATCHES} sharp patches of 96×96; these images have {len(features)}")
    return NiqeModel(features.mean(axis=0), np.cov(features, rowvar=False))


def sharp_patches(image: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the features of the sharp patches of an image; none if it is under 96×96.

    Args:
        image: (H, W, 3) or (H, W) uint8.

    Returns:
        (n, 36) float64.
    """
    grey = luma(np.ascontiguousarray(image)) if image.ndim == 3 else image
    if min(grey.shape) < MIN_SIDE:
        return np.empty((0, FEATURES))
    features = patch_features(grey)
    sharpness = _sharpness(grey)
    keep = (sharpness > SHARPNESS * sharpness.max()) & np.isfinite(features).all(axis=1)
    return np.asarray(features[keep])


def _sharpness(grey: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the mean local deviation in each block, over a 7×7 Gaussian window; grey: (H, W) → (patches,)."""
    down, across = grey.shape[0] // BLOCK, grey.shape[1] // BLOCK
    values = grey[: down * BLOCK, : across * BLOCK].astype(np.float64)
    mean = cv2.GaussianBlur(values, (7, 7), 7 / 6, borderType=cv2.BORDER_REPLICATE)
    power = cv2.GaussianBlur(values * values, (7, 7), 7 / 6, borderType=cv2.BORDER_REPLICATE)
    deviation = np.sqrt(np.abs(power - mean * mean))
    return np.asarray(deviation.reshape(down, BLOCK, across, BLOCK).mean(axis=(1, 3)).ravel())
