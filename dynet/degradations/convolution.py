"""Convolution with a blur kernel."""

from typing import Any

import numpy as np
import numpy.typing as npt

Kernel = npt.NDArray[np.float64]


def convolve(image: npt.NDArray[Any], kernel: Kernel) -> npt.NDArray[np.float32]:
    """Convolve an image with a kernel, mirrored at the borders.

    Args:
        image: (H, W) or (H, W, 3) of any type.
        kernel: (K, K), K odd, of any sum.

    Returns:
        The convolution, in float32 and of the same shape.
    """
    import cv2  # here, since a recipe or a benchmark is read without it

    flipped = np.ascontiguousarray(kernel[::-1, ::-1], np.float32)  # OpenCV correlates
    blurred = cv2.filter2D(np.ascontiguousarray(image, np.float32), -1, flipped, borderType=cv2.BORDER_REFLECT)
    return np.asarray(blurred, np.float32)
