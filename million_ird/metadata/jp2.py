"""JPEG 2000: a codestream, bare or in the boxes of a JP2 file.

Boxes that do not change how the image looks (XML, UUID, provenance, …), comments in the main header and bytes after the
end are removed. Comments in the header of a tile-part become zeros, because tile-parts store their lengths.
"""

import struct

from million_ird.metadata.edits import Edit, not_strippable, remove_bytes, replace_bytes, zero_bytes
from million_ird.metadata.iso_boxes import IsoBox, iter_boxes

_SIGNATURE = b"\0\0\0\x0cjP  \r\n\x87\n"
_KEPT = {b"jP  ", b"ftyp", b"rreq", b"jp2h", b"jpch", b"jplh", b"jp2c"}
_SUPER = {b"jp2h", b"jpch", b"jplh", b"cgrp", b"res "}
_IN_SUPER = {b"ihdr", b"bpcc", b"colr", b"pclr", b"cmap", b"cdef", b"cgrp", b"opct", b"creg", b"res ", b"resc", b"resd"}
_NAMES = {b"xml ": "XML", b"uuid": "uuid box", b"jumb": "provenance (JUMBF)", b"uinf": "uuid box"}
_SOC, _SOT, _SOD, _EOC, _COM = 0x4F, 0x90, 0x93, 0xD9, 0x64


def find_private(encoded: bytes) -> list[Edit]:
    """Return the edits that remove private metadata from a JPEG 2000 file.

    Raises:
        ReadError: `not_strippable` for a broken chain of boxes, markers or tile-parts, or a codestream in fragments.
    """
    if encoded.startswith(b"\xff\x4f\xff\x51"):
        edits, end = _codestream_edits(encoded, 0, len(encoded))
        return edits + remove_bytes(end, len(encoded), "trailing bytes")
    if not encoded.startswith(_SIGNATURE):
        raise not_strippable("does not start as a JPEG 2000")
    top = list(iter_boxes(encoded, 0, len(encoded), inside=False))
    if any(box.kind == b"ftbl" for box in top) or not any(box.kind == b"jp2c" for box in top):
        raise not_strippable("a JPEG 2000 without a codestream in one piece")
    edits = [edit for box in top for edit in _box_edits(encoded, box, _KEPT)]
    if encoded[top[-1].stop + 4 : top[-1].stop + 8] == b"jp2c":
        raise not_strippable("a JPEG 2000 that is cut off")
    return edits + remove_bytes(top[-1].stop, len(encoded), "trailing bytes")


def _box_edits(encoded: bytes, box: IsoBox, allowed: set[bytes]) -> list[Edit]:
    if box.kind not in allowed:
        return remove_bytes(box.start, box.stop, _NAMES.get(box.kind, f"box {box.kind.decode('latin-1')}"))
    if box.kind in _SUPER:
        edits = [e for child in iter_boxes(encoded, box.body, box.stop) for e in _box_edits(encoded, child, _IN_SUPER)]
    elif box.kind == b"jp2c":
        edits, end = _codestream_edits(encoded, box.body, box.stop)
        edits += remove_bytes(end, box.stop, "trailing bytes")
    else:
        return []
    return _length_edits(encoded, box, edits) + edits


def _length_edits(encoded: bytes, box: IsoBox, edits: list[Edit]) -> list[Edit]:
    """Return the edit that subtracts the removed bytes from the box's own length."""
    removed = sum(edit.stop - edit.start - len(edit.replacement) for edit in edits if edit.start >= box.body)
    if not removed or box.open_ended:
        return []
    length = box.stop - box.start - removed
    if box.body - box.start == 16:
        return replace_bytes(encoded, box.start + 8, box.start + 16, struct.pack(">Q", length), edits[0].name)
    return replace_bytes(encoded, box.start, box.start + 4, struct.pack(">I", length), edits[0].name)


def _codestream_edits(encoded: bytes, position: int, end: int) -> tuple[list[Edit], int]:
    """Return the edits of a codestream, and where it ends."""
    edits: list[Edit] = []
    if encoded[position : position + 2] != b"\xff\x4f":
        raise not_strippable("does not start as a JPEG 2000 codestream")
    position += 2
    while (marker := _read_marker(encoded, position, end)) != _SOT:
        stop = position + 2 + _segment_length(encoded, position, end)
        edits += remove_bytes(position, stop, "comment") if marker == _COM else []
        position = stop
    while position < end and (marker := _read_marker(encoded, position, end)) != _EOC:
        if marker != _SOT:
            raise not_strippable(f"marker 0x{marker:02X} between the tile-parts of a JPEG 2000")
        (length,) = struct.unpack_from(">I", encoded, position + 6)
        stop = position + length if length else end
        if stop < position + 14 or stop > end:
            raise not_strippable("a tile-part of a JPEG 2000 that is cut off")
        edits += _tile_part_edits(encoded, position, stop)
        position = stop if length or encoded[end - 2 : end] != b"\xff\xd9" else end - 2
    return edits, min(position + 2, end)


def _tile_part_edits(encoded: bytes, position: int, stop: int) -> list[Edit]:
    edits = []
    while (marker := _read_marker(encoded, position, stop)) != _SOD:
        length = _segment_length(encoded, position, stop)
        edits += zero_bytes(encoded, position + 6, position + 2 + length, "comment") if marker == _COM else []
        position += 2 + length
    return edits


def _read_marker(encoded: bytes, position: int, end: int) -> int:
    if position + 2 > end or encoded[position] != 0xFF:
        raise not_strippable("a JPEG 2000 without its next marker")
    return encoded[position + 1]


def _segment_length(encoded: bytes, position: int, end: int) -> int:
    (length,) = struct.unpack_from(">H", encoded, position + 2)
    if length < 2 or position + 2 + length > end:
        raise not_strippable("a marker segment of a JPEG 2000 that is cut off")
    return int(length)
