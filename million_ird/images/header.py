"""Format, size and colour layout of an encoded image, read without decoding its pixels."""

import contextlib
import io
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFile, UnidentifiedImageError

from million_ird.errors import ReadError, one_line
from million_ird.images.colour import DEEP_MODES, classify_profile
from million_ird.schema import MAX_PIXELS

FORMATS = (
    "JPEG",
    "PNG",
    "WEBP",
    "TIFF",
    "AVIF",
    "JPEG2000",
    "GIF",
    "BMP",
    "PPM",
    "QOI",
    "PSD",
    "SGI",
    "PCX",
    "TGA",
)
"""Pillow's names, in the order in which they are tried: TGA has no signature, so it comes last."""
ORIENTATION_TAG = 0x0112
# Pillow's own check for decompression bombs warns at one size and raises at twice that; `read_header` checks first.
Image.MAX_IMAGE_PIXELS = None
Image.init()  # registers all formats; with an explicit list `Image.open` does not
ImageFile.LOAD_TRUNCATED_IMAGES = False

_SIDEWAYS = frozenset({5, 6, 7, 8})
_PNG_ORIENTATION = (b"eXIf", b"Raw profile type", b"XML:com.adobe.xmp")
"""The chunks of a PNG in which Pillow finds an orientation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageHeader:
    """What a file declares about its image, before the pixels are decoded."""

    format: str
    """Pillow's name: JPEG, PNG, WEBP, TIFF, GIF, BMP, …"""
    width: int
    """As displayed, in pixels."""
    height: int
    mode: str
    """Pillow's mode: L, RGB, P, CMYK, RGBA, I;16, …"""
    bits: int
    """Bits per channel as stored: 1, 8 or 16."""
    orientation: int
    """EXIF orientation 1–8; 1 where absent or broken."""
    frames: int
    icc: str
    """`none`, `srgb`, `converted` or `broken`."""
    alpha: bool
    quantisation: tuple[tuple[int, ...], ...] | None
    """A JPEG's quantisation tables, luma first, 64 values each; otherwise None."""

    @property
    def pixels(self) -> int:
        """Width times height."""
        return self.width * self.height


def read_header(encoded: bytes, *, max_pixels: int = MAX_PIXELS) -> ImageHeader:
    """Read format, size and colour layout without decoding.

    Args:
        encoded: the whole file.
        max_pixels: an image with more pixels is refused before anything is allocated.

    Raises:
        ReadError: `empty`, `not_an_image`, `too_large`, `unsupported`, `truncated` or `undecodable`.
    """
    if not encoded:
        raise ReadError("empty", "0 bytes")
    with as_read_error(), open_image(encoded) as image:
        width, height = _stored_size(image)
        if width * height > max_pixels:
            raise ReadError("too_large", f"{width}×{height} is over {max_pixels:,} pixels")
        if image.mode in {"F", "I"}:
            raise ReadError("unsupported", f"{image.mode} pictures have no fixed white")
        bits = _bits_per_channel(encoded, image)
        if misread := _misread_variant(image, bits):
            raise ReadError("unsupported", misread)
        orientation = read_orientation(image) if _may_have_orientation(encoded, image) else 1
        if orientation in _SIDEWAYS:
            width, height = height, width
        tables: dict[int, list[int]] | None = getattr(image, "quantization", None)
        return ImageHeader(
            format=image.format or "unknown",
            width=width,
            height=height,
            mode=image.mode,
            bits=bits,
            orientation=orientation,
            frames=int(getattr(image, "n_frames", 1)),
            icc=classify_profile(image),
            alpha=image.mode in {"RGBA", "LA", "PA", "RGBa", "La"} or "transparency" in image.info,
            quantisation=tuple(tuple(tables[k]) for k in sorted(tables)) if tables else None,
        )


def open_image(encoded: bytes) -> Image.Image:
    """Open the file with Pillow, restricted to `FORMATS`; the pixels are not decoded yet."""
    return Image.open(io.BytesIO(encoded), formats=FORMATS)


@contextlib.contextmanager
def as_read_error() -> Iterator[None]:
    """Turn any error that a decoder raises on broken bytes into one `ReadError`."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except ReadError:
        raise
    except MemoryError as error:
        raise ReadError("too_large", "not enough memory to decode") from error
    except UnidentifiedImageError as error:
        raise ReadError("not_an_image", "no known picture format") from error
    except Exception as error:
        # Pillow's plugins let anything escape on crafted input: struct.error, KeyError, zlib.error, …
        text = one_line(error, 200)
        short = "truncated" in text.lower() or isinstance(error, EOFError)
        raise ReadError("truncated" if short else "undecodable", text) from error


def read_orientation(image: Image.Image) -> int:
    """Return the EXIF orientation 1–8 that Pillow has not applied yet; 1 where absent or broken."""
    with contextlib.suppress(Exception):  # a broken EXIF block is no reason to lose the image
        value = image.getexif().get(ORIENTATION_TAG, 1)
        if value in range(1, 9):
            return int(value)
    return 1


def _stored_size(image: Image.Image) -> tuple[int, int]:
    """Return width and height before the orientation, which Pillow applies by itself to a TIFF."""
    if image.format == "TIFF":
        tags = getattr(image, "tag_v2", {})
        return int(tags[256]), int(tags[257])
    return image.size


def _may_have_orientation(encoded: bytes, image: Image.Image) -> bool:
    """Return False for most PNGs, which Pillow would have to decode whole to look for an orientation."""
    return image.format != "PNG" or any(chunk in encoded for chunk in _PNG_ORIENTATION)


def _bits_per_channel(encoded: bytes, image: Image.Image) -> int:
    if image.mode in DEEP_MODES:
        return 16
    if image.mode == "1":
        return 1
    if image.format == "PNG" and encoded[12:16] == b"IHDR":
        # Pillow hides the depth of a 16-bit colour PNG behind mode RGB.
        return 16 if encoded[24] == 16 else 8
    if image.format == "TIFF":
        return 16 if 16 in np.atleast_1d(getattr(image, "tag_v2", {}).get(258, 8)) else 8
    return 8


def _misread_variant(image: Image.Image, bits: int) -> str | None:
    """Describe a variant of a format that decoders silently misread as noise; None for any other image."""
    if image.format == "BMP" and image.info.get("compression") == 2:
        return "a BMP in run lengths of 4 bits"
    # Pillow takes bytes for samples, and OpenCV returns uninitialised memory.
    if image.format == "TIFF" and bits == 16 and getattr(image, "tag_v2", {}).get(284, 1) == 2:
        return "a TIFF of 16 bits whose channels lie in planes"
    return None
