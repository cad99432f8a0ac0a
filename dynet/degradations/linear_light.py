"""Conversion between stored sRGB levels and the light that they represent.

What happens to light before it is stored (haze, rain, blur in the lens, a dark room) is linear in light, not in levels.
The curve is that of IEC 61966-2-1 (sRGB): linear below 0.0031308, a power of 1/2.4 above.
"""

import numpy as np
import numpy.typing as npt

from dynet.degradations.degradation import Image8, to_uint8

Light = npt.NDArray[np.float32]


def light_of_level(level: float) -> float:
    """Return the light, 0 to 1, of a stored level of 0 to 255."""
    value = level / 255
    return value / 12.92 if value <= 0.04045 else float(((value + 0.055) / 1.055) ** 2.4)


LIGHT_OF_LEVELS: npt.NDArray[np.float64] = np.array([light_of_level(level) for level in range(256)])
"""The light of each level, (256,)."""
_SINGLE = LIGHT_OF_LEVELS.astype(np.float32)


def to_light(image: Image8) -> Light:
    """Return the light of an 8-bit image (H, W, 3), of the same shape, float32 in [0, 1]."""
    return _SINGLE[image]


def to_levels(light: Light) -> Image8:
    """Clip light of any shape to [0, 1] and return it as 8-bit sRGB, rounded; the exact inverse of `to_light`."""
    light = np.clip(light, 0, 1)
    curve = 1.055 * np.power(light, np.float32(1 / 2.4)) - 0.055
    return to_uint8(255 * np.where(light <= 0.0031308, 12.92 * light, curve))
