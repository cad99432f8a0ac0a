"""PNG and APNG: a chain of chunks, of which those are kept that have a say in how the picture looks.

An orientation, which Pillow finds in `eXIf`, in a hexadecimal "Raw profile type exif" and in XMP, is kept as an
`eXIf` chunk of 26 bytes in the place of the chunk that had it.
"""

import contextlib
import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from million_ird.metadata import ifd
from million_ird.metadata.edits import Edit, cut, not_strippable, put

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_KEPT = frozenset(
    b"IHDR PLTE IDAT IEND gAMA cHRM sRGB iCCP cICP sBIT tRNS bKGD pHYs hIST sPLT".split()
    + b"acTL fcTL fdAT mDCV mDCv cLLI cLLi".split()
)
_TEXTS = {b"tEXt", b"zTXt", b"iTXt"}
_NAMES = {b"tIME": "modification time", b"eXIf": "EXIF", b"caBX": "provenance (JUMBF)"}
_TEXT_AT_MOST = 1 << 20
"""What Pillow reads of a compressed text; it refuses a picture with a longer one."""


class _Chunk(NamedTuple):
    kind: bytes
    start: int
    stop: int


def find(encoded: bytes) -> list[Edit]:
    """What of a PNG is private.

    Raises:
        ReadError: `not_strippable` for a broken chain, an unknown critical chunk, or image data in separate runs.
    """
    chunks = list(_chunks(encoded))
    going = [c for c in chunks if c.kind not in _KEPT]
    exif, xmp = _Source(), _Source()
    names = {}
    for chunk in going:
        names[chunk] = _name(encoded, chunk, exif, xmp)
    upright = ifd.orientation(exif.payload, xmp.payload)
    keeper = exif.chunk or xmp.chunk
    edits = []
    for chunk in going:
        if chunk is keeper and upright != 1:
            edits += put(encoded, chunk.start, chunk.stop, _chunk(b"eXIf", ifd.minimal_block(upright)), names[chunk])
        else:
            edits += cut(chunk.start, chunk.stop, names[chunk])
    return edits + cut(chunks[-1].stop, len(encoded), "trailing bytes")


class _Source:
    """Where Pillow would read an EXIF block or an XMP packet, and how sure it is of it."""

    def __init__(self) -> None:
        self.chunk: _Chunk | None = None
        self.payload: bytes | None = None
        self.rank = 0

    def offer(self, rank: int, chunk: _Chunk, payload: bytes) -> None:
        """A later chunk replaces an earlier one of the same or a lower rank."""
        if rank >= self.rank:
            self.chunk, self.payload, self.rank = chunk, payload, rank


def _chunks(encoded: bytes) -> Iterator[_Chunk]:
    if not encoded.startswith(_SIGNATURE):
        raise not_strippable("does not start as a PNG")
    at, before, data_ended = len(_SIGNATURE), b"", False
    while at + 12 <= len(encoded):
        length, kind = struct.unpack_from(">I4s", encoded, at)
        if at + 12 + length > len(encoded):
            break
        if kind not in _KEPT and not kind[0] & 0x20:
            raise not_strippable(f"unknown critical PNG chunk {kind!r}")
        data_ended |= before == b"IDAT" and kind != b"IDAT"
        if kind == b"IDAT" and data_ended:
            raise not_strippable("the image data of a PNG is not in one run")
        yield _Chunk(kind, at, at + 12 + length)
        if kind == b"IEND":
            return
        at, before = at + 12 + length, kind
    raise not_strippable("a PNG without an end")


def _chunk(kind: bytes, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload)) + kind + payload + struct.pack(">I", zlib.crc32(kind + payload))


def _name(encoded: bytes, chunk: _Chunk, exif: _Source, xmp: _Source) -> str:
    """The name of a chunk that goes; on the way, EXIF and XMP are noted."""
    body = encoded[chunk.start + 8 : chunk.stop - 4]
    if chunk.kind == b"eXIf":
        exif.offer(2, chunk, body)
        return ifd.read_block(body).name
    if chunk.kind not in _TEXTS:
        return _NAMES.get(chunk.kind, f"chunk {chunk.kind.decode('latin-1')}")
    key, text = _text(chunk.kind, body)
    if key == b"exif" and chunk.kind == b"tEXt":
        exif.offer(2, chunk, text)
    elif key == b"Raw profile type exif":
        with contextlib.suppress(ValueError, UnicodeDecodeError):
            block = bytes.fromhex("".join(text.decode("latin-1").split("\n")[3:]))
            exif.offer(1, chunk, block)
            return ifd.read_block(block).name
    elif key == b"XML:com.adobe.xmp":
        xmp.offer(1, chunk, text)
        return "XMP"
    return {b"Raw profile type iptc": "IPTC", b"Raw profile type xmp": "XMP"}.get(key, "text")


def _text(kind: bytes, body: bytes) -> tuple[bytes, bytes]:
    """Keyword and text of a text chunk, inflated up to what Pillow reads; broken ones have no text."""
    key, _, rest = body.partition(b"\0")
    if kind == b"tEXt":
        return key, rest
    packed, rest = (True, rest[1:]) if kind == b"zTXt" else (rest[:1] not in {b"", b"\0"}, rest[2:])
    if kind == b"iTXt":
        rest = rest.split(b"\0", 2)[2] if rest.count(b"\0") >= 2 else b""
    if packed:
        try:
            rest = zlib.decompressobj().decompress(rest, _TEXT_AT_MOST)
        except zlib.error:
            rest = b""
    return key, rest
