"""AVIF: boxes that say how its image is shown, its colours, and where it is (ISO/IEC 14496-12 and 23008-12)."""

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from million_ird.errors import ReadError

_MAX_BOXES = 10_000
_MAX_START = 1024
"""Bytes that headers of a coded image need at most."""


@dataclass(frozen=True, slots=True)
class AvifProperties:
    """What is said of the primary image."""

    bits: int = 8
    code_points: tuple[int, int] | None = None
    """Primaries and transfer by ITU-T H.273."""
    clean_aperture: tuple[int, ...] | None = None
    """Numerators and denominators of width, height, horizontal and vertical offset."""


@dataclass(slots=True)
class _Boxes:
    properties: list[tuple[bytes, bytes]] = field(default_factory=list)
    associated: dict[int, list[int]] = field(default_factory=dict)
    primary: int | None = None
    tables: dict[bytes, tuple[int, int]] = field(default_factory=dict)
    """Start and end in the file of the content of other boxes."""


def read_avif_properties(encoded: bytes) -> AvifProperties:
    """Read the properties of the primary item; those of a file without such an item are the defaults."""
    boxes = _read_boxes(encoded)
    if boxes is None:
        return AvifProperties()
    bits, points, aperture = 8, None, None
    for number in boxes.associated.get(boxes.primary or 0, []):
        kind, body = boxes.properties[number - 1] if 0 < number <= len(boxes.properties) else (b"", b"")
        if kind == b"av1C" and len(body) >= 4:
            bits = (12 if body[2] & 0x20 else 10) if body[2] & 0x40 else 8
        elif kind == b"pixi" and len(body) >= 6:
            bits = body[5]
        elif kind == b"colr" and body[:4] == b"nclx" and len(body) >= 10:
            points = struct.unpack_from(">2H", body, 4)
        elif kind == b"clap" and len(body) >= 32:
            aperture = struct.unpack_from(">4IiIiI", body)
    return AvifProperties(bits, points, aperture)


def read_av1_start(encoded: bytes) -> bytes | None:
    """Return the first bytes of the coded primary image, or of its first tile; None where there are none."""
    boxes = _read_boxes(encoded)
    if boxes is None or boxes.primary is None:
        return None
    try:
        item = _first_part(encoded, boxes.primary, boxes.tables)
        start, stop = _place_of(encoded, item, boxes.tables)
    except (struct.error, IndexError, KeyError):
        return None
    return encoded[start : min(stop, start + _MAX_START)] or None


def crop_of(aperture: tuple[int, ...], width: int, height: int) -> tuple[int, int, int, int]:
    """Return left, top, right and bottom of a clean aperture in an image of this stored size.

    Raises:
        ReadError: `unsupported` where they are no whole pixels, `undecodable` where they lie outside.
    """
    edges = []
    for size, (length, per, offset, offset_per) in (
        (width, (*aperture[:2], *aperture[4:6])),
        (height, (*aperture[2:4], *aperture[6:])),
    ):
        if per <= 0 or offset_per <= 0 or length % per:
            raise ReadError("unsupported", "an AVIF whose clean aperture is no whole number of pixels")
        length //= per
        # The offset is that of the aperture's middle from the image's middle.
        twice = size - length + 2 * offset // offset_per
        if 2 * offset % offset_per or twice % 2:
            raise ReadError("unsupported", "an AVIF whose clean aperture is no whole number of pixels")
        edges.append((twice // 2, twice // 2 + length))
    (left, right), (top, bottom) = edges
    if not (0 <= left < right <= width and 0 <= top < bottom <= height):
        raise ReadError("undecodable", "an AVIF whose clean aperture lies outside its image")
    return left, top, right, bottom


def _boxes(encoded: bytes, start: int, stop: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield type, start and end of the content of each box."""
    for _ in range(_MAX_BOXES):
        if start + 8 > stop:
            return
        size, kind = struct.unpack_from(">I4s", encoded, start)
        content = start + 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", encoded, content)
            content += 8
        end = stop if size == 0 else start + size
        if end < content or end > stop:
            return
        yield kind, content, end
        start = end


def _read_boxes(encoded: bytes) -> _Boxes | None:
    """Read the boxes of a file; None where they are broken."""
    boxes = _Boxes()
    try:
        for kind, start, stop in _boxes(encoded, 0, len(encoded)):
            if kind == b"meta":
                _read_meta(encoded, start + 4, stop, boxes)
    except (struct.error, IndexError):
        return None
    return boxes


def _read_meta(encoded: bytes, start: int, stop: int, boxes: _Boxes) -> None:
    for kind, content, end in _boxes(encoded, start, stop):
        boxes.tables.setdefault(kind, (content, end))
        if kind == b"pitm":
            boxes.primary = struct.unpack_from(">I" if encoded[content] else ">H", encoded, content + 4)[0]
        elif kind == b"iprp":
            for inner, inner_start, inner_end in _boxes(encoded, content, end):
                if inner == b"ipco":
                    boxes.properties += [(k, encoded[s:e]) for k, s, e in _boxes(encoded, inner_start, inner_end)]
                elif inner == b"ipma":
                    _read_associations(encoded[inner_start:inner_end], boxes)


def _read_associations(body: bytes, boxes: _Boxes) -> None:
    version, wide = body[0], body[3] & 1
    (count,) = struct.unpack_from(">I", body, 4)
    position = 8
    for _ in range(min(count, _MAX_BOXES)):
        (item,) = struct.unpack_from(">I" if version else ">H", body, position)
        position += 4 if version else 2
        n_properties = body[position]
        position += 1
        numbers = struct.unpack_from(f">{n_properties}{'H' if wide else 'B'}", body, position)
        position += n_properties * (2 if wide else 1)
        boxes.associated.setdefault(item, []).extend(number & (0x7FFF if wide else 0x7F) for number in numbers)


def _first_part(encoded: bytes, item: int, tables: Mapping[bytes, tuple[int, int]]) -> int:
    """Return the first of the items that an item is made of, such as the tiles of a grid; itself if it is coded."""
    start, stop = tables.get(b"iref", (0, 0))
    layout = ">IHI" if encoded[start] else ">HHH"
    for kind, content, _ in _boxes(encoded, start + 4, stop):
        whole, _, part = struct.unpack_from(layout, encoded, content)
        if kind == b"dimg" and whole == item:
            return int(part)
    return item


def _place_of(encoded: bytes, item: int, tables: Mapping[bytes, tuple[int, int]]) -> tuple[int, int]:
    """Return start and end in the file of the first bytes of an item; KeyError where they are not told."""
    at, stop = tables[b"iloc"]
    version, sizes = encoded[at], int.from_bytes(encoded[at + 4 : at + 6])
    offset, length, base, index = (sizes >> shift & 15 for shift in (12, 8, 4, 0))
    index = index if version in {1, 2} else 0
    at += 6

    def number(width: int) -> int:
        nonlocal at
        if at + width > stop:
            raise IndexError("the table of places is cut off")
        at += width
        return int.from_bytes(encoded[at - width : at])

    for _ in range(min(number(4 if version == 2 else 2), _MAX_BOXES)):
        found = number(4 if version == 2 else 2)
        method = number(2) & 15 if version else 0
        elsewhere, start, extents = number(2), number(base), number(2)
        if found == item and extents and not elsewhere and method < 2:
            number(index)
            start += number(offset) + (tables[b"idat"][0] if method else 0)
            size = number(length)
            return start, start + size if size else len(encoded)
        number(extents * (index + offset + length))
    raise KeyError(item)
