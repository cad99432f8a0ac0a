"""Noise as a camera stores it: that of a sensor with one colour per pixel, after all that the camera does to it.

On the sensor the noise is N(0, shot · x + read²) for the raw light x. It then goes through demosaicking, white balance,
colour matrix, smoothing and the sRGB curve, while the image itself stays as it is, so that a network learns to remove
noise and not to sharpen.

Sources: Brooks et al., "Unprocessing Images for Learned Raw Denoising", CVPR 2019 (sections 3.1 to 3.5: shot from
0.0001 to 0.012, gains of red 1.9 to 2.4 and of blue 1.5 to 1.9). The colour matrix has one parameter here: each channel
gets `crosstalk` times its difference from the mean of the channels on top, so grey stays grey. Smoothing of the noise
stands for noise reduction in the camera and for a reduced resolution.
"""

from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from dynet.degradations.degradation import Degradation, Image8
from dynet.degradations.linear_light import Light, to_levels, to_light
from dynet.degradations.parameter_types import Range

Plane = npt.NDArray[np.float32]

_SPREAD_GREEN: Plane = np.array([[0, 0.25, 0], [0.25, 1, 0.25], [0, 0.25, 0]], np.float32)
_SPREAD_OTHERS: Plane = np.array([[0.25, 0.5, 0.25], [0.5, 1, 0.5], [0.25, 0.5, 0.25]], np.float32)


def camera_noise(
    image: Image8,
    generator: np.random.Generator,
    *,
    shot: float,
    read: float,
    red: float,
    blue: float,
    crosstalk: float,
    smoothing: float,
) -> Image8:
    """Add the noise of a camera to an image (H, W, 3).

    Args:
        image: (H, W, 3) of 8 bits.
        generator: Draws the noise and the phase of the colour filter.
        shot: Light of one photon on the sensor, white being 1.
        read: Standard deviation of the noise that does not depend on the light, white being 1.
        red: Gain of red by white balance; green has 1.
        blue: Gain of blue.
        crosstalk: How much the colour matrix enlarges differences between channels.
        smoothing: Standard deviation of the Gaussian that smooths the noise, in pixels.
    """
    import cv2  # here, since a recipe or a benchmark is read without it

    light = to_light(image)
    gains = np.array([red, 1, blue], np.float32)
    raw = _mix_colours(light, 1 / (1 + crosstalk)) / gains  # (1 + c) and 1 / (1 + c) undo each other
    deviation = np.sqrt(np.float32(shot) * raw.clip(0) + np.float32(read) ** 2)
    phase = generator.integers(2, size=2)
    noise = deviation * generator.standard_normal(image.shape[:2], dtype=np.float32)[..., np.newaxis]
    spread = _demosaic(noise, *phase)
    if smoothing > 0:
        spread = np.asarray(cv2.GaussianBlur(spread, (0, 0), smoothing, borderType=cv2.BORDER_REFLECT_101), np.float32)
    return to_levels(light + _mix_colours(spread * gains, 1 + crosstalk))


def _mix_colours(light: Light, factor: float) -> Light:
    """Multiply the difference of each channel from the mean of the channels, (H, W, 3), by `factor`."""
    mean = light.mean(axis=2, keepdims=True)
    mixed: Light = mean + np.float32(factor) * (light - mean)
    return mixed


def _demosaic(noise: Light, row: int, column: int) -> Light:
    """Keep of each pixel of (H, W, 3) the one colour that its filter passes, and fill in the others, bilinearly.

    Red is at rows `row`, `row` + 2, … and columns `column`, `column` + 2, …, blue one further in both directions.
    """
    import cv2  # here, since a recipe or a benchmark is read without it

    height, width = noise.shape[:2]
    rows, columns = np.arange(height)[:, np.newaxis], np.arange(width)
    red = (rows % 2 == row) & (columns % 2 == column)
    blue = (rows % 2 != row) & (columns % 2 != column)
    passed = np.stack([red, ~(red | blue), blue], axis=2) * noise
    # Reflection without the border pixel keeps the pattern of the filter.
    planes = [
        cv2.filter2D(np.ascontiguousarray(passed[..., channel]), -1, kernel, borderType=cv2.BORDER_REFLECT_101)
        for channel, kernel in enumerate((_SPREAD_OTHERS, _SPREAD_GREEN, _SPREAD_OTHERS))
    ]
    return np.stack(planes, axis=2)


class CameraNoise(Degradation):
    """Sensor noise of `shot` and `read` after demosaicking, white balance, colour matrix and smoothing."""

    LIMITS: ClassVar = {
        "shot": (0, 0.1),
        "read": (0, 0.1),
        "red": (1, 4),
        "blue": (1, 4),
        "crosstalk": (0, 1),
        "smoothing": (0, 5),
    }
    kind: Literal["camera_noise"]
    shot: Range = (0.0001, 0.012)
    read: Range = (0.0001, 0.01)
    red: Range = (1.9, 2.4)
    blue: Range = (1.5, 1.9)
    crosstalk: Range = (0.1, 0.6)
    smoothing: Range = (0, 1)

    function: ClassVar[Any] = staticmethod(camera_noise)
