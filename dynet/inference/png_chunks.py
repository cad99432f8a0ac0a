"""The chunks of a PNG file that say something about its picture: taken from one file, put into another."""

import struct
import zlib
from collections.abc import Iterator

from dynet.inference.image_metadata import XMP_KEYWORD, Carried, xmp_upright

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_COLOUR_AND_MORE = {b"iCCP", b"sRGB", b"gAMA", b"cHRM", b"cICP", b"mDCV", b"cLLI", b"pHYs", b"tEXt", b"zTXt", b"tIME"}
_EXIF_AS_TEXT = (b"Raw profile type exif\0", b"Raw profile type APP1\0")
"""Exif blocks as ImageMagick once wrote them; they become a chunk of their own, whose orientation can be set."""
_MOST_TEXT = 1 << 24
_INCH = 0.0254
"""In metres, which is what PNG counts resolution by."""


def carried_png_chunks(encoded: bytes) -> bytes:
    """The chunks of a PNG file that say something about the picture and are not its pixels, ready to insert.

    Exif and XMP say that the picture stands upright.
    """
    kept = []
    for kind, body in _chunks(encoded):
        if kind == b"iTXt":
            kept.append(png_chunk(kind, _upright_text(body)))
        elif kind in _COLOUR_AND_MORE and not body.startswith(_EXIF_AS_TEXT):
            kept.append(png_chunk(kind, body))
    return b"".join(kept)


def chunks_of(carried: Carried, from_png: bytes) -> bytes:
    """What is carried as chunks: those that a PNG had, and those made of what other formats had."""
    chunks = from_png
    if not chunks:
        if "icc_profile" in carried:
            chunks += png_chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(carried["icc_profile"]))
        if "cicp" in carried:
            chunks += png_chunk(b"cICP", carried["cicp"])
        if "dpi" in carried:
            across, down = (round(dots / _INCH) for dots in carried["dpi"])
            chunks += png_chunk(b"pHYs", struct.pack(">IIB", across, down, 1))
        if "xmp" in carried:
            chunks += png_chunk(b"iTXt", XMP_KEYWORD + b"\0\0\0\0\0" + carried["xmp"])
        for keyword, text in carried.get("texts", {}).items():
            chunks += png_chunk(b"iTXt", keyword.encode("latin-1") + b"\0\0\0\0\0" + text.encode("utf-8", "replace"))
    if "exif" in carried:
        chunks += png_chunk(b"eXIf", carried["exif"].removeprefix(b"Exif\0\0"))
    return chunks


def insert_png_chunks(encoded: bytes, chunks: bytes) -> bytes:
    """A PNG file with these chunks before its pixels."""
    header = len(SIGNATURE) + 25  # IHDR always has 13 bytes of body
    return encoded[:header] + chunks + encoded[header:]


def png_chunk(kind: bytes, body: bytes) -> bytes:
    """A chunk with its length and checksum."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _chunks(encoded: bytes) -> Iterator[tuple[bytes, bytes]]:
    position = len(SIGNATURE)
    while position + 12 <= len(encoded):
        length, kind = struct.unpack_from(">I4s", encoded, position)
        yield kind, encoded[position + 8 : position + 8 + length]
        position += 12 + length


def _upright_text(body: bytes) -> bytes:
    """The body of an iTXt chunk, unchanged unless it is XMP that says how the picture is turned."""
    keyword, _, rest = body.partition(b"\0")
    if keyword != XMP_KEYWORD or len(rest) < 2:
        return body
    compressed = rest[0] == 1
    language, _, rest = rest[2:].partition(b"\0")
    translated, _, text = rest.partition(b"\0")
    if compressed:
        try:
            text = zlib.decompressobj().decompress(text, _MOST_TEXT)
        except zlib.error:
            return body
    upright = xmp_upright(text)
    return body if upright == text else keyword + b"\0\0\0" + language + b"\0" + translated + b"\0" + upright
