"""What an image is read from tile by tile, and what its restored rows are written to."""

from dataclasses import replace
from typing import Protocol

import numpy as np
import numpy.typing as npt

from dynet.inference.decoded_image import DecodedImage
from dynet.inference.tiling import TileBox

FloatRGB = npt.NDArray[np.float32]


class Canvas(Protocol):
    """What tiles of an image are read from, and what restored rows are written to."""

    @property
    def size(self) -> tuple[int, int]:
        """(height, width)."""

    def crop(self, box: TileBox) -> FloatRGB:
        """Return (h, w, 3) in [0, 1]."""

    def write(self, top: int, rows: FloatRGB) -> None:
        """Write restored rows from `top` on; rows: (n, W, 3), not clipped."""


class ImageCanvas:
    """A canvas with the image's own bit depth and channels, so that no float32 copy of it is needed."""

    def __init__(self, image: DecodedImage) -> None:
        self._image = image
        self.restored = np.empty_like(image.colour)
        self.size = image.colour.shape[0], image.colour.shape[1]

    def crop(self, box: TileBox) -> FloatRGB:
        """See `Canvas.crop`."""
        top, left, bottom, right = box
        return replace(self._image, colour=self._image.colour[top:bottom, left:right]).as_rgb()

    def write(self, top: int, rows: FloatRGB) -> None:
        """See `Canvas.write`."""
        bottom = top + len(rows)
        before = replace(self._image, colour=self._image.colour[top:bottom])
        self.restored[top:bottom] = before.with_rgb(rows).colour


class ArrayCanvas:
    """A canvas of float32, not clipped."""

    def __init__(self, rgb: FloatRGB) -> None:
        self._rgb = rgb
        self.restored: FloatRGB = np.empty_like(rgb)
        self.size = rgb.shape[0], rgb.shape[1]

    def crop(self, box: TileBox) -> FloatRGB:
        """See `Canvas.crop`."""
        top, left, bottom, right = box
        return self._rgb[top:bottom, left:right]

    def write(self, top: int, rows: FloatRGB) -> None:
        """See `Canvas.write`."""
        self.restored[top : top + len(rows)] = rows
