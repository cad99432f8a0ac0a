"""Square patches for training, cut from the kept images."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class PatchBox:
    """A square in its image as displayed, or as resized to a scale, in pixels from the top left corner."""

    x: int
    y: int
    size: int


def grid(width: int, height: int, size: int) -> list[PatchBox]:
    """Return as many whole, disjoint patches as fit, row by row; the remainder of each side is spread around them.

    An image smaller than `size` on either side has none.
    """
    return [PatchBox(x, y, size) for y in _starts(height, size) for x in _starts(width, size)]


def _starts(side: int, size: int) -> list[int]:
    count = side // size
    remainder = side - count * size
    return [i * size + (2 * i + 1) * remainder // (2 * count) for i in range(count)]


def cut_patches(
    pixels: NDArray[np.uint8], size: int, scales: Sequence[float] = (1.0,)
) -> Iterator[tuple[float, PatchBox, NDArray[np.uint8]]]:
    """Cut an image into patches, at each scale.

    Args:
        pixels: (H, W, 3) uint8.
        size: Side of a patch in pixels.
        scales: Factors of the image's size, at most 1.

    Yields:
        The scale, the box in the scaled image, and the patch, (size, size, 3) uint8.
    """
    for scale in scales:
        scaled = resize_to_scale(pixels, scale)
        height, width = scaled.shape[:2]
        for box in grid(width, height, size):
            yield scale, box, np.ascontiguousarray(scaled[box.y : box.y + size, box.x : box.x + size])


def resize_to_scale(pixels: NDArray[np.uint8], scale: float) -> NDArray[np.uint8]:
    """Resize (H, W, 3) uint8 by area averaging to `scaled_size`; at scale 1 return the image itself."""
    if scale == 1:
        return pixels
    height, width = pixels.shape[:2]
    small = cv2.resize(pixels, scaled_size(width, height, scale), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.uint8)


def scaled_size(width: int, height: int, scale: float) -> tuple[int, int]:
    """Return width and height at a scale, rounded, at least 1."""
    return max(1, round(width * scale)), max(1, round(height * scale))


def patch_id(parent: str, scale: float, box: PatchBox) -> str:
    """Return the name of a patch: the id of its image and its place there."""
    return f"{parent}-{box.x}-{box.y}" + (f"-{scale:g}" if scale != 1 else "")


def measure_patch(patch: NDArray[np.uint8]) -> dict[str, float | None]:
    """Measure a patch, (size, size, 3) uint8; the names are those of `PATCH_FIELDS`.

    `laplacian_variance` is the variance of the Laplacian of the 8-bit luma (4-neighbour kernel). `sobel_variance` is
    the variance of the Sobel magnitude: the rule of 4KLSDB calls a block flat where it is under 800. Both grow with
    detail and with noise.
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
