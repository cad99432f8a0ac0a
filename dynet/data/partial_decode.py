"""A region of an encoded image, decoded no further than its last row if the format allows that.

| format | what is decoded for a region |
|---|---|
| PNG, not interlaced, one frame | the rows down to the last one of the region |
| JPEG, Huffman-coded, baseline or progressive | those rows, and one more row of blocks |
| WebP, lossless, without Exif (as million_ird writes patches) | those rows; only the region becomes RGB |
| any other format, and unusual files of these formats | the whole image |

The pixels are those of `ImageOps.exif_transpose(Image.open(file)).convert("RGB")`, except for 16-bit grey, which
`convert` makes white: it is scaled to 8 bits. Pillow gets a PNG or a JPEG with a smaller height in its header
(`first_rows`). For WebP, libwebp has a crop of its own (`libwebp`); where it cannot be called, Pillow decodes the whole
image. Damage below the last row of the region is not always noticed; a truncated file is.
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

JPEG_BLOCK = 8
"""The side of JPEG's blocks in pixels."""

Image8 = npt.NDArray[np.uint8]
Transpose = Image.Transpose

_TRANSPOSE_OF_ORIENTATION = {
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_270,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_90,
}
"""The transpose for each Exif orientation, as in `ImageOps.exif_transpose`."""


class _CropBox(NamedTuple):
    left: int
    top: int
    right: int
    bottom: int


@dataclass(frozen=True, slots=True)
class LazyImage:
    """An encoded image whose header has been read: its upright size, and its pixels on demand."""

    name: str
    height: int
    width: int
    _decode: Callable[[_CropBox], Image8]

    def region(self, top: int, left: int, height: int, width: int) -> Image8:
        """Return a region of the upright image, (height, width, 3), as a copy.

        Raises:
            UnusableImage: The image cannot be decoded; the message names it.
            ValueError: The region is not inside the image.
        """
        if min(top, left) < 0 or not (0 < height <= self.height - top and 0 < width <= self.width - left):
            raise ValueError(f"{height}x{width} at ({top}, {left}) is not inside {self.height}x{self.width}")
        with _one_line_errors(self.name):
            return self._decode(_CropBox(left, top, left + width, top + height))


def open_image(encoded: bytes | Path, name: str) -> LazyImage:
    """Read the header of an image.

    Args:
        encoded: The bytes of the image, or its file.
        name: What messages call it.

    Raises:
        DataError: The file cannot be read.
        UnusableImage: The bytes are no image that can be decoded.
    """
    try:
        data = encoded if isinstance(encoded, bytes) else encoded.read_bytes()
    except OSError as error:
        raise DataError(f"{name} cannot be read: {error.strerror}") from error
    with _one_line_errors(name):
        return _lossless_webp(data, name) or _with_pillow(data, name)


def draw_crop_position(
    image: LazyImage, size: int, random: np.random.Generator, grid_share: float = 0.0
) -> tuple[int, int]:
    """Return top and left of a square with sides of `size` pixels, uniformly distributed.

    Args:
        image: The image.
        size: The side of the square in pixels.
        random: What the position is drawn from.
        grid_share: The share of positions that are moved up and left to multiples of 8 pixels, where JPEG's blocks
            begin in a whole image.

    Raises:
        UnusableImage: The image is smaller than the square.
    """
    if min(image.height, image.width) < size:
        raise UnusableImage(f"{image.name} has {image.width}x{image.height} pixels, too few for crop: {size}")
    top, left = int(random.integers(image.height - size + 1)), int(random.integers(image.width - size + 1))
    if grid_share and random.random() < grid_share:
        return top - top % JPEG_BLOCK, left - left % JPEG_BLOCK
    return top, left


@contextlib.contextmanager
def _one_line_errors(name: str) -> Iterator[None]:
    """Turn the errors of Pillow and its plugins for a damaged file into UnusableImage."""
    try:
        yield
    except (DyNetError, MemoryError):
        raise
    except UnidentifiedImageError as error:
        raise UnusableImage(f"{name} is not an image that can be read") from error
    except Exception as error:
        # Plugins raise OSError, SyntaxError, ValueError, struct.error, EOFError and others for damaged bytes.
        raise UnusableImage(f"{name} cannot be decoded: {reason_of(error)}") from error


def _with_pillow(data: bytes, name: str) -> LazyImage:
    shortenable = parse_shortenable(data)
    if shortenable is None or _too_large(shortenable.height, shortenable.width):
        with Image.open(io.BytesIO(data)) as image:
            pixels = _rgb(ImageOps.exif_transpose(image))
        height, width = pixels.shape[:2]
        return LazyImage(name, height, width, lambda box: pixels[box.top : box.bottom, box.left : box.right].copy())
    orientation = _orientation(data) if shortenable.may_be_rotated else 1

    def decode(box: _CropBox) -> Image8:
        stored_box = _as_stored(box, orientation, shortenable.width, shortenable.height)
        with Image.open(io.BytesIO(shortenable.first_rows(stored_box.bottom))) as shortened:
            region = shortened.crop(stored_box)
            transpose = _TRANSPOSE_OF_ORIENTATION.get(orientation)
            return _rgb(region if transpose is None else region.transpose(transpose))

    height, width = shortenable.height, shortenable.width
    if orientation >= 5:
        height, width = width, height
    return LazyImage(name, height, width, decode)


def _too_large(height: int, width: int) -> bool:
    """Return whether Pillow warns about the size of an image, which it can do only for the whole image."""
    return Image.MAX_IMAGE_PIXELS is not None and height * width > Image.MAX_IMAGE_PIXELS


def _rgb(image: Image.Image) -> Image8:
    if image.mode == "F":  # which `convert` takes for levels: an image from 0 to 1 would be black
        raise ValueError("its samples are floating-point numbers; convert it to 8 or 16 bits")
    if image.mode.startswith("I"):  # 16-bit grey, which `convert` would clip to white
        grey = np.rint(np.clip(np.asarray(image, np.float64), 0, 65535) / 257).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2)
    return np.array(image.convert("RGB"))


def _orientation(data: bytes) -> int:
    """Return the Exif orientation, 1 to 8."""
    with Image.open(io.BytesIO(data)) as image:
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    return orientation if orientation in _TRANSPOSE_OF_ORIENTATION else 1


def _as_stored(box: _CropBox, orientation: int, width: int, height: int) -> _CropBox:
    """Return where a region of the upright image is in the stored image of width x height."""
    left, top, right, bottom = box
    if orientation >= 5:
        left, top, right, bottom = top, left, bottom, right
    if orientation in (2, 3, 7, 8):
        left, right = width - right, width - left
    if orientation in (3, 4, 6, 7):
        top, bottom = height - bottom, height - top
    return _CropBox(left, top, right, bottom)


def _lossless_webp(data: bytes, name: str) -> LazyImage | None:
    """Return an image that libwebp can crop, a lossless WebP; None for any other."""
    size = libwebp.lossless_size(data)
    if size is None or not libwebp.available() or _too_large(*size):
        return None

    def decode(box: _CropBox) -> Image8:
        height, width = box.bottom - box.top, box.right - box.left
        region = libwebp.crop(data, box.top, box.left, height, width)
        if region is None:  # the file is damaged: Pillow raises the error
            return _with_pillow(data, name).region(box.top, box.left, height, width)
        return region

    return LazyImage(name, *size, decode)
