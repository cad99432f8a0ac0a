"""Items of an AVIF's `meta` box: the type of each, and where its bytes are."""

import struct
from dataclasses import dataclass

from million_ird.metadata.edits import Range, not_strippable
from million_ird.metadata.iso_boxes import IsoBox, iter_boxes

_FILE, _IDAT = 0, 1
"""Construction methods: extents are offsets into the file, or into the `idat` box."""
_WIDTHS = {0: 0, 4: 4, 8: 8}


@dataclass(frozen=True, slots=True)
class AvifItem:
    """One item: a coded image, its Exif block, its XMP packet or the like."""

    kind: bytes
    type_at: int
    """Offset of its type in the file."""
    extents: list[Range]
    """Its bytes in the file."""
    elsewhere: bool
    """Whether some of its bytes are in another file or built from other items."""
    thumbnail: bool


def read_items(encoded: bytes, children: list[IsoBox]) -> list[AvifItem]:
    """Return the items that the children of a `meta` box describe.

    Raises:
        ReadError: `not_strippable` for versions without item types, or broken tables.
        struct.error: for tables that are cut off.
    """
    kinds = {b"iinf", b"iloc", b"idat", b"iref"}
    tables = {box.kind: box for box in children if box.kind in kinds}
    if len(tables) != sum(box.kind in kinds for box in children):
        raise not_strippable("an AVIF with two tables of items")
    types = _item_types(encoded, tables[b"iinf"]) if b"iinf" in tables else {}
    locations = _item_locations(encoded, tables[b"iloc"], tables.get(b"idat")) if b"iloc" in tables else {}
    if set(locations) - set(types):
        raise not_strippable("an item of an AVIF without a type")
    thumbnails, primary = _thumbnail_ids(encoded, tables.get(b"iref")), _primary_id(encoded, children)
    return [
        AvifItem(kind, type_at, *locations.get(item, ([], False)), thumbnail=item in thumbnails and item != primary)
        for item, (kind, type_at) in types.items()
    ]


def _primary_id(encoded: bytes, children: list[IsoBox]) -> int | None:
    box = next((child for child in children if child.kind == b"pitm"), None)
    if box is None:
        return None
    return int(struct.unpack_from(">I" if encoded[box.body] else ">H", encoded, box.body + 4)[0])


def _item_types(encoded: bytes, box: IsoBox) -> dict[int, tuple[bytes, int]]:
    """Return the type of each item by its id, and the type's offset in the file."""
    start = box.body + (8 if encoded[box.body] else 6)
    types = {}
    for entry in iter_boxes(encoded, start, box.stop):
        if entry.kind != b"infe" or encoded[entry.body] not in {2, 3}:
            raise not_strippable("items of an AVIF without types")
        wide = encoded[entry.body] == 3
        (item,) = struct.unpack_from(">I" if wide else ">H", encoded, entry.body + 4)
        type_at = entry.body + (10 if wide else 8)
        if item in types:
            raise not_strippable("an AVIF with two items of one number")
        types[item] = (encoded[type_at : type_at + 4], type_at)
    return types


def _thumbnail_ids(encoded: bytes, box: IsoBox | None) -> set[int]:
    if box is None:
        return set()
    wide = encoded[box.body] != 0
    return {
        int(struct.unpack_from(">I" if wide else ">H", encoded, reference.body)[0])
        for reference in iter_boxes(encoded, box.body + 4, box.stop)
        if reference.kind == b"thmb"
    }


class _IntegerReader:
    """Reads integers of varying widths, one after the other."""

    def __init__(self, encoded: bytes, position: int, stop: int) -> None:
        self.encoded, self.position, self.stop = encoded, position, stop

    def read(self, width: int) -> int:
        """Return the next `width` bytes as a number; 0 for a width of 0."""
        if self.position + width > self.stop:
            raise not_strippable("the table of places of an AVIF is cut off")
        self.position += width
        return int.from_bytes(self.encoded[self.position - width : self.position], "big")


def _item_locations(encoded: bytes, box: IsoBox, data: IsoBox | None) -> dict[int, tuple[list[Range], bool]]:
    """Return the extents of each item by its id, and whether some of its bytes are elsewhere."""
    version = encoded[box.body]
    reader = _IntegerReader(encoded, box.body + 4, box.stop)
    sizes = reader.read(2)
    offset, length, base, index = (_WIDTHS.get(sizes >> shift & 15, -1) for shift in (12, 8, 4, 0))
    index = index if version in {1, 2} else 0
    if version > 2 or min(offset, length, base, index) < 0:
        raise not_strippable("an unknown table of places in an AVIF")
    locations = {}
    for _ in range(reader.read(4 if version == 2 else 2)):
        item = reader.read(4 if version == 2 else 2)
        method = reader.read(2) & 15 if version else _FILE
        other_file, start, count = reader.read(2), reader.read(base), reader.read(2)
        if count > 1 and not offset + length:
            raise not_strippable("extents of an AVIF without a length")  # 65,535 of them would take no bytes
        extents: list[Range] = []
        for _ in range(count):
            reader.read(index)
            first, size = start + reader.read(offset), reader.read(length)
            extents.append(_extent_in_file(encoded, method, data, first, size))
        elsewhere = other_file != 0 or method not in {_FILE, _IDAT} or (method == _IDAT and data is None)
        locations[item] = ([] if elsewhere else extents, elsewhere)
    return locations


def _extent_in_file(encoded: bytes, method: int, data: IsoBox | None, first: int, size: int) -> Range:
    """Return an extent as a range of bytes of the file; a size of 0 means "to the end"."""
    if method == _IDAT and data is not None:
        return data.body + first, (data.body + first + size) if size else data.stop
    return first, (first + size) if size else len(encoded)
