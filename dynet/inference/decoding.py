"""Decoding an image file to samples: which files are read, and which are refused with a message of one line.

- Only still images. A TIFF with smaller versions of the same image after it, and a phone's JPEG with a second view, are
  read as their first image; a Photoshop file as its merged image. A TIFF with several pages and an animation are
  refused.
- At most MAX_PIXELS by the header, before memory is allocated for them. A large image is also refused if its file is so
  small for its pixels that it can only be a decompression bomb.
- Only the formats of FORMATS: none that starts another program (EPS), none without a signature. TGA has no signature,
  so its file must have a suffix of TGA.
"""

import contextlib
import ctypes
import functools
import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, UnidentifiedImageError

from dynet.errors import ImageError, reason_of
from dynet.inference.high_bit_depth import ColourAndAlpha, decode_high_bit_depth

logger = logging.getLogger(__name__)

MAX_PIXELS = 250_000_000
_LARGE = 50_000_000
_MAX_PIXELS_PER_BYTE = 200
"""The limit for large images. A photograph has fewer than 50 at any quality, an empty PNG about 350."""
FORMATS = (
    *("JPEG", "PNG", "WEBP", "TIFF", "AVIF", "JPEG2000", "GIF", "BMP", "DIB"),
    *("PPM", "QOI", "PSD", "SGI", "PCX", "DDS", "ICO", "SUN"),
)
"""Pillow's names; its JPEG includes MPO, the JPEG with a second view."""
_TGA_SUFFIXES = frozenset({".tga", ".icb", ".vda", ".vst"})
_UNREADABLE_FORMATS = (
    (slice(4, 12), (b"ftypheic", b"ftypheix", b"ftyphevc", b"ftypmif1", b"ftypmsf1"), "a HEIC image"),
    (slice(0, 12), (b"\0\0\0\x0cJXL \r\n\x87\n",), "a JPEG XL image"),
    (slice(0, 2), (b"\xff\x0a",), "a JPEG XL image"),
    (slice(0, 5), (b"%PDF-",), "a PDF"),
    (slice(0, 8), (b"FUJIFILM",), "a camera raw file"),
)
_REDUCED_IMAGE = 1
_SUBFILE_TAG, _DNG_VERSION_TAG, _ORIENTATION_TAG = 254, 50706, 0x0112
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


@contextlib.contextmanager
def open_image(path: Path) -> Iterator[tuple[Image.Image, bytes]]:
    """Open the still image of a file without decoding it, as Pillow's image and the bytes of the file.

    Raises:
        ImageError: the file is not a regular file, too large, or not a still image that is read here.
    """
    if path.exists() and not path.is_file():
        raise ImageError("is not a file")
    Image.init()  # registers all formats; naming them below does not
    names = (*FORMATS, "TGA") if path.suffix.lower() in _TGA_SUFFIXES else FORMATS
    formats = [name for name in names if name in Image.OPEN]  # Pillow may be built without some
    _silence_libtiff()
    with _pixel_limit():
        with Image.open(path, formats=formats) as image:  # reads the header; the whole file is read only after it
            pixels, size = image.width * image.height, path.stat().st_size
            if pixels > max(_LARGE, _MAX_PIXELS_PER_BYTE * size):
                raise ImageError(f"declares {pixels // 10**6} megapixels in a file of {size} bytes; not a photograph")
        encoded = path.read_bytes()
        with Image.open(io.BytesIO(encoded), formats=formats) as image:
            _require_single_image(image, encoded)
            yield image, encoded


def decode_samples(image: Image.Image, encoded: bytes, name: str) -> ColourAndAlpha:
    """Decode colour and alpha as stored, but upright for a TIFF, with 16 bits where the file has more than 8.

    Args:
        image: the file as `open_image` opened it.
        encoded: the bytes of the file.
        name: the file's name, for warnings.
    """
    image.load()
    if image.mode in ("1", "L") and "transparency" in image.info:
        bits = encoded[24] if image.format == "PNG" else 8
        if bits <= 8:
            return _grey_with_transparent_value(image, bits)
    if image.format == "BMP" and image.info.get("compression") == _RLE4:
        return _decode_rle4_bmp(encoded)
    return decode_high_bit_depth(image, encoded, name) or _decode_8_bits(image, name)


def read_orientation(image: Image.Image) -> int:
    """Return the orientation, 1 to 8, of Exif, or of XMP where Exif has none.

    It is 1 for a TIFF, which both decoders already turn upright.
    """
    if image.format == "TIFF":
        return 1
    with contextlib.suppress(Exception):  # an image with a broken Exif block is still restored
        value = image.getexif().get(_ORIENTATION_TAG, 1)
        return int(value) if value in range(1, 9) else 1
    return 1


def _require_single_image(image: Image.Image, encoded: bytes) -> None:
    if image.format == "TIFF":
        tags = getattr(image, "tag_v2", {})
        if encoded[8:10] == b"CR" or _DNG_VERSION_TAG in tags or tags.get(_SUBFILE_TAG, 0) & _REDUCED_IMAGE:
            raise ImageError("a camera raw file, or only a reduced version of an image; develop it to a TIFF first")
    frames = getattr(image, "n_frames", 1)
    if frames == 1 or image.format in ("MPO", "PSD"):
        return
    if image.format != "TIFF":
        raise ImageError(f"has {frames} frames; only still images are restored")
    for page in range(1, frames):
        image.seek(page)
        if not getattr(image, "tag_v2", {}).get(_SUBFILE_TAG, 0) & _REDUCED_IMAGE:
            raise ImageError(f"has {frames} pages; only files with one image are restored")
    image.seek(0)


def _decode_8_bits(image: Image.Image, name: str) -> ColourAndAlpha:
    transparent = image.mode in ("PA", "RGBa", "La") or "transparency" in image.info
    if image.mode in ("CMYK", "LAB"):
        image = _to_srgb(image, name)
    elif image.mode in ("1", "La"):
        image = image.convert("LA" if transparent else "L")
    elif image.mode not in ("L", "LA", "RGB", "RGBA") or transparent:
        image = image.convert("RGBA" if transparent else "RGB")
    samples = np.array(image)
    if samples.ndim == 2:
        return samples, None
    alpha = samples[..., -1] if image.mode.endswith("A") else None
    return (samples[..., 0] if image.mode == "LA" else samples[..., :3]), alpha


def _grey_with_transparent_value(image: Image.Image, bits: int) -> ColourAndAlpha:
    """Decode grey of 1 to 8 bits in which one value means transparent; Pillow looks for it among 8-bit values."""
    grey = np.array(image.convert("L"))
    value = int(image.info["transparency"])
    value = 255 * bool(value) if bits == 1 else value * 255 // ((1 << bits) - 1)
    return grey, np.where(grey == value, 0, 255).astype(np.uint8)


def _decode_rle4_bmp(encoded: bytes) -> ColourAndAlpha:
    """Decode a BMP with 4-bit run-length encoding, which Pillow decodes to noise."""
    import cv2

    samples = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR)
    if samples is None:
        raise ImageError("its 4-bit run-length encoding cannot be decoded")
    return np.ascontiguousarray(samples[..., ::-1]).astype(np.uint8, copy=False), None


def _to_srgb(image: Image.Image, name: str) -> Image.Image:
    srgb = ImageCms.createProfile("sRGB")
    if image.mode == "LAB":
        source = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
    elif profile := image.info.get("icc_profile"):
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        except (OSError, ImageCms.PyCMSError):
            return _to_srgb_without_profile(image, name)
    else:
        return image.convert("RGB")
    try:
        return ImageCms.profileToProfile(image, source, srgb, outputMode="RGB") or _to_srgb_without_profile(image, name)
    except ImageCms.PyCMSError:
        return _to_srgb_without_profile(image, name)


def _to_srgb_without_profile(image: Image.Image, name: str) -> Image.Image:
    logger.warning("%s: its CMYK profile cannot be used; converted to sRGB without it", name)
    return image.convert("RGB")


def _describe_unreadable(path: Path) -> str:
    """Return what a file is that Pillow could not identify."""
    head = b""
    with contextlib.suppress(OSError), path.open("rb") as file:
        head = file.read(16)
    for where, signatures, name in _UNREADABLE_FORMATS:
        if head[where] in signatures:
            return f"{name}, which cannot be read; convert it to PNG or TIFF first"
    return "not an image that can be read" if head else "the file is empty"


@contextlib.contextmanager
def _pixel_limit() -> Iterator[None]:
    """Set the limit of Pillow's own check, which covers every frame and every place that declares a size.

    Pillow warns above its limit and raises above twice the limit, so it is set to half of ours.
    """
    before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, MAX_PIXELS // 2
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = before


@functools.cache
def _silence_libtiff() -> None:
    """Stop Pillow's libtiff from printing to stderr what is raised as well."""
    with contextlib.suppress(ImportError, OSError, AttributeError):  # a Pillow without libtiff prints nothing
        from PIL import _imaging

        library = ctypes.CDLL(_imaging.__file__)  # also finds the symbols of the libraries that it links to
        for name in ("TIFFSetErrorHandler", "TIFFSetWarningHandler"):
            set_handler = getattr(library, name)
            set_handler.argtypes, set_handler.restype = (ctypes.c_void_p,), ctypes.c_void_p
            set_handler(None)
