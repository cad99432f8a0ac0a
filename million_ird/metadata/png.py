"""PNG and APNG: a chain of chunks. Chunks that change how the image looks are kept.

An orientation, which Pillow finds in `eXIf`, in a hexadecimal "Raw profile type exif" and in XMP, is kept as an
`eXIf` chunk of 26 bytes that replaces the chunk it was found in.
"""

import contextlib
import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from million_ird.metadata import ifd
from million_ird.metadata.edits import Edit, not_strippable, remove_bytes, replace_bytes

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_KEPT = frozenset(
    b"IHDR PLTE IDAT IEND gAMA cHRM sRGB iCCP cICP sBIT tRNS bKGD pHYs hIST sPLT".split()
    + b"acTL fcTL fdAT mDCV mDCv cLLI cLLi".split()
)
_TEXTS = {b"tEXt", b"zTXt", b"iTXt"}
_NAMES = {b"tIME": "modification time", b"eXIf": "EXIF", b"caBX": "provenance (JUMBF)"}
_MAX_TEXT = 1 << 20
"""Bytes that Pillow reads of a compressed text; it refuses an image with a longer one."""


class _PngChunk(NamedTuple):
    kind: bytes
    start: int
    stop: int


def find_private(encoded: bytes) -> list[Edit]:
    """Return the edits that remove private metadata from a PNG.

    Raises:
        ReadError: `not_strippable` for a broken chain, an unknown critical chunk, or image data in separate runs.
    """
    chunks = list(_chunks(encoded))
    private = [chunk for chunk in chunks if chunk.kind not in _KEPT]
    exif, xmp = _OrientationSource(), _OrientationSource()
    names = {chunk: _name_and_note(encoded, chunk, exif, xmp) for chunk in private}
    orientation = ifd.find_orientation(exif.payload, xmp.payload)
    source = exif.chunk or xmp.chunk
    edits = []
    for chunk in private:
        if chunk is source and orientation != 1:
            edits += replace_bytes(
                encoded, chunk.start, chunk.stop, _encode_chunk(b"eXIf", ifd.minimal_exif(orientation)), names[chunk]
            )
        else:
            edits += remove_bytes(chunk.start, chunk.stop, names[chunk])
    return edits + remove_bytes(chunks[-1].stop, len(encoded), "trailing bytes")


class _OrientationSource:
    """The chunk from which Pillow would read an EXIF block or an XMP packet, and the rank of that chunk."""

    def __init__(self) -> None:
        self.chunk: _PngChunk | None = None
        self.payload: bytes | None = None
        self.rank = 0

    def offer(self, rank: int, chunk: _PngChunk, payload: bytes) -> None:
        """Take the chunk unless an earlier one has a higher rank."""
        if rank >= self.rank:
            self.chunk, self.payload, self.rank = chunk, payload, rank


def _chunks(encoded: bytes) -> Iterator[_PngChunk]:
    if not encoded.startswith(_SIGNATURE):
        raise not_strippable("does not start as a PNG")
    start, before, data_ended = len(_SIGNATURE), b"", False
    while start + 12 <= len(encoded):
        length, kind = struct.unpack_from(">I4s", encoded, start)
        if start + 12 + length > len(encoded):
            break
        if kind not in _KEPT and not kind[0] & 0x20:
            raise not_strippable(f"unknown critical PNG chunk {kind!r}")
        data_ended |= before == b"IDAT" and kind != b"IDAT"
        if kind == b"IDAT" and data_ended:
            raise not_strippable("the image data of a PNG is not in one run")
        yield _PngChunk(kind, start, start + 12 + length)
        if kind == b"IEND":
            return
        start, before = start + 12 + length, kind
    raise not_strippable("a PNG without an end")


def _encode_chunk(kind: bytes, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload)) + kind + payload + struct.pack(">I", zlib.crc32(kind + payload))


def _name_and_note(encoded: bytes, chunk: _PngChunk, exif: _OrientationSource, xmp: _OrientationSource) -> str:
    """Return the name of a chunk that is removed, and note EXIF and XMP."""
    body = encoded[chunk.start + 8 : chunk.stop - 4]
    if chunk.kind == b"eXIf":
        exif.offer(2, chunk, body)
        return ifd.read_exif(body).name
    if chunk.kind not in _TEXTS:
        return _NAMES.get(chunk.kind, f"chunk {chunk.kind.decode('latin-1')}")
    key, text = _read_text(chunk.kind, body)
    if key == b"exif" and chunk.kind == b"tEXt":
        exif.offer(2, chunk, text)
    elif key == b"Raw profile type exif":
        with contextlib.suppress(ValueError, UnicodeDecodeError):
            block = bytes.fromhex("".join(text.decode("latin-1").split("\n")[3:]))
            exif.offer(1, chunk, block)
            return ifd.read_exif(block).name
    elif key == b"XML:com.adobe.xmp":
        xmp.offer(1, chunk, text)
        return "XMP"
    return {b"Raw profile type iptc": "IPTC", b"Raw profile type xmp": "XMP"}.get(key, "text")


def _read_text(kind: bytes, body: bytes) -> tuple[bytes, bytes]:
    """Return keyword and text of a text chunk, inflated up to what Pillow reads; a broken one has no text."""
    key, _, rest = body.partition(b"\0")
    if kind == b"tEXt":
        return key, rest
    packed, rest = (True, rest[1:]) if kind == b"zTXt" else (rest[:1] not in {b"", b"\0"}, rest[2:])
    if kind == b"iTXt":
        rest = rest.split(b"\0", 2)[2] if rest.count(b"\0") >= 2 else b""
    if packed:
        try:
            rest = zlib.decompressobj().decompress(rest, _MAX_TEXT)
        except zlib.error:
            rest = b""
    return key, rest
