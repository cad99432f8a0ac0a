"""JPEG 2000: a codestream, bare or in the boxes of a JP2 file.

Boxes that say nothing of the picture's looks (XML, UUID, provenance, …) and comments in the main header go; comments
in the header of a tile-part become zeros, because tile-parts know their lengths. What follows the end goes.
"""

import struct

from million_ird.metadata.boxes import Box, boxes
from million_ird.metadata.edits import Edit, blank, cut, not_strippable, put

_SIGNATURE = b"\0\0\0\x0cjP  \r\n\x87\n"
_KEPT = {b"jP  ", b"ftyp", b"rreq", b"jp2h", b"jpch", b"jplh", b"jp2c"}
_SUPER = {b"jp2h", b"jpch", b"jplh", b"cgrp", b"res "}
_IN_SUPER = {b"ihdr", b"bpcc", b"colr", b"pclr", b"cmap", b"cdef", b"cgrp", b"opct", b"creg", b"res ", b"resc", b"resd"}
_NAMES = {b"xml ": "XML", b"uuid": "uuid box", b"jumb": "provenance (JUMBF)", b"uinf": "uuid box"}
_SOC, _SOT, _SOD, _EOC, _COM = 0x4F, 0x90, 0x93, 0xD9, 0x64


def find(encoded: bytes) -> list[Edit]:
    """What of a JPEG 2000 file is private.

    Raises:
        ReadError: `not_strippable` for a broken chain of boxes, markers or tile-parts, or a codestream in fragments.
    """
    if encoded.startswith(b"\xff\x4f\xff\x51"):
        edits, end = _codestream(encoded, 0, len(encoded))
        return edits + cut(end, len(encoded), "trailing bytes")
    if not encoded.startswith(_SIGNATURE):
        raise not_strippable("does not start as a JPEG 2000")
    top = list(boxes(encoded, 0, len(encoded), inside=False))
    if any(box.kind == b"ftbl" for box in top) or not any(box.kind == b"jp2c" for box in top):
        raise not_strippable("a JPEG 2000 without a codestream in one piece")
    edits = [edit for box in top for edit in _box(encoded, box, _KEPT)]
    if encoded[top[-1].stop + 4 : top[-1].stop + 8] == b"jp2c":
        raise not_strippable("a JPEG 2000 that is cut off")
    return edits + cut(top[-1].stop, len(encoded), "trailing bytes")


def _box(encoded: bytes, box: Box, allowed: set[bytes]) -> list[Edit]:
    if box.kind not in allowed:
        return cut(box.start, box.stop, _NAMES.get(box.kind, f"box {box.kind.decode('latin-1')}"))
    if box.kind in _SUPER:
        edits = [e for child in boxes(encoded, box.body, box.stop) for e in _box(encoded, child, _IN_SUPER)]
    elif box.kind == b"jp2c":
        edits, end = _codestream(encoded, box.body, box.stop)
        edits += cut(end, box.stop, "trailing bytes")
    else:
        return []
    return _length(encoded, box, edits) + edits


def _length(encoded: bytes, box: Box, edits: list[Edit]) -> list[Edit]:
    """The box's own length, less what is cut from it."""
    less = sum(edit.stop - edit.start - len(edit.instead) for edit in edits if edit.start >= box.body)
    if not less or box.open_ended:
        return []
    length = box.stop - box.start - less
    if box.body - box.start == 16:
        return put(encoded, box.start + 8, box.start + 16, struct.pack(">Q", length), edits[0].what)
    return put(encoded, box.start, box.start + 4, struct.pack(">I", length), edits[0].what)


def _codestream(encoded: bytes, at: int, end: int) -> tuple[list[Edit], int]:
    """The edits of a codestream, and where it ends."""
    edits: list[Edit] = []
    if encoded[at : at + 2] != b"\xff\x4f":
        raise not_strippable("does not start as a JPEG 2000 codestream")
    at += 2
    while (marker := _marker(encoded, at, end)) != _SOT:
        stop = at + 2 + _segment(encoded, at, end)
        edits += cut(at, stop, "comment") if marker == _COM else []
        at = stop
    while at < end and (marker := _marker(encoded, at, end)) != _EOC:
        if marker != _SOT:
            raise not_strippable(f"marker 0x{marker:02X} between the tile-parts of a JPEG 2000")
        (length,) = struct.unpack_from(">I", encoded, at + 6)
        stop = at + length if length else end
        if stop < at + 14 or stop > end:
            raise not_strippable("a tile-part of a JPEG 2000 that is cut off")
        edits += _tile_part(encoded, at, stop)
        at = stop if length or encoded[end - 2 : end] != b"\xff\xd9" else end - 2
    return edits, min(at + 2, end)


def _tile_part(encoded: bytes, at: int, stop: int) -> list[Edit]:
    edits = []
    while (marker := _marker(encoded, at, stop)) != _SOD:
        length = _segment(encoded, at, stop)
        edits += blank(encoded, at + 6, at + 2 + length, "comment") if marker == _COM else []
        at += 2 + length
    return edits


def _marker(encoded: bytes, at: int, end: int) -> int:
    if at + 2 > end or encoded[at] != 0xFF:
        raise not_strippable("a JPEG 2000 without its next marker")
    return encoded[at + 1]


def _segment(encoded: bytes, at: int, end: int) -> int:
    (length,) = struct.unpack_from(">H", encoded, at + 2)
    if length < 2 or at + 2 + length > end:
        raise not_strippable("a marker segment of a JPEG 2000 that is cut off")
    return int(length)
