"""Format, size and colour layout of an encoded image, read without decoding its pixels."""

import contextlib
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

from PIL import Image, UnidentifiedImageError

from million_ird.errors import ReadError, one_line
from million_ird.images.colour_rules import ColourLayout, require_rule
from million_ird.images.damage import naming_damage
from million_ird.images.opened_image import OpenedImage, open_image
from million_ird.images.pillow_settings import decoding
from million_ird.images.signatures import format_by_signature
from million_ird.schema import MAX_PIXELS

ORIENTATION_TAG = 0x0112
_CAMERA_TAGS = (0x010F, 0x0110)
"""Make and Model."""

_DECODED_EARLY = frozenset({"WEBP", "AVIF"})
"""Formats whose decoders look at the pixels before they say how large the image is."""
_SIDEWAYS = frozenset({5, 6, 7, 8})
_PNG_ORIENTATION = (b"eXIf", b"Raw profile type", b"XML:com.adobe.xmp")
"""The chunks of a PNG in which Pillow finds an orientation."""
_ICC = {"icc": "converted", "gamma": "converted", "cicp": "converted", "srgb": "srgb", "broken": "broken"}
_ICC |= dict.fromkeys(("none", "hdr", "unknown"), "none")


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
    """Bits per channel as stored: 1, 8 (for fewer than that, too), 10, 12, 14, 16, 32 or 64."""
    orientation: int
    """EXIF orientation 1–8; 1 where absent or broken."""
    frames: int
    icc: str
    """`none`, `srgb`, `converted` or `broken`: what is done about the file's profile, code points or gamma."""
    alpha: bool
    layout: ColourLayout
    """How the colours are stored; `colour_rules.py` says what is done about it."""
    camera: bool
    """Whether the file's EXIF names the maker or the model of a camera."""
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
    name = format_by_signature(encoded)
    with naming_damage(encoded, name if name in _DECODED_EARLY else None), as_read_error():
        opened = open_image(encoded, max_pixels)
        require_rule(opened.layout)
        width, height = opened.size
        orientation = _orientation(opened)
        if orientation in _SIDEWAYS:
            width, height = height, width
        return ImageHeader(
            format=opened.format,
            width=width,
            height=height,
            mode=opened.mode,
            bits=1 if opened.mode == "1" else max(8, opened.layout.bits),
            orientation=orientation,
            frames=opened.frames,
            icc=_ICC[opened.layout.space],
            alpha=opened.layout.alpha != "none",
            layout=opened.layout,
            camera=_names_a_camera(opened),
            quantisation=_quantisation(opened.image),
        )


@contextlib.contextmanager
def as_read_error() -> Iterator[None]:
    """Turn any error that a decoder raises on broken bytes into one `ReadError`; Pillow has this package's settings."""
    try:
        with decoding(), warnings.catch_warnings():
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
        if text.startswith(("Unsupported", "unsupported")):
            raise ReadError("unsupported", text) from error
        short = "truncated" in text.lower() or isinstance(error, EOFError)
        raise ReadError("truncated" if short else "undecodable", text) from error


def _quantisation(image: Image.Image | None) -> tuple[tuple[int, ...], ...] | None:
    tables: dict[int, list[int]] = getattr(image, "quantization", {})
    if not tables:
        return None
    # The numbers of tables are names: what is luma's is the one that the first component of the frame names.
    layers: list[tuple[int, int, int, int]] = getattr(image, "layer", [])
    luma = layers[0][3] if layers else min(tables)
    return tuple(tuple(tables[number]) for number in sorted(tables, key=lambda number: (number != luma, number)))


def read_orientation(image: Image.Image) -> int:
    """Return the EXIF orientation 1–8 that Pillow has not applied yet; 1 where absent or broken."""
    with contextlib.suppress(Exception):  # a broken EXIF block is no reason to lose the image
        value = image.getexif().get(ORIENTATION_TAG, 1)
        if value in range(1, 9):
            return int(value)
    return 1


def _orientation(opened: OpenedImage) -> int:
    if opened.orientation is not None:
        return opened.orientation
    return read_orientation(opened.image) if opened.image is not None and _may_have_exif(opened) else 1


def _names_a_camera(opened: OpenedImage) -> bool:
    with contextlib.suppress(Exception):  # a broken EXIF block is no reason to lose the image
        if opened.image is not None and _may_have_exif(opened):
            exif = opened.image.getexif()
            return any(isinstance(exif.get(tag), str) and exif[tag].strip(" \0") for tag in _CAMERA_TAGS)
    return False


def _may_have_exif(opened: OpenedImage) -> bool:
    """Return False for a PNG without a chunk for it: Pillow would decode the whole image to look behind its pixels."""
    is_png = opened.image is not None and opened.image.format == "PNG"
    return not is_png or any(chunk in opened.encoded for chunk in _PNG_ORIENTATION)
