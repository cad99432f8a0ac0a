"""Luma of an image at full and at half size, as pyiqa rounds it, in compiled code: the input of NIQE and BRISQUE.

In addition to the image they take 2 bytes per pixel: an 8-bit plane, and a quarter as many float32.
"""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from million_ird.runtime.jit import compiled

Plane: TypeAlias = NDArray[np.uint8] | NDArray[np.float32]
"""(H, W) luma in 0…255: integers as uint8, other values as float32."""
Floats: TypeAlias = NDArray[np.float32]

_F32 = np.float32
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)[:, None] * (np.arange(256, dtype=np.float32) / _F32(255))


def _bicubic() -> NDArray[np.float32]:
    """Return the weights that halve a row, (8,) float32: Keys' cubic, a = -1/2, stretched by two against aliasing."""
    at = np.abs(np.arange(8, dtype=np.float64) - 3.5) / 2
    inner = 1.5 * at**3 - 2.5 * at**2 + 1
    outer = -0.5 * at**3 + 2.5 * at**2 - 4 * at + 2
    weights = np.where(at <= 1, inner, outer)
    return np.asarray(weights / weights.sum(), np.float32)


_HALVING = _bicubic()


@compiled()
def _luma(rgb: NDArray[np.uint8], out: NDArray[np.uint8], table: Floats) -> None:
    """Write Y of YIQ to out (H, W), rounded half to even after float32 sums in the order R, G, B; rgb: (H, W, 3)."""
    for y in range(rgb.shape[0]):
        for x in range(rgb.shape[1]):
            total = table[0, rgb[y, x, 0]] + table[1, rgb[y, x, 1]] + table[2, rgb[y, x, 2]]
            out[y, x] = np.uint8(np.rint(total * _F32(255)))


@compiled()
def _halve_rows(source: Plane, unit: np.float32, top: int, out: Floats) -> None:
    """Write row `top` of the vertically halved image to out (width + 8,), mirrored by 4 at both ends."""
    height, width = source.shape
    for tap in range(8):
        y = 2 * top - 3 + tap
        # Edges are mirrored with the outermost row repeated, as MATLAB's imresize does.
        y = -1 - y if y < 0 else y
        y = 2 * height - 1 - y if y >= height else y
        row = source[y]
        weight = _HALVING[tap]
        if tap == 0:
            for x in range(width):
                out[x + 4] = _F32(row[x]) / unit * weight
        else:
            for x in range(width):
                out[x + 4] += _F32(row[x]) / unit * weight
    for x in range(4):
        out[3 - x] = out[4 + x]
        out[4 + width + x] = out[3 + width - x]


@compiled()
def _halve(source: Plane, unit: np.float32, out: Floats) -> None:
    """Halve source (H, W), divided by unit, into out (⌈H/2⌉, ⌈W/2⌉): antialiased bicubic, rows first.

    Each product is rounded before it is added, from the first tap to the last, as in pyiqa.
    """
    line = np.empty(source.shape[1] + 8, np.float32)
    for y in range(out.shape[0]):
        _halve_rows(source, unit, y, line)
        row = out[y]
        for x in range(out.shape[1]):
            at = 2 * x + 1
            total = line[at] * _HALVING[0]
            total += line[at + 1] * _HALVING[1]
            total += line[at + 2] * _HALVING[2]
            total += line[at + 3] * _HALVING[3]
            total += line[at + 4] * _HALVING[4]
            total += line[at + 5] * _HALVING[5]
            total += line[at + 6] * _HALVING[6]
            total += line[at + 7] * _HALVING[7]
            row[x] = total


def luma(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the Y of YIQ, 0.299 R + 0.587 G + 0.114 B, as pyiqa rounds it; rgb: (H, W, 3) uint8 → (H, W) uint8."""
    out = np.empty(rgb.shape[:2], np.uint8)
    _luma(rgb, out, _LUMA)
    return out


def halve(plane: Plane, unit: float) -> Floats:
    """Halve a plane (H, W), divided by unit: antialiased bicubic → (⌈H/2⌉, ⌈W/2⌉) float32."""
    height, width = plane.shape
    out = np.empty(((height + 1) // 2, (width + 1) // 2), np.float32)
    _halve(plane, _F32(unit), out)
    return out
