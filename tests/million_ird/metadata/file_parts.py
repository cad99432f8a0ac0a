"""Parts of the secret files: a secret, the blocks that hide it, and the building blocks of the formats."""

import io
import struct
import zlib
from functools import cache
from typing import NamedTuple

from PIL import Image, ImageCms

from tests.million_ird import scenes

SECRET = b"Jane Doe, 12 Elm Street"
TEXT = SECRET.decode()


class SecretFile(NamedTuple):
    """An image file with a secret in its metadata."""

    format: str
    encoded: bytes
    names: tuple[str, ...]
    """What `list_private` has to report at least."""


def exif(orientation: int = 6) -> Image.Exif:
    """Return an EXIF block with a camera, a place and an orientation."""
    block = Image.Exif()
    block[0x010F], block[0x0112], block[0x013B] = TEXT, orientation, TEXT
    block.get_ifd(0x8825)[1], block.get_ifd(0x8825)[2] = "N", (52.0, 31.0, 12.0)
    block.get_ifd(0x8769)[0x9286] = SECRET
    return block


def xmp(orientation: int | None = None) -> bytes:
    """Return an XMP packet with a creator."""
    attribute = f' tiff:Orientation="{orientation}"' if orientation else ""
    return f"<x:xmpmeta><rdf:Description{attribute}>{TEXT}</rdf:Description></x:xmpmeta>".encode()


def saved(format: str, mode: str = "RGB", size: tuple[int, int] = (40, 30), **options: object) -> bytes:
    """Return a photograph, encoded by Pillow."""
    buffer = io.BytesIO()
    image = scenes.photograph(3, *size)
    (image if mode == "RGB" else image.convert(mode)).save(buffer, format, **options)
    return buffer.getvalue()


def segment(marker: int, payload: bytes) -> bytes:
    """Return a JPEG segment."""
    return bytes([0xFF, marker]) + struct.pack(">H", len(payload) + 2) + payload


def chunk(kind: bytes, payload: bytes) -> bytes:
    """Return a PNG chunk."""
    return struct.pack(">I", len(payload)) + kind + payload + struct.pack(">I", zlib.crc32(kind + payload))


def box(kind: bytes, payload: bytes) -> bytes:
    """Return a box of the ISO base media file format."""
    return struct.pack(">I", 8 + len(payload)) + kind + payload


@cache
def profile() -> bytes:
    """Return an sRGB colour profile."""
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
