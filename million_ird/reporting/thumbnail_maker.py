"""The thumbnails of the report, as the sandbox process makes them.

On its own, so that the process loads little more than the decoder.
"""

from million_ird.images.decode import shrink
from million_ird.images.encode import encode_jpeg
from million_ird.images.encoded_image import EncodedImage
from million_ird.runtime.threads import single_threaded

SIDE = 160
"""Pixels of a thumbnail's longer side."""
QUALITY = 72


class ThumbnailMaker:
    """Makes thumbnails."""

    def __init__(self, max_pixels: int) -> None:
        self._max_pixels = max_pixels
        self._single_threaded = single_threaded()
        self._single_threaded.__enter__()

    def jpeg(self, encoded: bytes) -> bytes:
        """Return a small JPEG of an encoded image.

        Raises:
            ReadError: It cannot be decoded.
        """
        image = EncodedImage(encoded, max_pixels=self._max_pixels)
        return encode_jpeg(shrink(image.thumbnail, SIDE), QUALITY)
