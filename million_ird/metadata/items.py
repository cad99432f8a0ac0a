"""Items of an AVIF's `meta` box: what each is, and where its bytes lie."""

import struct
from dataclasses import dataclass

from million_ird.metadata.boxes import Box, boxes
from million_ird.metadata.edits import Range, not_strippable

_FILE, _IDAT = 0, 1
_WIDTHS = {0: 0, 4: 4, 8: 8}


@dataclass(frozen=True, slots=True)
class Item:
    """One item: a picture, its Exif block, its XMP packet, …"""

    kind: bytes
    type_at: int
    """Where its type stands."""
    extents: list[Range]
    """Its bytes in the file."""
    elsewhere: bool
    """Whether some of its bytes are in another file or built from other items."""
    thumbnail: bool


def items(encoded: bytes, children: list[Box]) -> list[Item]:
    """The items that the children of a `meta` box describe.

    Raises:
        ReadError: `not_strippable` for versions without item types, or broken tables.
        struct.error: for tables that are cut off.
    """
    kinds = {b"iinf", b"iloc", b"idat", b"iref"}
    found = {box.kind: box for box in children if box.kind in kinds}
    if len(found) != sum(box.kind in kinds for box in children):
        raise not_strippable("an AVIF with two tables of items")
    types = _types(encoded, found[b"iinf"]) if b"iinf" in found else {}
    places = _places(encoded, found[b"iloc"], found.get(b"idat")) if b"iloc" in found else {}
    if set(places) - set(types):
        raise not_strippable("an item of an AVIF without a type")
    small, primary = _thumbnails(encoded, found.get(b"iref")), _primary(encoded, children)
    return [
        Item(kind, at, *places.get(number, ([], False)), thumbnail=number in small and number != primary)
        for number, (kind, at) in types.items()
    ]


def _primary(encoded: bytes, children: list[Box]) -> int | None:
    box = next((c for c in children if c.kind == b"pitm"), None)
    if box is None:
        return None
    return int(struct.unpack_from(">I" if encoded[box.body] else ">H", encoded, box.body + 4)[0])


def _types(encoded: bytes, box: Box) -> dict[int, tuple[bytes, int]]:
    at = box.body + (8 if encoded[box.body] else 6)
    types = {}
    for entry in boxes(encoded, at, box.stop):
        if entry.kind != b"infe" or encoded[entry.body] not in {2, 3}:
            raise not_strippable("items of an AVIF without types")
        wide = encoded[entry.body] == 3
        (number,) = struct.unpack_from(">I" if wide else ">H", encoded, entry.body + 4)
        type_at = entry.body + (10 if wide else 8)
        if number in types:
            raise not_strippable("an AVIF with two items of one number")
        types[number] = (encoded[type_at : type_at + 4], type_at)
    return types


def _thumbnails(encoded: bytes, box: Box | None) -> set[int]:
    if box is None:
        return set()
    wide = encoded[box.body] != 0
    return {
        int(struct.unpack_from(">I" if wide else ">H", encoded, reference.body)[0])
        for reference in boxes(encoded, box.body + 4, box.stop)
        if reference.kind == b"thmb"
    }


class _Reader:
    """Reads whole numbers of changing widths one after the other."""

    def __init__(self, encoded: bytes, at: int, stop: int) -> None:
        self.encoded, self.at, self.stop = encoded, at, stop

    def take(self, width: int) -> int:
        """The next `width` bytes as a number; 0 for none."""
        if self.at + width > self.stop:
            raise not_strippable("the table of places of an AVIF is cut off")
        self.at += width
        return int.from_bytes(self.encoded[self.at - width : self.at], "big")


def _places(encoded: bytes, box: Box, data: Box | None) -> dict[int, tuple[list[Range], bool]]:
    version = encoded[box.body]
    read = _Reader(encoded, box.body + 4, box.stop)
    sizes = read.take(2)
    offset, length, base, index = (_WIDTHS.get(sizes >> shift & 15, -1) for shift in (12, 8, 4, 0))
    index = index if version in {1, 2} else 0
    if version > 2 or min(offset, length, base, index) < 0:
        raise not_strippable("an unknown table of places in an AVIF")
    places = {}
    for _ in range(read.take(4 if version == 2 else 2)):
        number = read.take(4 if version == 2 else 2)
        method = read.take(2) & 15 if version else _FILE
        other_file, start, count = read.take(2), read.take(base), read.take(2)
        if count > 1 and not offset + length:
            raise not_strippable("extents of an AVIF without a length")  # and no end to them
        extents: list[Range] = []
        for _ in range(count):
            read.take(index)
            first, size = start + read.take(offset), read.take(length)
            extents.append(_extent(encoded, method, data, first, size))
        lost = other_file != 0 or method not in {_FILE, _IDAT} or (method == _IDAT and data is None)
        places[number] = ([] if lost else extents, lost)
    return places


def _extent(encoded: bytes, method: int, data: Box | None, first: int, size: int) -> Range:
    """A piece of an item as bytes of the file; the length 0 means "to the end"."""
    if method == _IDAT and data is not None:
        return data.body + first, (data.body + first + size) if size else data.stop
    return first, (first + size) if size else len(encoded)
