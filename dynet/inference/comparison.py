"""The sheet of `restore --compare`: before and after side by side, small enough to look at.

A picture that is larger than a panel is shown twice: all of it, made smaller, and below that, pixel by pixel, the part
in which restoring changed most. Of noise little is left in a picture that has been made smaller.
"""

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from dynet.inference.images import Picture
from dynet.runtime.contact_sheet import labelled_sheet

PANEL = 1024
"""The longest side of a panel in pixels."""

Image8 = npt.NDArray[np.uint8]


def comparison(panels: Sequence[tuple[str, Picture]]) -> Picture:
    """Labelled pictures of one size, the input first, as one 8-bit RGB picture."""
    labels = [label for label, _ in panels]
    pictures = [picture.as_levels() for _, picture in panels]
    height, width = pictures[0].shape[:2]
    scale = min(1.0, PANEL / max(height, width))
    if scale == 1:
        rows = [pictures]
    else:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        top, left = _most_changed(pictures[0], pictures[-1], size)
        part = [picture[top : top + size[1], left : left + size[0]] for picture in pictures]
        rows = [[_made_smaller(picture, size) for picture in pictures], part]
    sheet = np.asarray(labelled_sheet(rows, labels))
    return Picture(colour=sheet, alpha=None, format="PNG")


def _made_smaller(picture: Image8, size: tuple[int, int]) -> Image8:
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)


def _most_changed(before: Image8, after: Image8, size: tuple[int, int]) -> tuple[int, int]:
    """(top, left) of the part of this (width, height) in which two pictures differ most, on a grid of half parts."""
    width, height = size
    change = cv2.absdiff(before, after)
    places = [
        (top, left)
        for top in [*range(0, len(change) - height, max(1, height // 2)), len(change) - height]
        for left in [*range(0, change.shape[1] - width, max(1, width // 2)), change.shape[1] - width]
    ]
    return max(places, key=lambda at: float(change[at[0] : at[0] + height, at[1] : at[1] + width].mean()))
