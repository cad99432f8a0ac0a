"""An image by its encoded bytes: header, thumbnail and pixels are decoded on first use, each at most once."""

import hashlib
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from million_ird.images.decode import (
    THUMBNAIL_SIDE,
    decode,
    decode_thumbnail,
    decode_unchecked,
    shrink,
    shrinks_while_decoding,
)
from million_ird.images.header import ImageHeader, read_header
from million_ird.images.line_steps import LineSteps, line_steps
from million_ird.schema import MAX_PIXELS


class EncodedImage:
    """An image by its encoded bytes; every property raises `ReadError` for bytes that do not decode."""

    def __init__(self, encoded: bytes, *, max_pixels: int = MAX_PIXELS) -> None:
        self.encoded = encoded
        self._max_pixels = max_pixels
        self._unchecked: NDArray[np.uint8] | None = None
        """The whole image where the thumbnail needed it: not decoded again for `pixels`."""

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the encoded bytes, 64 hex digits."""
        return hashlib.sha256(self.encoded).hexdigest()

    @cached_property
    def header(self) -> ImageHeader:
        """Format, size and colour layout, read without decoding."""
        return read_header(self.encoded, max_pixels=self._max_pixels)

    @cached_property
    def thumbnail(self) -> NDArray[np.uint8]:
        """(h, w, 3) uint8 sRGB, upright, longest side about 256: reduced while decoding where possible."""
        if "pixels" in self.__dict__:
            return shrink(self.pixels, THUMBNAIL_SIDE)
        if shrinks_while_decoding(self.header):
            return decode_thumbnail(self.encoded, self.header)
        self._unchecked = decode_unchecked(self.encoded, self.header)
        return shrink(self._unchecked, THUMBNAIL_SIDE)

    @cached_property
    def pixels(self) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 sRGB, upright, alpha over white; see `million_ird.images.decode`."""
        pixels = decode(self.encoded, self.header, self._unchecked)
        self._unchecked = None
        return pixels

    @cached_property
    def luma(self) -> NDArray[np.uint8]:
        """(H, W) uint8, BT.601 luma of `pixels` as OpenCV rounds it."""
        grey: NDArray[np.uint8] = cv2.cvtColor(self.pixels, cv2.COLOR_RGB2GRAY).astype(np.uint8, copy=False)
        return grey

    @cached_property
    def line_steps(self) -> tuple[LineSteps, LineSteps]:
        """Mean steps of `luma`, at least 13 px high and wide, along up to 512 rows, and as many columns."""
        return line_steps(self.luma)
