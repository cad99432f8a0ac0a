"""WebP: a RIFF file. EXIF, XMP and unknown chunks go; the feature flags and the RIFF size are mended.

An orientation is kept as an `EXIF` chunk of 26 bytes in the place of the chunk that had it. Chunks inside an animation
frame are never touched: a frame with something unknown in it is not strippable.
"""

import struct
from collections.abc import Iterator
from typing import NamedTuple

from million_ird.metadata import ifd
from million_ird.metadata.edits import Edit, cut, not_strippable, put

_KEPT = {b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF", b"ICCP"}
_IN_FRAME = {b"VP8 ", b"VP8L", b"ALPH"}
_EXIF_FLAG, _XMP_FLAG = 0x08, 0x04


class _Chunk(NamedTuple):
    kind: bytes
    start: int
    stop: int
    """With the padding byte."""
    size: int


def find(encoded: bytes) -> list[Edit]:
    """What of a WebP is private.

    Raises:
        ReadError: `not_strippable` for a chain that does not fit its RIFF size, or unknown parts in a frame.
    """
    if encoded[:4] != b"RIFF" or encoded[8:12] != b"WEBP":
        raise not_strippable("does not start as a WebP")
    end = 8 + int.from_bytes(encoded[4:8], "little")
    if end > len(encoded):
        raise not_strippable("a WebP shorter than it says")
    chunks = list(_chunks(encoded, 12, end))
    for frame in chunks:
        if frame.kind == b"ANMF" and any(
            c.kind not in _IN_FRAME for c in _chunks(encoded, frame.start + 24, frame.stop)
        ):
            raise not_strippable("an unknown chunk in a frame of a WebP")
    edits = _without(encoded, chunks)
    length = end - 8 + sum(len(e.instead) - (e.stop - e.start) for e in edits)
    if edits:
        edits += put(encoded, 4, 8, struct.pack("<I", length), edits[0].what)
    return edits + cut(end, len(encoded), "trailing bytes")


def _chunks(encoded: bytes, at: int, end: int) -> Iterator[_Chunk]:
    while at + 8 <= end:
        kind, size = struct.unpack_from("<4sI", encoded, at)
        stop = at + 8 + size
        if stop > end:
            raise not_strippable(f"chunk {kind!r} of a WebP reaches past its end")
        yield _Chunk(kind, at, min(stop + size % 2, end), size)
        at = stop + size % 2
    if at < end:
        raise not_strippable("bytes between the chunks of a WebP")


def _without(encoded: bytes, chunks: list[_Chunk]) -> list[Edit]:
    going = [c for c in chunks if c.kind not in _KEPT]
    extended = next((c for c in chunks if c.kind == b"VP8X" and c.size >= 10), None)
    flags = encoded[extended.start + 8] if extended else 0
    # libwebp shows a chunk only where the flag announces it.
    exif = next((c for c in going if c.kind == b"EXIF" and flags & _EXIF_FLAG), None)
    xmp = next((c for c in going if c.kind == b"XMP " and flags & _XMP_FLAG), None)
    upright = ifd.orientation(_body(encoded, exif), _body(encoded, xmp))
    keeper = (exif or xmp) if upright != 1 else None
    block = ifd.minimal_block(upright)
    edits = []
    for chunk in going:
        if chunk is keeper:
            edits += put(
                encoded, chunk.start, chunk.stop, struct.pack("<4sI", b"EXIF", 26) + block, _name(encoded, chunk)
            )
        else:
            edits += cut(chunk.start, chunk.stop, _name(encoded, chunk))
    if edits and extended:
        left = flags & ~(_EXIF_FLAG | _XMP_FLAG) | (_EXIF_FLAG if keeper else 0)
        edits += put(encoded, extended.start + 8, extended.start + 9, bytes([left]), edits[0].what)
    return edits


def _body(encoded: bytes, chunk: _Chunk | None) -> bytes | None:
    return encoded[chunk.start + 8 : chunk.start + 8 + chunk.size] if chunk else None


def _name(encoded: bytes, chunk: _Chunk) -> str:
    if chunk.kind == b"EXIF":
        return ifd.read_block(_body(encoded, chunk) or b"").name
    return {b"XMP ": "XMP", b"C2PA": "provenance (JUMBF)"}.get(chunk.kind, f"chunk {chunk.kind.decode('latin-1')}")
