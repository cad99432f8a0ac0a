"""Between stored sRGB levels and the light that they stand for.

What happens to light before it is stored (haze, rain, blur in the lens, a dim room) is linear in light, not in levels.
The curve is that of IEC 61966-2-1 (sRGB): linear below 0.0031308, a power of 1/2.4 above.
"""

import numpy as np
import numpy.typing as npt

from dynet.degradations.degradation import Image8, to_uint8

Light = npt.NDArray[np.float32]


def light_of_level(level: float) -> float:
    """The light, 0 to 1, that a stored level of 0 to 255 stands for."""
    value = level / 255
    return value / 12.92 if value <= 0.04045 else float(((value + 0.055) / 1.055) ** 2.4)


LIGHT_OF_LEVELS: npt.NDArray[np.float64] = np.array([light_of_level(level) for level in range(256)])
"""(256,) the light of each level."""
_SINGLE = LIGHT_OF_LEVELS.astype(np.float32)


def to_light(image: Image8) -> Light:
    """image: (H, W, 3) of 8 bits to light of the same shape, float32 in [0, 1]."""
    return _SINGLE[image]


def to_levels(light: Light) -> Image8:
    """light: any shape, clipped to [0, 1], to 8-bit sRGB, rounded; gives back what `to_light` was given."""
    light = np.clip(light, 0, 1)
    curve = 1.055 * np.power(light, np.float32(1 / 2.4)) - 0.055
    return to_uint8(255 * np.where(light <= 0.0031308, 12.92 * light, curve))
