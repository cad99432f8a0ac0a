"""Decoding an image file to samples: which files are read, and which are refused with a message of one line.

- A TIFF with smaller versions of the same image after it, and a phone's JPEG with a second view, are read as their
  first image; a Photoshop file as its merged image. Pages of a TIFF and frames of an animation are read one by one.
- At most MAX_PIXELS by the header, before memory is allocated for them, in all pages or frames together. A large image
  is also refused if its file is so small for its pixels that it can only be a decompression bomb.
- Only the formats of FORMATS: none that starts another program (EPS), none without a signature. TGA has no signature,
  so its file must have a suffix of TGA.
"""

import contextlib
import ctypes
import functools
import io
import warnings
from collections.abc import Iterator
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from dynet.errors import ImageError, reason_of
from dynet.inference.high_bit_depth import decode_high_bit_depth
from dynet.inference.jpeg_warning import warn_of_damage
from dynet.inference.pillow_samples import (
    ColourAndAlpha,
    decode_8_bits,
    decode_rle4_bmp,
    grey_with_transparent_value,
    open_jpeg_without_end,
)
from dynet.inference.png_chunks import SIGNATURE, without_unreadable_chunks
from dynet.inference.tga import decode_tga, readable_by_pillow

MAX_PIXELS = 250_000_000
MAX_IMAGES = 10_000
"""Pages or frames of one file."""
_LARGE = 50_000_000
_MAX_PIXELS_PER_BYTE = 200
"""The limit for large images. A photograph has fewer than 50 at any quality, an empty PNG about 350."""
FORMATS = (
    *("JPEG", "PNG", "WEBP", "AVIF", "JPEG2000", "GIF", "BMP", "DIB"),
    *("PPM", "QOI", "PSD", "SGI", "PCX", "DDS", "ICO", "SUN"),
)
"""Pillow's names of all formats but TIFF; its JPEG includes MPO, the JPEG with a second view."""
_TGA_SUFFIXES = frozenset({".tga", ".icb", ".vda", ".vst"})
_UNREADABLE_FORMATS = (
    (slice(0, 5), (b"%PDF-",), "a PDF"),
    (slice(0, 8), (b"FUJIFILM",), "a camera raw file"),
)
_ORIENTATION_TAG = 0x0112
_HEAD_BYTES = 16
_APERTURE = b"\0\0\0\x28clap"
_RLE4 = 2


@contextlib.contextmanager
def raise_as_image_error(path: Path) -> Iterator[None]:
    """Turn the errors of Pillow and its plugins for a file into an ImageError of one line that names the file."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # real faults are raised
            yield
    except ImageError as error:
        raise ImageError(f"{path}: {error}") from error
    except UnidentifiedImageError as error:
        raise ImageError(f"{path}: {_describe_unreadable(path)}") from error
    except Image.DecompressionBombError as error:
        raise ImageError(f"{path}: has more than {MAX_PIXELS // 10**6} megapixels") from error
    except MemoryError as error:
        raise ImageError(f"{path}: too large for the memory of this machine") from error
    except OSError as error:
        raise ImageError(f"{path}: {error.strerror or reason_of(error)}") from error
    except Exception as error:
        # Any Exception: for broken files plugins raise SyntaxError, ValueError, struct.error, EOFError and more.
        raise ImageError(f"{path}: cannot be decoded: {reason_of(error)}") from error


def require_file(path: Path) -> None:
    """Raise ImageError for a folder, a pipe or a device; a missing file is an error of who opens it."""
    if path.exists() and not path.is_file():
        raise ImageError("is not a file")


def require_pixels(width: int, height: int, images: int, n_bytes: int) -> None:
    """Check the size that the header of a file declares for its images, before memory is allocated for them.

    Raises:
        ImageError: there are no pixels, or more than MAX_PIXELS, or than a photograph in a file of this size can have.
    """
    pixels = width * height
    if min(width, height) < 1:
        raise ImageError(f"has no pixels: its size is {width}×{height}")
    if images > MAX_IMAGES:
        raise ImageError(f"has {images} images, more than {MAX_IMAGES}")
    if images * pixels > MAX_PIXELS:
        parts = f" in {images} images" if images > 1 else ""
        raise ImageError(f"has more than {MAX_PIXELS // 10**6} megapixels{parts}")
    if pixels > max(_LARGE, _MAX_PIXELS_PER_BYTE * n_bytes):
        raise ImageError(f"declares {pixels // 10**6} megapixels in a file of {n_bytes} bytes; not a photograph")


@contextlib.contextmanager
def open_image(path: Path) -> Iterator[tuple[Image.Image, bytes]]:
    """Open a file other than TIFF without decoding it, as Pillow's image and the bytes of the file.

    Raises:
        ImageError: the file is not a regular file, too large, or not an image that is read here.
    """
    require_file(path)
    Image.init()  # registers all formats; naming them below does not
    names = (*FORMATS, "TGA") if path.suffix.lower() in _TGA_SUFFIXES else FORMATS
    formats = [name for name in names if name in Image.OPEN]  # Pillow may be built without some
    silence_libtiff()
    with pixel_limit():
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
        named_tga = path.suffix.lower() in _TGA_SUFFIXES
        if not named_tga and not head.startswith(SIGNATURE):  # those are read below, changed so that Pillow can
            with Image.open(path, formats=formats) as image:  # the header; the whole file is read only after it
                require_pixels(image.width, image.height, 1, path.stat().st_size)
        encoded = path.read_bytes()
        readable = without_unreadable_chunks(encoded)
        if named_tga and not head.startswith(SIGNATURE):
            readable = readable_by_pillow(encoded)
        with Image.open(io.BytesIO(readable), formats=formats) as image:
            require_pixels(image.width, image.height, 1, len(encoded))
            yield image, encoded


def decode_samples(image: Image.Image, encoded: bytes, name: str) -> ColourAndAlpha:
    """Decode colour and alpha as stored, with 16 bits where the file has more than 8.

    Args:
        image: the file as `open_image` opened it.
        encoded: the bytes of the file.
        name: the file's name, for warnings.
    """
    if image.format == "TGA":
        return decode_tga(image, encoded)
    if image.format == "AVIF" and _APERTURE in encoded[: encoded.find(b"mdat")]:
        raise ImageError("has a clean aperture, a part of the image that alone is shown, which is not supported")
    try:
        image.load()
    except OSError:
        if image.format not in ("JPEG", "MPO"):
            raise
        image = open_jpeg_without_end(encoded)
    else:
        if image.format in ("JPEG", "MPO"):
            warn_of_damage(encoded, name)
    if image.mode in ("1", "L") and "transparency" in image.info:
        bits = encoded[24] if image.format == "PNG" else 8
        if bits <= 8:
            return grey_with_transparent_value(image, bits)
    if image.format == "BMP" and image.info.get("compression") == _RLE4:
        return decode_rle4_bmp(encoded)
    return decode_high_bit_depth(image, encoded, name) or decode_8_bits(image, name)


def read_orientation(image: Image.Image) -> int:
    """Return the orientation, 1 to 8, of Exif, or of XMP where Exif has none."""
    with contextlib.suppress(Exception):  # an image with a broken Exif block is still restored
        value = image.getexif().get(_ORIENTATION_TAG, 1)
        return int(value) if value in range(1, 9) else 1
    return 1


def _describe_unreadable(path: Path) -> str:
    """Return what a file is that Pillow could not identify."""
    head = b""
    with contextlib.suppress(OSError), path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    for where, signatures, name in _UNREADABLE_FORMATS:
        if head[where] in signatures:
            return f"{name}, which cannot be read; convert it to PNG or TIFF first"
    return "not an image that can be read" if head else "the file is empty"


@contextlib.contextmanager
def pixel_limit() -> Iterator[None]:
    """Set the limit of Pillow's own check, which covers every frame and every place that declares a size.

    Pillow warns above its limit and raises above twice the limit, so it is set to half of ours.
    """
    before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, MAX_PIXELS // 2
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = before


@functools.cache
def silence_libtiff() -> None:
    """Stop Pillow's libtiff from printing to stderr what is raised as well."""
    with contextlib.suppress(ImportError, OSError, AttributeError):  # a Pillow without libtiff prints nothing
        from PIL import _imaging

        library = ctypes.CDLL(_imaging.__file__)  # also finds the symbols of the libraries that it links to
        for name in ("TIFFSetErrorHandler", "TIFFSetWarningHandler"):
            set_handler = getattr(library, name)
            set_handler.argtypes, set_handler.restype = (ctypes.c_void_p,), ctypes.c_void_p
            set_handler(None)
