"""Cuts kept pictures into square patches for training."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

PATCH_FIELDS = ("laplacian_variance", "sobel_variance")
"""What is measured of every patch, for its gates and its columns."""


@dataclass(frozen=True, slots=True)
class Box:
    """A square in its parent as displayed, or as shrunk to a scale, in pixels from the top left corner."""

    x: int
    y: int
    size: int


def grid(width: int, height: int, size: int) -> list[Box]:
    """As many whole, disjoint patches as fit, row by row; what remains of each side is spread around them.

    A picture smaller than `size` on either side yields none.
    """
    return [Box(x, y, size) for y in _starts(height, size) for x in _starts(width, size)]


def _starts(side: int, size: int) -> list[int]:
    count = side // size
    remainder = side - count * size
    return [i * size + (2 * i + 1) * remainder // (2 * count) for i in range(count)]


def cut(
    pixels: NDArray[np.uint8], size: int, scales: Sequence[float] = (1.0,)
) -> Iterator[tuple[float, Box, NDArray[np.uint8]]]:
    """The patches of (H, W, 3) uint8 pixels at each scale, each (size, size, 3) uint8, boxes in the scaled picture."""
    for scale in scales:
        scaled = at_scale(pixels, scale)
        height, width = scaled.shape[:2]
        for box in grid(width, height, size):
            yield scale, box, np.ascontiguousarray(scaled[box.y : box.y + size, box.x : box.x + size])


def at_scale(pixels: NDArray[np.uint8], scale: float) -> NDArray[np.uint8]:
    """Shrinks (H, W, 3) uint8 by area averaging to `scaled_size`; scale 1 is the picture itself."""
    if scale == 1:
        return pixels
    height, width = pixels.shape[:2]
    small = cv2.resize(pixels, scaled_size(width, height, scale), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.uint8)


def scaled_size(width: int, height: int, scale: float) -> tuple[int, int]:
    """Width and height at a scale, rounded, at least 1."""
    return max(1, round(width * scale)), max(1, round(height * scale))


def patch_id(parent: str, scale: float, box: Box) -> str:
    """The name of a patch: its parent's id and where it lies there."""
    return f"{parent}-{box.x}-{box.y}" + (f"-{scale:g}" if scale != 1 else "")


def measure_patch(patch: NDArray[np.uint8]) -> dict[str, float | None]:
    """Numbers of a patch (size, size, 3) uint8, named by `PATCH_FIELDS`.

    `laplacian_variance` is that of the 8-bit luma (4-neighbour kernel), `sobel_variance` the variance of the Sobel
    magnitude, by which 4KLSDB calls a block flat below 800. Both grow with detail and with noise.
    """
    luma = cv2.cvtColor(patch, cv2.COLOR_RGB2GRAY)
    across, down = cv2.Sobel(luma, cv2.CV_32F, 1, 0), cv2.Sobel(luma, cv2.CV_32F, 0, 1)
    return {
        "laplacian_variance": _variance(cv2.Laplacian(luma, cv2.CV_16S, ksize=1)),
        "sobel_variance": _variance(cv2.magnitude(across, down)),
    }


def _variance(values: cv2.typing.MatLike) -> float:
    _, deviation = cv2.meanStdDev(values)
    return float(deviation[0, 0]) ** 2
