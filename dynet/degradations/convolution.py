"""Blurring with a kernel."""

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Kernel = npt.NDArray[np.float64]


def convolve(image: npt.NDArray[Any], kernel: Kernel) -> npt.NDArray[np.float32]:
    """image: (H, W) or (H, W, 3) convolved with `kernel` (odd sides, any sum), mirrored at its borders, as float32."""
    flipped = np.ascontiguousarray(kernel[::-1, ::-1], np.float32)  # OpenCV correlates
    blurred = cv2.filter2D(np.ascontiguousarray(image, np.float32), -1, flipped, borderType=cv2.BORDER_REFLECT)
    return np.asarray(blurred, np.float32)
