"""Directories of tags, as TIFF files and Exif blocks have them, read and written byte for byte.

Values stay the bytes that they were, in the byte order that they had, so that no text is re-encoded on the way. (Pillow
reads and writes such directories, but makes question marks of letters beyond ASCII.)
"""

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal

Order = Literal["<", ">"]
"""Of bytes, as `struct` has it."""
SHORT, LONG, RATIONAL, ASCII, UNDEFINED = 3, 4, 5, 2, 7
EXIF, GPS = 34665, 34853
"""Tags that point to directories of their own."""
ORIENTATION = 0x0112
DESCRIPTION, SOFTWARE, ARTIST, COPYRIGHT = 0x010E, 0x0131, 0x013B, 0x8298

_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_MAKER_NOTE, _INTEROPERABILITY = 0x927C, 0xA005
_DESCRIBING = frozenset(
    {
        *(0x010D, DESCRIPTION, 0x010F, 0x0110, SOFTWARE, 0x0132, ARTIST, 0x013C, COPYRIGHT),  # name, make, model, date
        *(0x4746, 0x4749, 0x83BB, 0x8649),  # rating, IPTC, Photoshop's resources
        *range(0x9C9B, 0x9CA0),  # title, comment, author, keywords and subject as Windows writes them
    }
)


@dataclass(frozen=True, slots=True)
class Value:
    """The value of a tag: TIFF's number of its type, and its bytes in the directory's byte order."""

    type: int
    data: bytes

    @property
    def count(self) -> int:
        """How many values of the type there are."""
        return len(self.data) // _SIZES[self.type]


Directory = dict[int, Value]


@dataclass(frozen=True, slots=True)
class Description:
    """What Exif says about a picture, and nothing of how it was stored.

    A maker's note and the table of interoperability are left out: they hold positions in the file that they came from.
    """

    order: Order = "<"
    main: Directory = field(default_factory=dict)
    exif: Directory = field(default_factory=dict)
    gps: Directory = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.main or self.exif or self.gps)

    def with_text(self, tag: int, text: str) -> "Description":
        """With a text of the main directory, in UTF-8, unless there is one."""
        if tag in self.main or not text:
            return self
        value = Value(ASCII, text.encode("utf-8", "replace").replace(b"\0", b"") + b"\0")
        return Description(self.order, self.main | {tag: value}, self.exif, self.gps)

    def exif_block(self) -> bytes:
        """As the Exif block of another format, without a prefix; the bytes of none if there is nothing to say."""
        if not self:
            return b""
        start = (b"II" if self.order == "<" else b"MM") + struct.pack(f"{self.order}HI", 42, 8)
        return start + directory_bytes(self.order, self.main, {EXIF: self.exif, GPS: self.gps}, at=8)


def read_description(block: bytes) -> Description:
    """Of an Exif block, with or without its prefix, or of a whole TIFF or BigTIFF file; nothing of a broken one."""
    block = block.removeprefix(b"Exif\0\0")
    orders: dict[bytes, Order] = {b"II": "<", b"MM": ">"}
    if (order := orders.get(block[:2])) is None:
        return Description()
    try:
        (version,) = struct.unpack_from(f"{order}H", block, 2)
        if version not in (42, 43):
            return Description()
        big = version == 43
        first = struct.unpack_from(f"{order}Q" if big else f"{order}I", block, 8 if big else 4)[0]
        tags = dict(_entries(block, order, first, big))
        inside = {
            tag: dict(_entries(block, order, _position(tags[tag], order), big)) for tag in (EXIF, GPS) if tag in tags
        }
    except struct.error:  # cut off
        return Description()
    exif = {tag: value for tag, value in inside.get(EXIF, {}).items() if tag not in (_MAKER_NOTE, _INTEROPERABILITY)}
    return Description(order, {tag: tags[tag] for tag in tags if tag in _DESCRIBING}, exif, inside.get(GPS, {}))


def directory_bytes(order: Order, tags: Directory, inside: Mapping[int, Directory], at: int) -> bytes:
    """A directory, and those inside it, as the bytes that begin at position `at` of a file."""
    inside = {tag: directory for tag, directory in inside.items() if directory}
    numbers = sorted({*tags, *inside})
    beside = at + 2 + 12 * len(numbers) + 4  # where values are put that do not fit into their entry
    entries, values = b"", b""
    for tag in numbers:
        if tag in inside:
            kind, count = LONG, 1
            data = struct.pack(f"{order}I", beside + len(values))
            values += directory_bytes(order, inside[tag], {}, beside + len(values))
        else:
            kind, count, data = tags[tag].type, tags[tag].count, tags[tag].data
            if len(data) > 4:
                position = struct.pack(f"{order}I", beside + len(values))
                values += data + bytes(len(data) % 2)
                data = position
        entries += struct.pack(f"{order}HHI", tag, kind, count) + data.ljust(4, b"\0")
    return struct.pack(f"{order}H", len(numbers)) + entries + bytes(4) + values


def short(order: Order, *numbers: int) -> Value:
    """Whole numbers of 16 bits."""
    return Value(SHORT, struct.pack(f"{order}{len(numbers)}H", *numbers))


def long(order: Order, *numbers: int) -> Value:
    """Whole numbers of 32 bits."""
    return Value(LONG, struct.pack(f"{order}{len(numbers)}I", *numbers))


def rational(order: Order, number: float) -> Value:
    """A number that is not negative, to four digits."""
    fraction = Fraction(number).limit_denominator(10000)
    return Value(RATIONAL, struct.pack(f"{order}2I", fraction.numerator, fraction.denominator))


def _entries(block: bytes, order: Order, at: int, big: bool) -> Iterator[tuple[int, Value]]:
    """The tags at a position; those of unknown types, or whose values are not all there, are left out."""
    (number,) = struct.unpack_from(f"{order}Q" if big else f"{order}H", block, at)
    start, size, fits = at + (8 if big else 2), 20 if big else 12, 8 if big else 4
    for entry in range(start, min(start + number * size, len(block) - size + 1), size):
        tag, kind, count = struct.unpack_from(f"{order}HHQ" if big else f"{order}HHI", block, entry)
        length = count * _SIZES.get(kind, 0)
        place = entry + size - fits
        if length > fits:
            (place,) = struct.unpack_from(f"{order}Q" if big else f"{order}I", block, place)
        if 0 < length <= len(block) - place:
            yield tag, Value(kind, block[place : place + length])


def _position(value: Value, order: Order) -> int:
    return int.from_bytes(value.data[:8], "little" if order == "<" else "big")
