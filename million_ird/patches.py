"""Cuts kept pictures into square patches for training."""

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

PATCH_FIELDS = ("laplacian_variance", "sobel_variance")
"""What is measured of every patch, for its gates and its columns."""


@dataclass(frozen=True, slots=True)
class Box:
    """A square in its parent, in displayed pixels from the top left corner."""

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


def cut(pixels: NDArray[np.uint8], size: int) -> Iterator[tuple[Box, NDArray[np.uint8]]]:
    """The patches of (H, W, 3) uint8 pixels, each (size, size, 3) uint8."""
    height, width = pixels.shape[:2]
    for box in grid(width, height, size):
        yield box, np.ascontiguousarray(pixels[box.y : box.y + size, box.x : box.x + size])


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
