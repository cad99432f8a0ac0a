"""PSD: what shows the merged picture stays: header, palette, resolution, colour profile, merged pixels.

All other image resources go (EXIF, XMP, IPTC, thumbnail, paths, slices, …), and so does the whole section of layers:
their names, texts, hidden pictures and embedded files are what their maker did not mean to show. A PSD with layers has
none afterwards.
"""

import struct
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from million_ird.metadata.edits import Edit, cut, not_strippable, put

_HEADER = 26
_KEPT = {1005, 1039, 1041, 1046, 1047, 1064}
"""Resolution, ICC profile, "untagged" mark, number of palette entries, transparent entry, pixel aspect."""
_NAMES = {
    1028: "IPTC",
    1033: "thumbnail",
    1036: "thumbnail",
    1058: "EXIF",
    1059: "EXIF",
    1060: "XMP",
}
_RAW, _RLE = 0, 1


class _Resource(NamedTuple):
    number: int
    start: int
    stop: int


def find(encoded: bytes) -> list[Edit]:
    """What of a PSD is private.

    Raises:
        ReadError: `not_strippable` for broken sections, or merged pixels in a compression that nothing here reads.
    """
    if encoded[:6] != b"8BPS\0\1" or len(encoded) < _HEADER:
        raise not_strippable("does not start as a PSD")
    resources = _section(encoded, _HEADER)
    layers = _section(encoded, resources)
    pixels = _section(encoded, layers)
    edits = []
    for resource in _resources(encoded, resources + 4, layers):
        if resource.number not in _KEPT:
            edits += cut(resource.start, resource.stop, _NAMES.get(resource.number, "image resources"))
    if edits:
        left = layers - resources - 4 - sum(edit.stop - edit.start for edit in edits)
        edits += put(encoded, resources, resources + 4, struct.pack(">I", left), edits[0].what)
    if pixels > layers + 4:
        edits += [Edit(layers, pixels, b"\0\0\0\0", "layers")]
    return edits + cut(_pixels_end(encoded, pixels), len(encoded), "trailing bytes")


def _section(encoded: bytes, at: int) -> int:
    """Where the section that begins at a byte with its length ends."""
    (length,) = struct.unpack_from(">I", encoded, at)
    if at + 4 + length > len(encoded):
        raise not_strippable("a section of a PSD that is cut off")
    return int(at + 4 + length)


def _resources(encoded: bytes, at: int, end: int) -> Iterator[_Resource]:
    while at < end:
        start = at
        (number,) = struct.unpack_from(">H", encoded, at + 4)
        at += 7 + encoded[at + 6]
        at += (at - start) % 2  # the name with its length byte fills an even number of bytes
        (length,) = struct.unpack_from(">I", encoded, at)
        at += 4 + length + length % 2
        if at > end:
            raise not_strippable("an image resource of a PSD that is cut off")
        yield _Resource(number, start, at)


def _pixels_end(encoded: bytes, at: int) -> int:
    channels, height, width, depth = struct.unpack_from(">HIIH", encoded, 12)
    (compression,) = struct.unpack_from(">H", encoded, at)
    if compression == _RAW:
        return int(at + 2 + channels * height * ((width * depth + 7) // 8))
    if compression == _RLE:
        table = at + 2 + 2 * channels * height
        if table > len(encoded):
            raise not_strippable("a PSD that is cut off")
        return int(table + np.frombuffer(encoded, ">u2", channels * height, at + 2).sum(dtype=np.int64))
    raise not_strippable(f"PSD compression {compression}")
