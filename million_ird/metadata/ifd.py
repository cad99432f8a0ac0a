"""Image file directories: the tag tables of TIFF, and of the EXIF blocks that other formats carry.

Read here and not by Pillow, which loads every value of every tag: a crafted block of 65,535 tags that all point at
the same megabytes would fill the memory.
"""

import contextlib
import re
import struct
from dataclasses import dataclass
from typing import NamedTuple

ORIENTATION = 0x0112
GPS = 0x8825
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
"""Bytes of one value by the type's number."""
_INTEGERS = {3: "H", 4: "I", 8: "h", 9: "i", 13: "I", 16: "Q", 17: "q", 18: "Q"}
_MAGICS = {b"MM\0*", b"II*\0", b"MM*\0", b"II\0*", b"MM\0+", b"II+\0"}  # Pillow reads the swapped ones, too
_XMP_ORIENTATION = re.compile(rb'tiff:Orientation(="|>)([0-9])')  # Pillow's own pattern


class Entry(NamedTuple):
    """One tag of a directory."""

    tag: int
    kind: int
    values: int
    """How many."""
    at: int
    """Where its 12 (BigTIFF: 20) bytes begin."""
    start: int
    """Where its values begin: in the entry itself if they fit."""
    stop: int
    inline: bool


@dataclass(frozen=True, slots=True)
class Layout:
    """Byte order and field widths of a file."""

    order: str
    """`<` or `>`, as `struct` wants it."""
    big: bool
    """BigTIFF: 64-bit offsets."""

    @property
    def word(self) -> int:
        """Bytes of an offset."""
        return 8 if self.big else 4

    @property
    def count_width(self) -> int:
        """Bytes of a directory's number of entries."""
        return 8 if self.big else 2

    @property
    def entry_width(self) -> int:
        """Bytes of an entry."""
        return 20 if self.big else 12

    def offset(self, encoded: bytes, at: int) -> int:
        """An offset that stands at a byte."""
        return int(struct.unpack_from(self.order + ("Q" if self.big else "I"), encoded, at)[0])

    def first(self, encoded: bytes) -> int:
        """Where the first directory begins."""
        return self.offset(encoded, 8 if self.big else 4)


def layout(encoded: bytes) -> Layout | None:
    """How to read a file by its first four bytes; None if it is no TIFF."""
    if encoded[:4] not in _MAGICS:
        return None
    return Layout("<" if encoded[:2] == b"II" else ">", b"+" in encoded[2:4])


def entries(encoded: bytes, shape: Layout, offset: int, *, partial: bool = False) -> tuple[list[Entry], int]:
    """The tags of the directory at `offset`, and where the offset of the next directory stands.

    Values of an unknown type have the length 0. Linear in the directory's own bytes. `partial` takes what there is of
    a directory that is cut off, as Pillow does.

    Raises:
        struct.error: if the directory does not lie in the file.
    """
    (count,) = struct.unpack_from(shape.order + ("Q" if shape.big else "H"), encoded, offset)
    at, width = offset + shape.count_width, shape.entry_width
    if partial:
        count = min(count, max(0, len(encoded) - at) // width)
    elif at + count * width > len(encoded):
        raise struct.error("directory reaches past the end of the file")
    found = []
    row = struct.Struct(shape.order + ("HHQ" if shape.big else "HHI"))
    for here in range(at, at + count * width, width):
        tag, kind, values = row.unpack_from(encoded, here)
        size, inner = values * _SIZES.get(kind, 0), here + row.size
        inline = size <= shape.word
        start = inner if inline else shape.offset(encoded, inner)
        found.append(Entry(tag, kind, values, here, start, start + size, inline))
    return found, at + count * width


def integers(encoded: bytes, shape: Layout, entry: Entry) -> tuple[int, ...]:
    """The values of a tag of whole numbers; empty for another type or where they do not lie in the file."""
    if entry.kind not in _INTEGERS or entry.stop > len(encoded):
        return tuple(encoded[entry.start : entry.stop]) if entry.kind == 1 else ()
    return struct.unpack_from(f"{shape.order}{entry.values}{_INTEGERS[entry.kind]}", encoded, entry.start)


@dataclass(frozen=True, slots=True)
class Block:
    """What matters of an EXIF block."""

    orientation: int | None
    """1–8, or None where the block has none."""
    gps: bool

    @property
    def name(self) -> str:
        """The name for a person."""
        return "EXIF (GPS)" if self.gps else "EXIF"


def read_block(payload: bytes) -> Block:
    """Reads an EXIF block with or without the leading `Exif`; a broken one has no orientation, as for Pillow."""
    payload = re.sub(b"^(Exif\0\0){1,2}", b"", payload)
    shape = layout(payload)
    orientation, gps = None, False
    if shape is not None:
        with contextlib.suppress(struct.error):
            found, _ = entries(payload, shape, shape.first(payload), partial=True)
            gps = any(entry.tag == GPS for entry in found)
            turned = next((entry for entry in found if entry.tag == ORIENTATION and entry.kind != 1), None)
            orientation = next(iter(integers(payload, shape, turned)), None) if turned else None
    return Block(orientation, gps)


def orientation(exif: bytes | None, xmp: bytes | None) -> int:
    """The orientation 1–8 that Pillow finds: in the EXIF block, else in the XMP packet, else 1."""
    value = read_block(exif).orientation if exif else None
    if value is None and xmp and (match := _XMP_ORIENTATION.search(xmp)):
        value = int(match[2])
    return value if value is not None and 1 <= value <= 8 else 1


def minimal_block(value: int) -> bytes:
    """An EXIF block (26 bytes, without the leading `Exif`) with the orientation and nothing else."""
    return struct.pack(">4sIHHHIHHI", b"MM\0*", 8, 1, ORIENTATION, 3, 1, value, 0, 0)
