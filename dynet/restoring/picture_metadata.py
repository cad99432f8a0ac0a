"""Metadata at the level of bytes, where going through a library would lose some of it."""

import struct
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

from PIL import Image

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CARRIED = {b"iCCP", b"sRGB", b"gAMA", b"cHRM", b"cICP", b"pHYs", b"eXIf", b"tEXt", b"zTXt", b"iTXt", b"tIME"}
_ORIENTATION = 0x0112
# Description, make, model, software, date, artist, copyright.
_DESCRIBING = (0x010E, 0x010F, 0x0110, 0x0131, 0x0132, 0x013B, 0x8298)


def exif_upright(exif: bytes) -> bytes:
    """The same Exif block, byte for byte, but for an orientation of 1 where it has another."""
    start = 6 if exif.startswith(b"Exif\0\0") else 0
    order = {b"II": "<", b"MM": ">"}.get(exif[start : start + 2])
    if order is None or len(exif) < start + 8:
        return exif
    (directory,) = struct.unpack_from(f"{order}I", exif, start + 4)
    position = start + directory
    if position + 2 > len(exif):
        return exif
    (entries,) = struct.unpack_from(f"{order}H", exif, position)
    changed = bytearray(exif)
    for entry in range(position + 2, min(position + 2 + 12 * entries, len(exif) - 11), 12):
        if struct.unpack_from(f"{order}H", exif, entry)[0] == _ORIENTATION:
            struct.pack_into(f"{order}H", changed, entry + 8, 1)
    return bytes(changed)


def tiff_exif(image: Image.Image) -> bytes:
    """What a TIFF's own tags say of its picture, as an Exif block; how it is stored is left out.

    So are its Exif and GPS directories, which Pillow cannot write into a compressed TIFF.
    """
    tags = image.getexif()
    described = Image.Exif()
    for tag in _DESCRIBING:
        if tag in tags:
            described[tag] = tags[tag]
    return described.tobytes() if described else b""


def png_bit_depth(encoded: bytes) -> int:
    """Bits per sample of a PNG file."""
    return encoded[24]


def carried_png_chunks(encoded: bytes) -> bytes:
    """The chunks of a PNG file that say something about the picture and are not its pixels, ready to insert."""
    kept = []
    for kind, body in _chunks(encoded):
        if kind in _CARRIED:
            kept.append(_chunk(kind, exif_upright(body) if kind == b"eXIf" else body))
    return b"".join(kept)


def insert_png_chunks(encoded: bytes, chunks: bytes, carried: Mapping[str, Any]) -> bytes:
    """A PNG file with these chunks before its pixels, or, without any, profile and Exif as Pillow names them."""
    if not chunks and (profile := carried.get("icc_profile")):
        chunks += _chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(profile))
    if b"eXIf" not in chunks and (exif := carried.get("exif")):
        chunks += _chunk(b"eXIf", exif.removeprefix(b"Exif\0\0"))
    header = len(_SIGNATURE) + 25  # IHDR always has 13 bytes of body
    return encoded[:header] + chunks + encoded[header:]


def _chunks(encoded: bytes) -> Iterator[tuple[bytes, bytes]]:
    position = len(_SIGNATURE)
    while position + 12 <= len(encoded):
        length, kind = struct.unpack_from(">I4s", encoded, position)
        yield kind, encoded[position + 8 : position + 8 + length]
        position += 12 + length


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
