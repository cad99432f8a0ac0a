"""Pictures that come from the page: refused before they are decoded where they are too large."""

from dataclasses import dataclass
from pathlib import Path

from dynet.errors import PictureError
from dynet.inference.decoding import opened, reading
from dynet.inference.encoding import Encoding
from dynet.inference.images import Picture, read_picture, write_picture

PNG = Encoding("png")
SHOWN_BY_BROWSERS = ("PNG", "JPEG", "WEBP", "BMP", "AVIF")

BYTES_A_PIXEL = 16
"""Twice what the largest samples take, four of 16 bits, so that a picture within the limit fits as a file too."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How large a picture may be."""

    megapixels: float

    @property
    def file_bytes(self) -> int:
        """The largest file that is taken, with a megabyte for small pictures that carry much metadata."""
        return int(BYTES_A_PIXEL * self.megapixels * 1e6) + 2**20


def read_upload(path: Path, name: str, limits: Limits) -> Picture:
    """The picture in a file that was called `name`; it is not decoded before its size is known to be within the limits.

    Raises PictureError, one line that begins with the name: the path means nothing to who uploaded it.
    """
    try:
        with reading(path), opened(path) as (image, _):
            width, height = image.size
        if width * height > limits.megapixels * 1e6:
            raise PictureError(
                f"{path}: has {width * height / 1e6:.1f} megapixels ({width} × {height}), and this page takes up to "
                f"{limits.megapixels:g}"
            )
        return read_picture(path)
    except PictureError as error:
        raise PictureError(str(error).replace(str(path), name)) from error


def as_shown(path: Path, picture: Picture, folder: Path) -> Path:
    """The file itself where browsers can show its kind, else a PNG of the same samples, written into the folder."""
    if picture.format in SHOWN_BY_BROWSERS:
        return path
    shown = folder / f"{path.stem}.png"
    write_picture(shown, picture, PNG)
    return shown
