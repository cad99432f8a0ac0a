"""What the carriers are made of: a secret, the blocks that hide it, and the pieces of the formats."""

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
    """A picture with a secret."""

    format: str
    encoded: bytes
    names: tuple[str, ...]
    """What `list_private` has to tell at least."""


def exif(orientation: int = 6) -> Image.Exif:
    """An EXIF block with a camera, a place and an orientation."""
    block = Image.Exif()
    block[0x010F], block[0x0112], block[0x013B] = TEXT, orientation, TEXT
    block.get_ifd(0x8825)[1], block.get_ifd(0x8825)[2] = "N", (52.0, 31.0, 12.0)
    block.get_ifd(0x8769)[0x9286] = SECRET
    return block


def xmp(orientation: int | None = None) -> bytes:
    """An XMP packet with a creator."""
    turned = f' tiff:Orientation="{orientation}"' if orientation else ""
    return f"<x:xmpmeta><rdf:Description{turned}>{TEXT}</rdf:Description></x:xmpmeta>".encode()


def saved(format: str, mode: str = "RGB", size: tuple[int, int] = (40, 30), **options: object) -> bytes:
    """A photograph, encoded by Pillow."""
    buffer = io.BytesIO()
    picture = scenes.photograph(3, *size)
    (picture if mode == "RGB" else picture.convert(mode)).save(buffer, format, **options)
    return buffer.getvalue()


def segment(marker: int, payload: bytes) -> bytes:
    """A JPEG segment."""
    return bytes([0xFF, marker]) + struct.pack(">H", len(payload) + 2) + payload


def chunk(kind: bytes, payload: bytes) -> bytes:
    """A PNG chunk."""
    return struct.pack(">I", len(payload)) + kind + payload + struct.pack(">I", zlib.crc32(kind + payload))


def box(kind: bytes, payload: bytes) -> bytes:
    """A box of ISO base media."""
    return struct.pack(">I", 8 + len(payload)) + kind + payload


@cache
def profile() -> bytes:
    """A colour profile."""
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
