"""The only place that decodes and encodes pictures.

How a picture becomes pixels for measuring and for patches (the stored original is never touched):

- upright: the EXIF orientation is applied; `Header.width` and `height` are as displayed
- colour: an embedded ICC profile is converted to sRGB (perceptual) unless its description says sRGB; a broken
  profile is ignored and said so in `Header.icc`; grey is repeated on three channels; CMYK without a profile
  by Pillow's formula; a palette is resolved
- depth: 16 bits become 8 by rounding v·255/65535; float and 32-bit integer pictures are refused
- alpha: laid over white
- animations: the first frame; `Header.frames` says how many there are
- size: more than `max_pixels` is refused before anything is allocated; a picture that decodes to another size than
  its header says is refused
- formats: those of `FORMATS`; all else is `not_an_image`, so that no text or icon passes for one and no plugin that
  starts another program (EPS) sees a stranger's bytes
"""

import contextlib
import io
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, UnidentifiedImageError

from million_ird.errors import ReadError, one_line
from million_ird.images.colour import DEEP_MODES, eight_bits, icc_kind, to_srgb

MAX_PIXELS = 250_000_000
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
"""Pillow's names, in the order of trying: TGA has no signature, so it comes last."""
THUMBNAIL_SIDE = 256
_BAND = 512
ORIENTATION_TAG = 0x0112
# Pillow's own bomb check warns at one size and raises at twice that; ours decides before it is asked.
Image.MAX_IMAGE_PIXELS = None
Image.init()  # registers all formats; with an explicit list `Image.open` does not
ImageFile.LOAD_TRUNCATED_IMAGES = False

_SIDEWAYS = frozenset({5, 6, 7, 8})
_PNG_ORIENTATION = (b"eXIf", b"Raw profile type", b"XML:com.adobe.xmp")
"""The chunks of a PNG in which Pillow finds an orientation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What a picture says of itself before its pixels are decoded."""

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


@contextlib.contextmanager
def _reading() -> Iterator[None]:
    """Turns whatever a decoder throws at broken bytes into one `ReadError`."""
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


def read_header(encoded: bytes, *, max_pixels: int = MAX_PIXELS) -> Header:
    """Reads format, size and colour layout without decoding.

    Raises:
        ReadError: `empty`, `not_an_image`, `too_large`, `unsupported`, `truncated` or `undecodable`.
    """
    if not encoded:
        raise ReadError("empty", "0 bytes")
    with _reading(), _opened(encoded) as picture:
        width, height = _stored_size(picture)
        if width * height > max_pixels:
            raise ReadError("too_large", f"{width}×{height} is over {max_pixels:,} pixels")
        if picture.mode in {"F", "I"}:
            raise ReadError("unsupported", f"{picture.mode} pictures have no fixed white")
        bits = _bits(encoded, picture)
        if misread := _misread(picture, bits):
            raise ReadError("unsupported", misread)
        orientation = _orientation(picture) if _may_be_turned(encoded, picture) else 1
        if orientation in _SIDEWAYS:
            width, height = height, width
        tables: dict[int, list[int]] | None = getattr(picture, "quantization", None)
        return Header(
            format=picture.format or "unknown",
            width=width,
            height=height,
            mode=picture.mode,
            bits=bits,
            orientation=orientation,
            frames=int(getattr(picture, "n_frames", 1)),
            icc=icc_kind(picture),
            alpha=picture.mode in {"RGBA", "LA", "PA", "RGBa", "La"} or "transparency" in picture.info,
            quantisation=tuple(tuple(tables[k]) for k in sorted(tables)) if tables else None,
        )


def decode(encoded: bytes, header: Header) -> NDArray[np.uint8]:
    """Decodes to (H, W, 3) uint8 sRGB by the rules at the top of this file.

    Raises:
        ReadError: `truncated`, `undecodable`, `not_an_image` or `too_large`.
    """
    with _reading(), _opened(encoded) as picture:
        pixels = _to_array(picture, header, encoded)
    if pixels.shape != (header.height, header.width, 3):
        found = f"{pixels.shape[1]}×{pixels.shape[0]}"
        raise ReadError("undecodable", f"decodes to {found}, its header says {header.width}×{header.height}")
    return pixels


def decode_thumbnail(encoded: bytes, header: Header, side: int = THUMBNAIL_SIDE) -> NDArray[np.uint8]:
    """Decodes to (h, w, 3) uint8 sRGB with the longest side at most `side`.

    A JPEG is shrunk while it is decoded (libjpeg's 1/2, 1/4, 1/8), to no less than twice `side`; the rest is
    decoded whole.

    Raises:
        ReadError: as `decode`.
    """
    with _reading(), _opened(encoded) as picture:
        if header.format in {"JPEG", "MPO"}:
            scale = min(1.0, 2 * side / max(picture.size))
            picture.draft(None, (max(1, int(picture.width * scale)), max(1, int(picture.height * scale))))
        return shrink(_to_array(picture, header, encoded), side)


def shrink(pixels: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Shrinks (H, W, 3) uint8 by area averaging until the longest side is at most `side`; never enlarges."""
    height, width = pixels.shape[:2]
    scale = side / max(height, width)
    if scale >= 1:
        return pixels
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small: NDArray[np.uint8] = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
    return small


def encode_png(pixels: NDArray[np.uint8]) -> bytes:
    """Encodes (H, W, 3) uint8 RGB as PNG, without loss and without metadata."""
    return _encoded(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 4])


def encode_webp(pixels: NDArray[np.uint8]) -> bytes:
    """Encodes (H, W, 3) uint8 RGB as lossless WebP, without metadata."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "WEBP", lossless=True, quality=0, method=0)
    return buffer.getvalue()


def encode_jpeg(pixels: NDArray[np.uint8], quality: int) -> bytes:
    """Encodes (H, W, 3) uint8 RGB as JPEG: for thumbnails in the report, never for data."""
    return _encoded(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_OPTIMIZE, 1])


def _encoded(suffix: str, pixels: NDArray[np.uint8], options: list[int]) -> bytes:
    done, buffer = cv2.imencode(suffix, cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), options)
    if not done:
        raise ValueError(f"OpenCV did not encode {pixels.shape} as {suffix}")
    return bytes(buffer)


def _opened(encoded: bytes) -> Image.Image:
    return Image.open(io.BytesIO(encoded), formats=FORMATS)


def _stored_size(picture: Image.Image) -> tuple[int, int]:
    """Width and height before the orientation is applied, which Pillow does by itself for a TIFF."""
    if picture.format == "TIFF":
        tags = getattr(picture, "tag_v2", {})
        return int(tags[256]), int(tags[257])
    return picture.size


def _may_be_turned(encoded: bytes, picture: Image.Image) -> bool:
    """Spares most PNGs the question, for which Pillow decodes them whole."""
    return picture.format != "PNG" or any(mark in encoded for mark in _PNG_ORIENTATION)


def _orientation(picture: Image.Image) -> int:
    with contextlib.suppress(Exception):  # a broken EXIF block is no reason to lose the picture
        value = picture.getexif().get(ORIENTATION_TAG, 1)
        if value in range(1, 9):
            return int(value)
    return 1


def _bits(encoded: bytes, picture: Image.Image) -> int:
    if picture.mode in DEEP_MODES:
        return 16
    if picture.mode == "1":
        return 1
    if picture.format == "PNG" and encoded[12:16] == b"IHDR":
        # Pillow hides the depth of a 16-bit colour PNG behind mode RGB.
        return 16 if encoded[24] == 16 else 8
    if picture.format == "TIFF":
        return 16 if 16 in np.atleast_1d(getattr(picture, "tag_v2", {}).get(258, 8)) else 8
    return 8


def _deep(encoded: bytes, header: Header) -> Image.Image | None:
    """A colour picture of 16 bits, which Pillow would cut to 8, as RGB or RGBA; None where OpenCV sees another depth.

    A TIFF comes out upright, a PNG as stored: just as Pillow's `load` leaves them.
    """
    if header.bits != 16 or header.format not in {"PNG", "TIFF"} or header.mode not in {"RGB", "RGBA"}:
        return None
    raw = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_UNCHANGED)
    if raw is None or raw.dtype != np.uint16 or raw.ndim != 3:
        return None
    eight = eight_bits(np.asarray(raw))
    covered = header.alpha and eight.shape[2] == 4
    return Image.fromarray(np.ascontiguousarray(eight[..., [2, 1, 0, 3] if covered else [2, 1, 0]]))


def _misread(picture: Image.Image, bits: int) -> str | None:
    """What decoders make noise of, without a word, in words; None for all else."""
    if picture.format == "BMP" and picture.info.get("compression") == 2:
        return "a BMP in run lengths of 4 bits"
    # Pillow reads bytes for samples, and OpenCV returns what happens to be in memory.
    if picture.format == "TIFF" and bits == 16 and getattr(picture, "tag_v2", {}).get(284, 1) == 2:
        return "a TIFF of 16 bits whose channels lie in planes"
    return None


_TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def _to_array(picture: Image.Image, header: Header, encoded: bytes) -> NDArray[np.uint8]:
    picture.load()  # also of a deep picture: OpenCV takes a truncated file for whole
    orientation = _orientation(picture)  # what Pillow has not applied yet
    profile = picture.info.get("icc_profile") if header.icc == "converted" else None
    colour = to_srgb(_deep(encoded, header) or picture, alpha=header.alpha, profile=profile)
    return _upright(colour, orientation)


def _upright(picture: Image.Image, orientation: int) -> NDArray[np.uint8]:
    if orientation in _TRANSPOSE:
        picture = picture.transpose(_TRANSPOSE[orientation])
    width, height = picture.size
    pixels = np.empty((height, width, 3), np.uint8)
    # Pillow hands over a whole picture by way of two copies; in bands, the copies are of a band.
    for top in range(0, height, _BAND):
        bottom = min(top + _BAND, height)
        pixels[top:bottom] = np.asarray(picture.crop((0, top, width, bottom)), np.uint8)
    return pixels
