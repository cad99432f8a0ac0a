"""CIE L*a*b* of TIFF files, whose white is that of D50, as sRGB."""

import numpy as np
import numpy.typing as npt

from dynet.inference.decoded_image import Samples

_D50 = np.array([0.96422, 1.0, 0.82521])
_TO_SRGB = np.array(
    [[3.1338561, -1.6168667, -0.4906146], [-0.9787684, 1.9161415, 0.0334540], [0.0719453, -0.2289914, 1.4052427]]
)
"""From XYZ under D50 to linear sRGB, adapted by Bradford (Lindbloom)."""
_KNEE = 6 / 29


def lab_to_srgb(stored: Samples) -> npt.NDArray[np.uint8]:
    """Return (H, W, 3) sRGB of 8 bits; colours outside of it are clipped.

    Args:
        stored: (H, W, 3) of uint8 or uint16 as TIFF stores L*, a* and b*: L* as 0 to 100, a* and b* signed.
    """
    signed = stored[..., 1:].view(np.dtype(f"i{stored.itemsize}")) / (1 << 8 * (stored.itemsize - 1))
    of_y = (stored[..., 0] * (100 / np.iinfo(stored.dtype).max) + 16) / 116
    cube_roots = np.stack([of_y + signed[..., 0] / 500, of_y, of_y - signed[..., 1] / 200], axis=-1)
    xyz = np.where(cube_roots > _KNEE, cube_roots**3, 3 * _KNEE**2 * (cube_roots - 4 / 29)) * _D50
    light = np.clip(xyz @ _TO_SRGB.T, 0, 1)
    curve = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    rounded: npt.NDArray[np.uint8] = np.rint(curve * 255).astype(np.uint8)
    return rounded
