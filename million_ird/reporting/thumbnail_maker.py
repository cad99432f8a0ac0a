"""The pictures of the report, as the sandbox process makes them.

On its own, so that the process loads little more than the decoder.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from million_ird.errors import ReadError
from million_ird.images.decode import shrink
from million_ird.images.encode import encode_jpeg
from million_ird.images.encoded_image import EncodedImage
from million_ird.runtime.threads import single_threaded

SIDE = 160
"""Pixels of a thumbnail's longer side."""
QUALITY = 72
CROP = 80
"""Pixels of a crop's side; two of them are as wide as a thumbnail."""
CROP_QUALITY = 90


class ThumbnailMaker:
    """Makes thumbnails and crops."""

    def __init__(self, max_pixels: int) -> None:
        self._max_pixels = max_pixels
        self._single_threaded = single_threaded()
        self._single_threaded.__enter__()

    def pictures(self, encoded: bytes) -> list[bytes]:
        """Return JPEGs of an encoded image: a thumbnail, and its sharpest and its worst block pixel by pixel.

        The thumbnail alone, where all pixels cannot be decoded.

        Raises:
            ReadError: It cannot be decoded at all.
        """
        image = EncodedImage(encoded, max_pixels=self._max_pixels)
        thumbnail = encode_jpeg(shrink(image.thumbnail, SIDE), QUALITY)
        try:
            pixels, luma = image.pixels, image.luma
        except ReadError:
            return [thumbnail]
        crops = [pixels[top : top + CROP, left : left + CROP] for top, left in compared_blocks(luma)]
        return [thumbnail, *(encode_jpeg(np.ascontiguousarray(crop), CROP_QUALITY) for crop in crops)]


def compared_blocks(luma: NDArray[np.uint8]) -> list[tuple[int, int]]:
    """Return top and left of the sharpest block and of the worst one, in pixels.

    Sharp is a block whose Laplacian has a large standard deviation. The worst one has the least of it for its contrast,
    among the half of the blocks with more contrast: a block of something that ought to be sharp, not of sky.

    Args:
        luma: (H, W) uint8.
    """
    rows, columns = max(1, luma.shape[0] // CROP), max(1, luma.shape[1] // CROP)
    laplacian = cv2.Laplacian(luma, cv2.CV_32F)
    sharp, contrast = np.empty((rows, columns)), np.empty((rows, columns))
    for row in range(rows):
        for column in range(columns):
            block = np.s_[row * CROP : (row + 1) * CROP, column * CROP : (column + 1) * CROP]
            sharp[row, column], contrast[row, column] = laplacian[block].std(), luma[block].std()
    plain = contrast < np.median(contrast)
    share = np.where(plain, np.inf, sharp / np.maximum(contrast, 1.0))
    places = [np.unravel_index(int(index), sharp.shape) for index in (sharp.argmax(), share.argmin())]
    return [(int(row) * CROP, int(column) * CROP) for row, column in places]
