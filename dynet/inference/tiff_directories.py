"""Reading and writing the tag directories of TIFF files and Exif blocks.

Values are copied as bytes in their own byte order, so that no text is re-encoded. (Pillow reads and writes such
directories too, but replaces letters outside ASCII by question marks.)
"""

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal

ByteOrder = Literal["<", ">"]
"""Byte order, by the character that `struct` uses."""
SHORT, LONG, RATIONAL, ASCII, UNDEFINED, DOUBLE = 3, 4, 5, 2, 7, 12
EXIF, GPS = 34665, 34853
"""Tags that point to subdirectories."""
ORIENTATION = 0x0112
DESCRIPTION, SOFTWARE, ARTIST, COPYRIGHT = 0x010E, 0x0131, 0x013B, 0x8298

_TYPE_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_MAKER_NOTE, _INTEROPERABILITY = 0x927C, 0xA005
_LARGEST_LONG = (1 << 32) - 1
_DESCRIPTIVE_TAGS = frozenset(
    {
        *(
            0x010D,
            DESCRIPTION,
            0x010F,
            0x0110,
            SOFTWARE,
            0x0132,
            ARTIST,
            0x013C,
            COPYRIGHT,
        ),  # document name, make, model, date
        *(0x4746, 0x4749, 0x83BB, 0x8649),  # rating, IPTC, Photoshop resources
        *range(0x9C9B, 0x9CA0),  # title, comment, author, keywords and subject by Windows
    }
)


@dataclass(frozen=True, slots=True)
class TagValue:
    """The value of a tag: the number of its TIFF type, and its bytes in the directory's byte order."""

    type: int
    data: bytes

    @property
    def count(self) -> int:
        """The number of values of this type."""
        return len(self.data) // _TYPE_SIZES[self.type]


Directory = dict[int, TagValue]


@dataclass(frozen=True, slots=True)
class ExifDescription:
    """The Exif tags that describe an image, without those that describe how it was stored.

    The maker note and the interoperability table are left out: they contain offsets into the original file.
    """

    order: ByteOrder = "<"
    main: Directory = field(default_factory=dict)
    exif: Directory = field(default_factory=dict)
    gps: Directory = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.main or self.exif or self.gps)

    def with_text(self, tag: int, text: str) -> "ExifDescription":
        """Return a copy with a text in the main directory, as UTF-8, unless that tag is already set."""
        if tag in self.main or not text:
            return self
        value = TagValue(ASCII, text.encode("utf-8", "replace").replace(b"\0", b"") + b"\0")
        return ExifDescription(self.order, self.main | {tag: value}, self.exif, self.gps)

    def exif_block(self) -> bytes:
        """Return the description as an Exif block without a prefix; empty bytes if there are no tags."""
        if not self:
            return b""
        header = (b"II" if self.order == "<" else b"MM") + struct.pack(f"{self.order}HI", 42, 8)
        return header + encode_directory(self.order, self.main, {EXIF: self.exif, GPS: self.gps}, offset=8)


def read_exif_description(block: bytes, directory: int | None = None) -> ExifDescription:
    """Read an Exif block, with or without its prefix, or a page of a TIFF or BigTIFF file; empty for a broken one.

    Args:
        block: the block, or the whole file.
        directory: where the page's directory begins; None for the first one.
    """
    block = block.removeprefix(b"Exif\0\0")
    orders: dict[bytes, ByteOrder] = {b"II": "<", b"MM": ">"}
    if (order := orders.get(block[:2])) is None:
        return ExifDescription()
    try:
        (version,) = struct.unpack_from(f"{order}H", block, 2)
        if version not in (42, 43):
            return ExifDescription()
        big = version == 43
        first = struct.unpack_from(f"{order}Q" if big else f"{order}I", block, 8 if big else 4)[0]
        tags = dict(_entries(block, order, first if directory is None else directory, big))
        subdirectories = {
            tag: dict(_entries(block, order, _as_offset(tags[tag], order), big)) for tag in (EXIF, GPS) if tag in tags
        }
    except struct.error:  # truncated
        return ExifDescription()
    main = {tag: value for tag, value in tags.items() if tag in _DESCRIPTIVE_TAGS}
    exif = subdirectories.get(EXIF, {})
    exif = {tag: value for tag, value in exif.items() if tag not in (_MAKER_NOTE, _INTEROPERABILITY)}
    return ExifDescription(order, main, exif, subdirectories.get(GPS, {}))


def encode_directory(order: ByteOrder, tags: Directory, subdirectories: Mapping[int, Directory], offset: int) -> bytes:
    """Return a directory and its subdirectories as the bytes that begin at an offset of a file.

    Args:
        order: the byte order of the file and of all values.
        tags: the directory.
        subdirectories: by the tag that points to each; empty ones are left out.
        offset: where the directory begins in the file.
    """
    subdirectories = {tag: directory for tag, directory in subdirectories.items() if directory}
    numbers = sorted({*tags, *subdirectories})
    values_offset = offset + 2 + 12 * len(numbers) + 4  # where values go that do not fit into their entry
    entries, values = b"", b""
    for tag in numbers:
        if tag in subdirectories:
            kind, count = LONG, 1
            data = struct.pack(f"{order}I", values_offset + len(values))
            values += encode_directory(order, subdirectories[tag], {}, values_offset + len(values))
        else:
            kind, count, data = tags[tag].type, tags[tag].count, tags[tag].data
            if len(data) > 4:
                pointer = struct.pack(f"{order}I", values_offset + len(values))
                values += data + bytes(len(data) % 2)
                data = pointer
        entries += struct.pack(f"{order}HHI", tag, kind, count) + data.ljust(4, b"\0")
    return struct.pack(f"{order}H", len(numbers)) + entries + bytes(4) + values


def short(order: ByteOrder, *numbers: int) -> TagValue:
    """Return unsigned integers of 16 bits as a value."""
    return TagValue(SHORT, struct.pack(f"{order}{len(numbers)}H", *numbers))


def long(order: ByteOrder, *numbers: int) -> TagValue:
    """Return unsigned integers of 32 bits as a value."""
    return TagValue(LONG, struct.pack(f"{order}{len(numbers)}I", *numbers))


def double(order: ByteOrder, *numbers: float) -> TagValue:
    """Return floating-point numbers of 64 bits as a value."""
    return TagValue(DOUBLE, struct.pack(f"{order}{len(numbers)}d", *numbers))


def rational(order: ByteOrder, number: float) -> TagValue:
    """Return a number from 0 to 2^32 - 1 as a fraction with a denominator of up to 10000, both of 32 bits."""
    fraction = Fraction(number).limit_denominator(min(10000, _LARGEST_LONG // (int(number) + 1)))
    return TagValue(RATIONAL, struct.pack(f"{order}2I", fraction.numerator, fraction.denominator))


def _entries(block: bytes, order: ByteOrder, offset: int, big: bool) -> Iterator[tuple[int, TagValue]]:
    """Read the tags of the directory at an offset; those of unknown types or with truncated values are skipped.

    So are values that would be larger together than the block: they overlap, to fill the memory of whoever copies them.
    """
    room = len(block)
    (count,) = struct.unpack_from(f"{order}Q" if big else f"{order}H", block, offset)
    # BigTIFF has wider counts, and entries of 20 instead of 12 bytes with 8 instead of 4 bytes for the value.
    start, entry_size, inline_size = offset + (8 if big else 2), 20 if big else 12, 8 if big else 4
    for entry in range(start, min(start + count * entry_size, len(block) - entry_size + 1), entry_size):
        tag, kind, value_count = struct.unpack_from(f"{order}HHQ" if big else f"{order}HHI", block, entry)
        length = value_count * _TYPE_SIZES.get(kind, 0)
        value_offset = entry + entry_size - inline_size
        if length > inline_size:
            (value_offset,) = struct.unpack_from(f"{order}Q" if big else f"{order}I", block, value_offset)
        if 0 < length <= min(room, len(block) - value_offset):
            room -= length
            yield tag, TagValue(kind, block[value_offset : value_offset + length])


def _as_offset(value: TagValue, order: ByteOrder) -> int:
    return int.from_bytes(value.data[:8], "little" if order == "<" else "big")
