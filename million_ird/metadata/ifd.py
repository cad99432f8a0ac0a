"""Image file directories (IFD): the tag tables of TIFF, and of the EXIF blocks that other formats carry.

They are not read by Pillow, which loads every value of every tag: a crafted block of 65,535 tags that all point at the
same megabytes would fill the memory.
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


class IfdEntry(NamedTuple):
    """One tag of a directory."""

    tag: int
    kind: int
    """Number of the type of its values."""
    n_values: int
    position: int
    """Where its 12 (BigTIFF: 20) bytes start."""
    start: int
    """Where its values start: in the entry itself if they fit."""
    stop: int
    inline: bool


@dataclass(frozen=True, slots=True)
class IfdLayout:
    """Byte order and field widths of a file."""

    order: str
    """`<` or `>`, as `struct` spells it."""
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

    def read_offset(self, encoded: bytes, position: int) -> int:
        """Return the offset that is stored at `position`."""
        return int(struct.unpack_from(self.order + ("Q" if self.big else "I"), encoded, position)[0])

    def first_directory(self, encoded: bytes) -> int:
        """Return where the first directory starts."""
        return self.read_offset(encoded, 8 if self.big else 4)


def read_layout(encoded: bytes) -> IfdLayout | None:
    """Return byte order and widths by the first four bytes of a file; None if it is no TIFF."""
    if encoded[:4] not in _MAGICS:
        return None
    return IfdLayout("<" if encoded[:2] == b"II" else ">", b"+" in encoded[2:4])


def read_entries(
    encoded: bytes, layout: IfdLayout, offset: int, *, partial: bool = False
) -> tuple[list[IfdEntry], int]:
    """Return the tags of the directory at `offset`, and where the offset of the next directory is stored.

    Values of an unknown type have the length 0. The time is linear in the directory's own bytes.

    Args:
        encoded: the whole file or EXIF block.
        layout: as `read_layout` returns it.
        offset: where the directory starts.
        partial: whether to read a directory that is cut off as far as it goes, as Pillow does.

    Raises:
        struct.error: the directory does not end inside the file.
    """
    (count,) = struct.unpack_from(layout.order + ("Q" if layout.big else "H"), encoded, offset)
    start, width = offset + layout.count_width, layout.entry_width
    if partial:
        count = min(count, max(0, len(encoded) - start) // width)
    elif start + count * width > len(encoded):
        raise struct.error("directory reaches past the end of the file")
    entries = []
    fields = struct.Struct(layout.order + ("HHQ" if layout.big else "HHI"))
    for position in range(start, start + count * width, width):
        tag, kind, n_values = fields.unpack_from(encoded, position)
        size, value_field = n_values * _SIZES.get(kind, 0), position + fields.size
        inline = size <= layout.word
        values = value_field if inline else layout.read_offset(encoded, value_field)
        entries.append(IfdEntry(tag, kind, n_values, position, values, values + size, inline))
    return entries, start + count * width


def read_integers(encoded: bytes, layout: IfdLayout, entry: IfdEntry) -> tuple[int, ...]:
    """Return the values of a tag of integers; empty for another type or values outside the file."""
    if entry.kind not in _INTEGERS or entry.stop > len(encoded):
        return tuple(encoded[entry.start : entry.stop]) if entry.kind == 1 else ()
    return struct.unpack_from(f"{layout.order}{entry.n_values}{_INTEGERS[entry.kind]}", encoded, entry.start)


@dataclass(frozen=True, slots=True)
class ExifSummary:
    """The parts of an EXIF block that stripping needs to know."""

    orientation: int | None
    """1–8, or None where the block has none."""
    gps: bool

    @property
    def name(self) -> str:
        """The name that is shown to people."""
        return "EXIF (GPS)" if self.gps else "EXIF"


def read_exif(payload: bytes) -> ExifSummary:
    """Read an EXIF block with or without the leading `Exif`; as in Pillow, a broken one has no orientation."""
    payload = re.sub(b"^(Exif\0\0){1,2}", b"", payload)
    layout = read_layout(payload)
    orientation, gps = None, False
    if layout is not None:
        with contextlib.suppress(struct.error):
            entries, _ = read_entries(payload, layout, layout.first_directory(payload), partial=True)
            gps = any(entry.tag == GPS for entry in entries)
            tag = next((entry for entry in entries if entry.tag == ORIENTATION and entry.kind != 1), None)
            orientation = next(iter(read_integers(payload, layout, tag)), None) if tag else None
    return ExifSummary(orientation, gps)


def find_orientation(exif: bytes | None, xmp: bytes | None) -> int:
    """Return the orientation 1–8 that Pillow finds: in the EXIF block, else in the XMP packet, else 1."""
    value = read_exif(exif).orientation if exif else None
    if value is None and xmp and (match := _XMP_ORIENTATION.search(xmp)):
        value = int(match[2])
    return value if value is not None and 1 <= value <= 8 else 1


def minimal_exif(orientation: int) -> bytes:
    """Return an EXIF block (26 bytes, without the leading `Exif`) with the orientation and nothing else."""
    return struct.pack(">4sIHHHIHHI", b"MM\0*", 8, 1, ORIENTATION, 3, 1, orientation, 0, 0)
