"""A piece of a stored picture, decoded no further than its last row where the format allows that.

| stored as | what is decoded for a piece |
|---|---|
| PNG, not interlaced, one frame | the rows down to the last that is needed |
| JPEG, Huffman coded, baseline or progressive | those rows, and one row of blocks more |
| WebP, lossless, without Exif (as million_ird writes patches) | those rows; only the piece becomes RGB |
| anything else, and any of these that says something unusual | the whole picture |

Every way gives the pixels that `ImageOps.exif_transpose(Image.open(file)).convert("RGB")` has there, but for 16 bits of
grey, which `convert` makes white: those are scaled to 8. A PNG or a JPEG is handed to Pillow with a smaller height in
its header (first_rows.py). For WebP libwebp has a crop of its own (libwebp.py); where it cannot be reached, Pillow
decodes the whole. Damage below the last row needed is not always noticed; a file that ends too early is.
"""

import contextlib
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from dynet.data import libwebp
from dynet.data.first_rows import parse_shortenable
from dynet.errors import DataError, DyNetError, UnusableImage, reason_of

Image8 = npt.NDArray[np.uint8]
Turn = Image.Transpose

_TURNS = {
    2: Turn.FLIP_LEFT_RIGHT,
    3: Turn.ROTATE_180,
    4: Turn.FLIP_TOP_BOTTOM,
    5: Turn.TRANSPOSE,
    6: Turn.ROTATE_270,
    7: Turn.TRANSVERSE,
    8: Turn.ROTATE_90,
}
"""By Exif orientation, as ImageOps.exif_transpose has them."""


class _CropBox(NamedTuple):
    left: int
    top: int
    right: int
    bottom: int


@dataclass(frozen=True, slots=True)
class LazyImage:
    """A stored picture whose header has been read: upright size, and its pixels on demand."""

    name: str
    height: int
    width: int
    _decode: Callable[[_CropBox], Image8]

    def region(self, top: int, left: int, height: int, width: int) -> Image8:
        """(height, width, 3) of the upright picture, in memory of its own.

        Raises DataError, naming the picture, where it cannot be decoded.
        """
        if min(top, left) < 0 or not (0 < height <= self.height - top and 0 < width <= self.width - left):
            raise ValueError(f"{height}x{width} at ({top}, {left}) is not inside {self.height}x{self.width}")
        with _decoding(self.name):
            return self._decode(_CropBox(left, top, left + width, top + height))


def open_image(encoded: bytes | Path, name: str) -> LazyImage:
    """The picture in these bytes or in this file, called `name` in messages.

    Raises DataError where there is none that can be read.
    """
    try:
        data = encoded if isinstance(encoded, bytes) else encoded.read_bytes()
    except OSError as error:
        raise DataError(f"{name} cannot be read: {error.strerror}") from error
    with _decoding(name):
        return _lossless_webp(data, name) or _with_pillow(data, name)


def draw_crop_position(stored: LazyImage, size: int, random: np.random.Generator) -> tuple[int, int]:
    """Top and left of a square of `size` pixels, every position as likely; UnusablePicture where there is no room."""
    if min(stored.height, stored.width) < size:
        raise UnusableImage(f"{stored.name} has {stored.width}x{stored.height} pixels, too few for crop: {size}")
    return int(random.integers(stored.height - size + 1)), int(random.integers(stored.width - size + 1))


@contextlib.contextmanager
def _decoding(name: str) -> Iterator[None]:
    """Turns what Pillow and its plugins raise for a broken file into one line."""
    try:
        yield
    except (DyNetError, MemoryError):
        raise
    except UnidentifiedImageError as error:
        raise UnusableImage(f"{name} is no picture that can be read") from error
    except Exception as error:
        # No narrower: for bad bytes plugins raise OSError, SyntaxError, ValueError, struct.error, EOFError and more.
        raise UnusableImage(f"{name} cannot be decoded: {reason_of(error)}") from error


def _with_pillow(data: bytes, name: str) -> LazyImage:
    short = parse_shortenable(data)
    if short is None or _too_large(short.height, short.width):
        with Image.open(io.BytesIO(data)) as picture:
            pixels = _rgb(ImageOps.exif_transpose(picture))
        height, width = pixels.shape[:2]
        return LazyImage(name, height, width, lambda box: pixels[box.top : box.bottom, box.left : box.right].copy())
    turn = _orientation(data) if short.may_be_turned else 1

    def decode(box: _CropBox) -> Image8:
        inside = _as_stored(box, turn, short.width, short.height)
        with Image.open(io.BytesIO(short.first_rows(inside.bottom))) as shorter:
            piece = shorter.crop(inside)
            return _rgb(piece.transpose(_TURNS[turn]) if turn in _TURNS else piece)

    height, width = (short.width, short.height) if turn >= 5 else (short.height, short.width)
    return LazyImage(name, height, width, decode)


def _too_large(height: int, width: int) -> bool:
    """Whether Pillow has something to say of a picture's size, of which it must then see the whole."""
    return Image.MAX_IMAGE_PIXELS is not None and height * width > Image.MAX_IMAGE_PIXELS


def _rgb(picture: Image.Image) -> Image8:
    if picture.mode.startswith("I"):  # 16 bits of grey, which `convert` would clip to white
        grey = np.rint(np.clip(np.asarray(picture, np.float64), 0, 65535) / 257).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2)
    return np.array(picture.convert("RGB"))


def _orientation(data: bytes) -> int:
    """Exif's, 1 to 8."""
    with Image.open(io.BytesIO(data)) as picture:
        turn = picture.getexif().get(ExifTags.Base.Orientation, 1)
    return turn if turn in _TURNS else 1


def _as_stored(box: _CropBox, turn: int, width: int, height: int) -> _CropBox:
    """Where a piece of the upright picture lies in the stored one of width x height."""
    left, top, right, bottom = box
    if turn >= 5:
        left, top, right, bottom = top, left, bottom, right
    if turn in (2, 3, 7, 8):
        left, right = width - right, width - left
    if turn in (3, 4, 6, 7):
        top, bottom = height - bottom, height - top
    return _CropBox(left, top, right, bottom)


def _lossless_webp(data: bytes, name: str) -> LazyImage | None:
    """A lossless WebP that libwebp crops for us; None for any other picture."""
    size = libwebp.lossless_size(data)
    if size is None or not libwebp.available() or _too_large(*size):
        return None

    def decode(box: _CropBox) -> Image8:
        height, width = box.bottom - box.top, box.right - box.left
        piece = libwebp.crop(data, box.top, box.left, height, width)
        if piece is None:  # something is wrong: Pillow says what
            return _with_pillow(data, name).region(box.top, box.left, height, width)
        return piece

    return LazyImage(name, *size, decode)
