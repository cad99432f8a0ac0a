"""PSD: everything that shows the merged image stays: header, palette, resolution, colour profile, merged pixels.

All other image resources are removed (EXIF, XMP, IPTC, thumbnail, paths, slices, …), and so is the whole section of
layers: their names, texts, hidden images and embedded files were not meant to be shown. A PSD with layers has none
afterwards.
"""

import struct
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from million_ird.metadata.edits import Edit, not_strippable, remove_bytes, replace_bytes

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


def find_private(encoded: bytes) -> list[Edit]:
    """Return the edits that remove private metadata from a PSD.

    Raises:
        ReadError: `not_strippable` for broken sections, or merged pixels in an unknown compression.
    """
    if encoded[:6] != b"8BPS\0\1" or len(encoded) < _HEADER:
        raise not_strippable("does not start as a PSD")
    resources = _section_end(encoded, _HEADER)
    layers = _section_end(encoded, resources)
    pixels = _section_end(encoded, layers)
    edits = []
    for resource in _resources(encoded, resources + 4, layers):
        if resource.number not in _KEPT:
            edits += remove_bytes(resource.start, resource.stop, _NAMES.get(resource.number, "image resources"))
    if edits:
        remaining = layers - resources - 4 - sum(edit.stop - edit.start for edit in edits)
        edits += replace_bytes(encoded, resources, resources + 4, struct.pack(">I", remaining), edits[0].name)
    if pixels > layers + 4:
        edits += [Edit(layers, pixels, b"\0\0\0\0", "layers")]
    return edits + remove_bytes(_pixels_end(encoded, pixels), len(encoded), "trailing bytes")


def _section_end(encoded: bytes, start: int) -> int:
    """Return where the section ends that starts with its length at `start`."""
    (length,) = struct.unpack_from(">I", encoded, start)
    if start + 4 + length > len(encoded):
        raise not_strippable("a section of a PSD that is cut off")
    return int(start + 4 + length)


def _resources(encoded: bytes, start: int, end: int) -> Iterator[_Resource]:
    while start < end:
        (number,) = struct.unpack_from(">H", encoded, start + 4)
        position = start + 7 + encoded[start + 6]
        position += (position - start) % 2  # the name with its length byte fills an even number of bytes
        (length,) = struct.unpack_from(">I", encoded, position)
        position += 4 + length + length % 2
        if position > end:
            raise not_strippable("an image resource of a PSD that is cut off")
        yield _Resource(number, start, position)
        start = position


def _pixels_end(encoded: bytes, start: int) -> int:
    channels, height, width, depth = struct.unpack_from(">HIIH", encoded, 12)
    (compression,) = struct.unpack_from(">H", encoded, start)
    if compression == _RAW:
        return int(start + 2 + channels * height * ((width * depth + 7) // 8))
    if compression == _RLE:
        table = start + 2 + 2 * channels * height
        if table > len(encoded):
            raise not_strippable("a PSD that is cut off")
        return int(table + np.frombuffer(encoded, ">u2", channels * height, start + 2).sum(dtype=np.int64))
    raise not_strippable(f"PSD compression {compression}")
