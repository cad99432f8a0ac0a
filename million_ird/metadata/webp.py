"""WebP: a RIFF file. EXIF, XMP and unknown chunks are removed; the feature flags and the RIFF size are corrected.

An orientation is kept as an `EXIF` chunk of 26 bytes that replaces the chunk it was found in. Chunks inside an
animation frame are never changed: a file with an unknown chunk in a frame is not strippable.
"""

import struct
from collections.abc import Iterator
from typing import NamedTuple

from million_ird.metadata import ifd
from million_ird.metadata.edits import Edit, not_strippable, remove_bytes, replace_bytes

_KEPT = {b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF", b"ICCP"}
_IN_FRAME = {b"VP8 ", b"VP8L", b"ALPH"}
_EXIF_FLAG, _XMP_FLAG = 0x08, 0x04


class _RiffChunk(NamedTuple):
    kind: bytes
    start: int
    stop: int
    """Including the padding byte."""
    size: int


def find_private(encoded: bytes) -> list[Edit]:
    """Return the edits that remove private metadata from a WebP.

    Raises:
        ReadError: `not_strippable` for a chain that does not fit its RIFF size, or unknown chunks in a frame.
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
    edits = _chunk_edits(encoded, chunks)
    length = end - 8 + sum(len(e.replacement) - (e.stop - e.start) for e in edits)
    if edits:
        edits += replace_bytes(encoded, 4, 8, struct.pack("<I", length), edits[0].name)
    return edits + remove_bytes(end, len(encoded), "trailing bytes")


def _chunks(encoded: bytes, start: int, end: int) -> Iterator[_RiffChunk]:
    while start + 8 <= end:
        kind, size = struct.unpack_from("<4sI", encoded, start)
        stop = start + 8 + size
        if stop > end:
            raise not_strippable(f"chunk {kind!r} of a WebP reaches past its end")
        yield _RiffChunk(kind, start, min(stop + size % 2, end), size)
        start = stop + size % 2
    if start < end:
        raise not_strippable("bytes between the chunks of a WebP")


def _chunk_edits(encoded: bytes, chunks: list[_RiffChunk]) -> list[Edit]:
    """Return the edits that remove or replace chunks and correct the feature flags."""
    private = [c for c in chunks if c.kind not in _KEPT]
    extended = next((c for c in chunks if c.kind == b"VP8X" and c.size >= 10), None)
    flags = encoded[extended.start + 8] if extended else 0
    # libwebp returns a chunk only if its flag is set.
    exif = next((c for c in private if c.kind == b"EXIF" and flags & _EXIF_FLAG), None)
    xmp = next((c for c in private if c.kind == b"XMP " and flags & _XMP_FLAG), None)
    orientation = ifd.find_orientation(_body(encoded, exif), _body(encoded, xmp))
    source = (exif or xmp) if orientation != 1 else None
    block = ifd.minimal_exif(orientation)
    edits = []
    for chunk in private:
        if chunk is source:
            edits += replace_bytes(
                encoded, chunk.start, chunk.stop, struct.pack("<4sI", b"EXIF", 26) + block, _name(encoded, chunk)
            )
        else:
            edits += remove_bytes(chunk.start, chunk.stop, _name(encoded, chunk))
    if edits and extended:
        flags = flags & ~(_EXIF_FLAG | _XMP_FLAG) | (_EXIF_FLAG if source else 0)
        edits += replace_bytes(encoded, extended.start + 8, extended.start + 9, bytes([flags]), edits[0].name)
    return edits


def _body(encoded: bytes, chunk: _RiffChunk | None) -> bytes | None:
    return encoded[chunk.start + 8 : chunk.start + 8 + chunk.size] if chunk else None


def _name(encoded: bytes, chunk: _RiffChunk) -> str:
    if chunk.kind == b"EXIF":
        return ifd.read_exif(_body(encoded, chunk) or b"").name
    return {b"XMP ": "XMP", b"C2PA": "provenance (JUMBF)"}.get(chunk.kind, f"chunk {chunk.kind.decode('latin-1')}")
