"""Uniform noise: every value within an amplitude is as likely as any other."""

import numpy as np
import numpy.typing as npt


def random_noise(
    image: npt.NDArray[np.uint8], generator: np.random.Generator, *, amplitude: float
) -> npt.NDArray[np.uint8]:
    """image: (H, W, 3) with noise drawn uniformly from -amplitude to amplitude levels."""
    noisy = image + amplitude * (2 * generator.random(image.shape, dtype=np.float32) - 1)
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)
