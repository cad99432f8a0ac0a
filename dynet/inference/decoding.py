"""From the bytes of a picture file to samples: which files are read, and which are refused in one line.

- Only still pictures. Of a TIFF with smaller views of the same picture behind it, and of a phone's JPEG with a second
  view, the first is read; of a Photoshop file the merged picture; a TIFF with pages, an animation are refused.
- No more than MAX_PIXELS by the header, before any memory is taken for them; nor, of a large picture, more than are
  stored in so few bytes by anything but a decompression bomb.
- Only the formats of FORMATS: none that starts another program (EPS), none that any bytes could pass for. TGA has no
  signature, so a file must be called that.
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

from dynet.errors import PictureError, reason_of
from dynet.inference.deep_samples import Decoded, read_deep

logger = logging.getLogger(__name__)

MAX_PIXELS = 250_000_000
_LARGE = 50_000_000
_MOST_PER_BYTE = 200
"""Pixels of a large picture. A photograph has fewer than 50 at any quality, an empty PNG about 350."""
FORMATS = (
    *("JPEG", "PNG", "WEBP", "TIFF", "AVIF", "JPEG2000", "GIF", "BMP", "DIB"),
    *("PPM", "QOI", "PSD", "SGI", "PCX", "DDS", "ICO", "SUN"),
)
"""Pillow's names; its JPEG brings MPO, the JPEG with a second view."""
_TGA = frozenset({".tga", ".icb", ".vda", ".vst"})
_UNREADABLE = (
    (slice(4, 12), (b"ftypheic", b"ftypheix", b"ftyphevc", b"ftypmif1", b"ftypmsf1"), "a HEIC picture"),
    (slice(0, 12), (b"\0\0\0\x0cJXL \r\n\x87\n",), "a JPEG XL picture"),
    (slice(0, 2), (b"\xff\x0a",), "a JPEG XL picture"),
    (slice(0, 5), (b"%PDF-",), "a PDF"),
    (slice(0, 8), (b"FUJIFILM",), "a camera's raw file"),
)
_REDUCED, _SUBFILE, _DNG_VERSION, _ORIENTATION = 1, 254, 50706, 0x0112
_RLE4 = 2


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turns what Pillow and its plugins raise for a file into a PictureError of one line that names it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what matters is raised
            yield
    except PictureError as error:
        raise PictureError(f"{path}: {error}") from error
    except UnidentifiedImageError as error:
        raise PictureError(f"{path}: {_kind(path)}") from error
    except Image.DecompressionBombError as error:
        raise PictureError(f"{path}: has more than {MAX_PIXELS // 10**6} megapixels") from error
    except MemoryError as error:
        raise PictureError(f"{path}: too large for the memory of this machine") from error
    except OSError as error:
        raise PictureError(f"{path}: {error.strerror or reason_of(error)}") from error
    except Exception as error:
        # No narrower: for bad bytes plugins raise SyntaxError, ValueError, struct.error, EOFError and more.
        raise PictureError(f"{path}: cannot be decoded: {reason_of(error)}") from error


@contextlib.contextmanager
def opened(path: Path) -> Iterator[tuple[Image.Image, bytes]]:
    """The still picture in a file, not decoded yet, and the bytes of the file. Raises PictureError for any other."""
    if path.exists() and not path.is_file():
        raise PictureError("is not a file")
    Image.init()  # a list of formats does not load them
    named = (*FORMATS, "TGA") if path.suffix.lower() in _TGA else FORMATS
    formats = [name for name in named if name in Image.OPEN]  # Pillow may be built without some
    _silence_libtiff()
    with _pixel_limit():
        with Image.open(path, formats=formats) as image:  # not until this worked is the whole file read
            pixels, size = image.width * image.height, path.stat().st_size
            if pixels > max(_LARGE, _MOST_PER_BYTE * size):
                raise PictureError(f"says that {pixels // 10**6} megapixels are in its {size} bytes: no photograph")
        encoded = path.read_bytes()
        with Image.open(io.BytesIO(encoded), formats=formats) as image:
            _refuse_what_is_not_one_picture(image, encoded)
            yield image, encoded


def samples_of(image: Image.Image, encoded: bytes, name: str) -> Decoded:
    """Colour and alpha as stored, upright in a TIFF: 16 bits where the file has more than 8; `name` is for warnings."""
    image.load()
    if image.mode in ("1", "L") and "transparency" in image.info:
        bits = encoded[24] if image.format == "PNG" else 8
        if bits <= 8:
            return _grey_with_key(image, bits)
    if image.format == "BMP" and image.info.get("compression") == _RLE4:
        return _run_lengths(encoded)
    return read_deep(image, encoded, name) or _eight_bit(image, name)


def orientation_of(image: Image.Image) -> int:
    """Exif's, 1 to 8, or XMP's where Exif has none; 1 of a TIFF, which both decoders turn upright themselves."""
    if image.format == "TIFF":
        return 1
    with contextlib.suppress(Exception):  # a broken Exif block is no reason to lose the picture
        value = image.getexif().get(_ORIENTATION, 1)
        return int(value) if value in range(1, 9) else 1
    return 1


def _refuse_what_is_not_one_picture(image: Image.Image, encoded: bytes) -> None:
    if image.format == "TIFF":
        tags = getattr(image, "tag_v2", {})
        if encoded[8:10] == b"CR" or _DNG_VERSION in tags or tags.get(_SUBFILE, 0) & _REDUCED:
            raise PictureError("a camera's raw file, or a small view alone; develop it to a plain TIFF first")
    frames = getattr(image, "n_frames", 1)
    if frames == 1 or image.format in ("MPO", "PSD"):
        return
    if image.format != "TIFF":
        raise PictureError(f"has {frames} frames; only still pictures are restored")
    for page in range(1, frames):
        image.seek(page)
        if not getattr(image, "tag_v2", {}).get(_SUBFILE, 0) & _REDUCED:
            raise PictureError(f"has {frames} pages; only single pictures are restored")
    image.seek(0)


def _eight_bit(image: Image.Image, name: str) -> Decoded:
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


def _grey_with_key(image: Image.Image, bits: int) -> Decoded:
    """Grey of 1 to 8 bits, one of whose values stands for transparency; Pillow looks for it among 8-bit values."""
    grey = np.array(image.convert("L"))
    key = int(image.info["transparency"])
    key = 255 * bool(key) if bits == 1 else key * 255 // ((1 << bits) - 1)
    return grey, np.where(grey == key, 0, 255).astype(np.uint8)


def _run_lengths(encoded: bytes) -> Decoded:
    """A BMP of 4-bit run lengths, of which Pillow makes noise."""
    import cv2

    samples = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR)
    if samples is None:
        raise PictureError("run lengths of 4 bits that cannot be decoded")
    return np.ascontiguousarray(samples[..., ::-1]).astype(np.uint8, copy=False), None


def _to_srgb(image: Image.Image, name: str) -> Image.Image:
    srgb = ImageCms.createProfile("sRGB")
    if image.mode == "LAB":
        source = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
    elif profile := image.info.get("icc_profile"):
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        except (OSError, ImageCms.PyCMSError):
            return _without_profile(image, name)
    else:
        return image.convert("RGB")
    try:
        return ImageCms.profileToProfile(image, source, srgb, outputMode="RGB") or _without_profile(image, name)
    except ImageCms.PyCMSError:
        return _without_profile(image, name)


def _without_profile(image: Image.Image, name: str) -> Image.Image:
    logger.warning("%s: its CMYK profile cannot be used; converted to sRGB without it", name)
    return image.convert("RGB")


def _kind(path: Path) -> str:
    head = b""
    with contextlib.suppress(OSError), path.open("rb") as file:
        head = file.read(16)
    for place, signatures, name in _UNREADABLE:
        if head[place] in signatures:
            return f"{name}, which cannot be read; convert it to PNG or TIFF first"
    return "not a picture that can be read" if head else "the file is empty"


@contextlib.contextmanager
def _pixel_limit() -> Iterator[None]:
    """Pillow's own check, of every frame and wherever a size is told, at our limit; it warns at one, raises at two."""
    before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, MAX_PIXELS // 2
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = before


@functools.cache
def _silence_libtiff() -> None:
    """Stops Pillow's libtiff from printing to stderr what is raised as well; where it has none, nothing is printed."""
    with contextlib.suppress(ImportError, OSError, AttributeError):
        from PIL import _imaging

        library = ctypes.CDLL(_imaging.__file__)  # symbols are looked for in what it depends on, too
        for name in ("TIFFSetErrorHandler", "TIFFSetWarningHandler"):
            set_handler = getattr(library, name)
            set_handler.argtypes, set_handler.restype = (ctypes.c_void_p,), ctypes.c_void_p
            set_handler(None)
