"""Chunks of a PNG file that describe its image: read from the input, inserted into the result."""

import struct
import zlib
from collections.abc import Iterator

from dynet.inference.image_metadata import XMP_KEYWORD, ImageMetadata, make_xmp_upright

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_COPIED_CHUNKS = {b"iCCP", b"sRGB", b"gAMA", b"cHRM", b"cICP", b"mDCV", b"cLLI", b"pHYs", b"tEXt", b"zTXt", b"tIME"}
_EXIF_AS_TEXT = (b"Raw profile type exif\0", b"Raw profile type APP1\0")
"""Exif as old versions of ImageMagick wrote it; it becomes an eXIf chunk, whose orientation can be corrected."""
_MAX_TEXT_BYTES = 1 << 24
_TEXTS = (b"tEXt", b"zTXt", b"iTXt")
_LONG_TEXT = 1 << 20
"""The longest text that Pillow decompresses."""
_INCH = 0.0254
"""In metres, PNG's unit of resolution."""


def read_descriptive_chunks(encoded: bytes) -> bytes:
    """Return the chunks of a PNG file that describe the image, in the form in which they are inserted.

    Exif is not among them (`metadata_chunks` adds it), and XMP states that the image is upright.
    """
    kept = []
    for kind, body in iter_chunks(encoded):
        if kind == b"iTXt":
            kept.append(png_chunk(kind, _make_text_upright(body)))
        elif kind in _COPIED_CHUNKS and not body.startswith(_EXIF_AS_TEXT):
            kept.append(png_chunk(kind, body))
    return b"".join(kept)


def metadata_chunks(metadata: ImageMetadata, from_png: bytes) -> bytes:
    """Return metadata as PNG chunks.

    Args:
        metadata: the metadata of the input; Exif comes from here for any input.
        from_png: the chunks of an input that is a PNG; they replace all other metadata.
    """
    chunks = from_png
    if not chunks:
        if "icc_profile" in metadata:
            chunks += png_chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(metadata["icc_profile"]))
        if "cicp" in metadata:
            chunks += png_chunk(b"cICP", metadata["cicp"])
        if "dpi" in metadata:
            horizontal, vertical = (round(dots / _INCH) for dots in metadata["dpi"])
            chunks += png_chunk(b"pHYs", struct.pack(">IIB", horizontal, vertical, 1))
        if "xmp" in metadata:
            chunks += png_chunk(b"iTXt", XMP_KEYWORD + b"\0\0\0\0\0" + metadata["xmp"])
        for keyword, text in metadata.get("texts", {}).items():
            chunks += png_chunk(b"iTXt", keyword.encode("latin-1") + b"\0\0\0\0\0" + text.encode("utf-8", "replace"))
    if "exif" in metadata:
        chunks += png_chunk(b"eXIf", metadata["exif"].removeprefix(b"Exif\0\0"))
    return chunks


def insert_png_chunks(encoded: bytes, chunks: bytes) -> bytes:
    """Return a PNG file with these chunks inserted before its pixels."""
    header = len(SIGNATURE) + 25  # the body of IHDR always has 13 bytes
    return encoded[:header] + chunks + encoded[header:]


def iter_chunks(encoded: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the name and the body of each chunk, as far as the file reaches."""
    position = len(SIGNATURE)
    while position + 12 <= len(encoded):
        length, kind = struct.unpack_from(">I4s", encoded, position)
        yield kind, encoded[position + 8 : position + 8 + length]
        position += 12 + length


def without_unreadable_chunks(encoded: bytes) -> bytes:
    """Return a PNG file without the chunks beside the image that Pillow refuses the whole file for; others unchanged.

    These are chunks with a wrong checksum that are not needed for the image, and texts that are long, each or together.
    A missing end is added.
    """
    if not encoded.startswith(SIGNATURE):
        return encoded
    kept, position, room = [SIGNATURE], len(SIGNATURE), _MAX_TEXT_BYTES
    for kind, body in iter_chunks(encoded):
        end = position + 12 + len(body)
        needed = kind[:1].isupper() or kind in (b"tRNS", b"fdAT", b"fcTL", b"acTL")
        intact = needed or encoded[end - 4 : end] == struct.pack(">I", zlib.crc32(kind + body))
        length = _text_length(kind, body) if kind in _TEXTS and room > 0 else 0
        room -= length
        if intact and length < _LONG_TEXT and (kind not in _TEXTS or room > 0):
            kept.append(encoded[position:end])
        position = end
    if position == len(encoded) and kept[-1][4:8] != b"IEND":
        kept.append(png_chunk(b"IEND", b""))
    return b"".join(kept) + encoded[position:]


def png_chunk(kind: bytes, body: bytes) -> bytes:
    """Return a chunk with its length and checksum."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _make_text_upright(body: bytes) -> bytes:
    """Return the body of an iTXt chunk, changed only if it is XMP with another orientation than 1."""
    keyword, _, rest = body.partition(b"\0")
    if keyword != XMP_KEYWORD or len(rest) < 2:
        return body
    compressed = rest[0] == 1
    language, _, rest = rest[2:].partition(b"\0")
    translated, _, text = rest.partition(b"\0")
    if compressed:
        try:
            text = zlib.decompressobj().decompress(text, _MAX_TEXT_BYTES)
        except zlib.error:
            return body
    upright = make_xmp_upright(text)
    return body if upright == text else keyword + b"\0\0\0" + language + b"\0" + translated + b"\0" + upright


def _text_length(kind: bytes, body: bytes) -> int:
    """Return how long a text is, up to what Pillow reads; that of one that cannot be decompressed is too long."""
    _, _, rest = body.partition(b"\0")
    if kind == b"tEXt" or (kind == b"iTXt" and rest[:1] != b"\1"):
        return 0  # not compressed: no longer than the file
    compressed = rest[1:] if kind == b"zTXt" else rest[2:].partition(b"\0")[2].partition(b"\0")[2]
    try:
        return len(zlib.decompressobj().decompress(compressed, _LONG_TEXT))
    except zlib.error:
        return _LONG_TEXT
