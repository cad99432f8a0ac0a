"""Additive white Gaussian noise, the model of most published denoising results."""

import numpy as np
import numpy.typing as npt


def gaussian_noise(
    image: npt.NDArray[np.uint8], generator: np.random.Generator, *, sigma: float
) -> npt.NDArray[np.uint8]:
    """image: (H, W, 3) with noise of standard deviation `sigma` levels, independent per pixel and channel."""
    noisy = image + sigma * generator.standard_normal(image.shape, dtype=np.float32)
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)
