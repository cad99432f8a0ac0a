"""The sheet of `restore --compare`: before and after side by side, at a size that fits a screen.

An image that is larger than a panel is shown twice: downscaled as a whole, and below that, at full resolution, the part
that changed most. Downscaling alone would hide the noise.
"""

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from dynet.inference.decoded_image import DecodedImage
from dynet.runtime.contact_sheet import labelled_sheet

MAX_PANEL_SIDE = 1024
"""In pixels."""

Image8 = npt.NDArray[np.uint8]


def make_comparison_sheet(panels: Sequence[tuple[str, DecodedImage]]) -> DecodedImage:
    """Return one 8-bit RGB image of labelled images; all have the same size, and the input comes first."""
    labels = [label for label, _ in panels]
    images = [image.as_uint8_rgb() for _, image in panels]
    height, width = images[0].shape[:2]
    scale = min(1.0, MAX_PANEL_SIDE / max(height, width))
    if scale == 1:
        rows = [images]
    else:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        top, left = _most_changed_part(images[0], images[-1], size)
        parts = [image[top : top + size[1], left : left + size[0]] for image in images]
        rows = [[_downscale(image, size) for image in images], parts]
    sheet = np.asarray(labelled_sheet(rows, labels))
    return DecodedImage(colour=sheet, alpha=None, format="PNG")


def _downscale(image: Image8, size: tuple[int, int]) -> Image8:
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)


def _most_changed_part(before: Image8, after: Image8, size: tuple[int, int]) -> tuple[int, int]:
    """Return (top, left) of the part of this (width, height) that differs most, on a grid of half its size."""
    width, height = size
    change = cv2.absdiff(before, after)
    corners = [
        (top, left)
        for top in [*range(0, len(change) - height, max(1, height // 2)), len(change) - height]
        for left in [*range(0, change.shape[1] - width, max(1, width // 2)), change.shape[1] - width]
    ]
    return max(corners, key=lambda corner: float(change[corner[0] :, corner[1] :][:height, :width].mean()))
