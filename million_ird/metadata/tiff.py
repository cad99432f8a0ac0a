"""TIFF and BigTIFF: only what a list of tags names, and the data that those tags point at, stays.

No byte that stays is moved. A directory is written again in its place without the other tags; every byte that nothing
kept points at (their old values, EXIF and GPS directories, maker notes, previews in SubIFDs, directories that an
editor left behind) becomes zero, and is cut at the end of the file. JPEG strips are walked as JPEG streams.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from million_ird.metadata import ifd, jpeg, strips, webp
from million_ird.metadata.edits import Edit, Range, all_but, merged, not_strippable, overlap, put

_KEPT = frozenset(
    {
        *range(254, 260),
        *range(262, 267),
        273,
        274,
        *range(277, 285),
        286,
        287,
        *range(290, 294),
        296,
        297,
        300,
        301,
        *range(317, 329),
    }
    | {332, 334, 336, *range(338, 343), 346, 347, *range(529, 533), *range(32995, 32999), 34675, 37439, 50674}
)
"""Size, depth, colour, tiling, compression, resolution, orientation (274), ICC profile (34675)."""
_NAMES = {
    269: "description",
    270: "description",
    271: "camera",
    272: "camera",
    285: "description",
    305: "software",
    306: "date",
    315: "author",
    316: "computer",
    330: "previews (SubIFDs)",
    700: "XMP",
    33432: "copyright",
    33723: "IPTC",
    34377: "Photoshop resources",
    34665: "EXIF",
    34853: "EXIF (GPS)",
}
_XMP = 700


@dataclass(slots=True)
class _Walk:
    encoded: bytes
    shape: ifd.Layout
    edits: list[Edit] = field(default_factory=list)
    kept: list[Range] = field(default_factory=list)
    going: list[Range] = field(default_factory=list)
    """Values of tags that go, as far as their place is known."""
    budget: int = 0
    """Bytes of values that may still be read: honest ones do not overlap, so the file's length is enough."""
    nested: list[strips.Nested] = field(default_factory=list)


def find(encoded: bytes) -> list[Edit]:
    """What of a TIFF is private.

    Raises:
        ReadError: `not_strippable` for a broken directory, strips without a known length, old-style JPEG, or values
            that share bytes with the picture.
    """
    shape = ifd.layout(encoded)
    if shape is None:
        raise not_strippable("does not start as a TIFF")
    walk = _Walk(encoded, shape, kept=[(0, 16 if shape.big else 8)], budget=2 * len(encoded))
    for number, (offset, found, next_at) in enumerate(_directories(encoded, shape)):
        _directory(walk, offset, found, next_at, first=number == 0)
    kept = merged(walk.kept, len(encoded))
    if overlap(walk.going, kept):
        raise not_strippable("a private value of a TIFF shares bytes with the picture")
    name = walk.edits[0].what if walk.edits else "bytes that nothing points at"
    return walk.edits + all_but(encoded, kept, name) + _nested(walk)


def _directories(encoded: bytes, shape: ifd.Layout) -> Iterator[tuple[int, list[ifd.Entry], int]]:
    """The chain of directories; together they may not be longer than the file, which bounds the work."""
    offset, seen, budget = shape.first(encoded), set[int](), len(encoded)
    while offset and offset not in seen:
        seen.add(offset)
        found, next_at = ifd.entries(encoded, shape, offset)
        budget -= next_at - offset
        if budget < 0:
            raise not_strippable("the directories of a TIFF overlap")
        yield offset, found, next_at
        # Pillow takes a missing last offset for the end of the chain.
        offset = shape.offset(encoded, next_at) if next_at + shape.word <= len(encoded) else 0


def _directory(walk: _Walk, offset: int, found: list[ifd.Entry], next_at: int, *, first: bool) -> None:
    encoded, shape = walk.encoded, walk.shape
    staying = [entry for entry in found if entry.tag in _KEPT]
    leaving = [entry for entry in found if entry.tag not in _KEPT]
    walk.kept += [(entry.start, entry.stop) for entry in staying if not entry.inline]
    walk.going += [(entry.start, min(entry.stop, len(encoded))) for entry in leaving if not entry.inline]
    walk.budget -= sum(entry.stop - entry.start for entry in staying if not entry.inline)
    if walk.budget < 0:
        raise not_strippable("values of a TIFF overlap")
    image = strips.image_data(encoded, shape, {entry.tag: entry for entry in reversed(staying)})
    walk.kept += image.ranges
    walk.nested += image.nested
    if not leaving:
        walk.kept.append((offset, next_at + shape.word))
        return
    rows = [(entry.tag, encoded[entry.at : entry.at + shape.entry_width]) for entry in staying]
    if first and (turned := _turned(encoded, shape, found)):
        rows = sorted([*rows, turned], key=lambda row: row[0])
    count = struct.pack(shape.order + ("Q" if shape.big else "H"), len(rows))
    onwards = encoded[next_at : next_at + shape.word].ljust(shape.word, b"\0")
    anew = count + b"".join(row for _, row in rows) + onwards
    names = dict.fromkeys(_NAMES.get(entry.tag, f"tag {entry.tag}") for entry in leaving)
    walk.kept.append((offset, offset + len(anew)))
    walk.edits += [Edit(offset, offset, b"", name) for name in names]  # one edit of bytes, told by all names
    walk.edits.append(Edit(offset, offset + len(anew), anew, next(iter(names))))


def _turned(encoded: bytes, shape: ifd.Layout, found: list[ifd.Entry]) -> tuple[int, bytes] | None:
    """An orientation tag where Pillow finds the orientation only in the XMP packet that goes."""
    packet = next((entry for entry in found if entry.tag == _XMP), None)
    if packet is None or any(entry.tag == ifd.ORIENTATION for entry in found):
        return None
    value = ifd.orientation(None, encoded[packet.start : packet.stop])
    row = struct.pack(shape.order + ("HHQHHI" if shape.big else "HHIHH"), *_short(value, shape.big))
    return (ifd.ORIENTATION, row) if value != 1 else None


def _short(value: int, big: bool) -> tuple[int, ...]:
    return (ifd.ORIENTATION, 3, 1, value, 0, 0) if big else (ifd.ORIENTATION, 3, 1, value, 0)


def _nested(walk: _Walk) -> list[Edit]:
    """What is private inside strips that are files of another format."""
    edits, budget = [], 2 * len(walk.encoded)
    for nested in dict.fromkeys(walk.nested):
        budget -= nested.stop - nested.start
        if budget < 0:
            raise not_strippable("the strips of a TIFF overlap")
        stream = walk.encoded[nested.start : nested.stop]
        if nested.format == "JPEG":
            found = jpeg.find_in_place(stream)
            for edit in found:
                edits += put(walk.encoded, nested.start + edit.start, nested.start + edit.stop, edit.instead, edit.what)
        elif webp.find(stream):
            raise not_strippable("a WebP strip of a TIFF holds more than a picture")
    return edits
