"""TIFF and BigTIFF: only the tags of a list, and the data that those tags point at, stay.

No byte that stays is moved. A directory is rewritten in its place without the other tags. Every byte that no kept tag
points at (values of removed tags, EXIF and GPS directories, maker notes, previews in SubIFDs, directories that an
editor left unused) becomes zero, and is removed at the end of the file. JPEG strips are parsed as JPEG streams.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from million_ird.metadata import ifd, jpeg, tiff_strips, webp
from million_ird.metadata.edits import (
    Edit,
    Range,
    merge_ranges,
    not_strippable,
    ranges_overlap,
    replace_bytes,
    zero_all_but,
)

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
class _TiffWalk:
    """What was found so far in a walk over the directories."""

    encoded: bytes
    layout: ifd.IfdLayout
    edits: list[Edit] = field(default_factory=list)
    kept: list[Range] = field(default_factory=list)
    removed: list[Range] = field(default_factory=list)
    """Values of removed tags, as far as their location is known."""
    budget: int = 0
    """Bytes of values that may still be read: those of a valid file do not overlap, so twice its length is enough."""
    nested: list[tiff_strips.NestedFile] = field(default_factory=list)


def find_private(encoded: bytes) -> list[Edit]:
    """Return the edits that remove private metadata from a TIFF.

    Raises:
        ReadError: `not_strippable` for a broken directory, strips without a known length, old-style JPEG, or
            values that share bytes with the image.
    """
    layout = ifd.read_layout(encoded)
    if layout is None:
        raise not_strippable("does not start as a TIFF")
    walk = _TiffWalk(encoded, layout, kept=[(0, 16 if layout.big else 8)], budget=2 * len(encoded))
    for number, (offset, entries, end) in enumerate(_directories(encoded, layout)):
        _visit_directory(walk, offset, entries, end, first=number == 0)
    kept = merge_ranges(walk.kept, len(encoded))
    if ranges_overlap(walk.removed, kept):
        raise not_strippable("a private value of a TIFF shares bytes with the picture")
    name = walk.edits[0].name if walk.edits else "bytes that nothing points at"
    return walk.edits + zero_all_but(encoded, kept, name) + _nested_edits(walk)


def _directories(encoded: bytes, layout: ifd.IfdLayout) -> Iterator[tuple[int, list[ifd.IfdEntry], int]]:
    """Yield offset, entries and end of each directory in the chain.

    Together they may not be longer than the file, which bounds the work.
    """
    offset, seen, budget = layout.first_directory(encoded), set[int](), len(encoded)
    while offset and offset not in seen:
        seen.add(offset)
        entries, end = ifd.read_entries(encoded, layout, offset)
        budget -= end - offset
        if budget < 0:
            raise not_strippable("the directories of a TIFF overlap")
        yield offset, entries, end
        # As Pillow: without the offset of a next directory, the chain ends.
        offset = layout.read_offset(encoded, end) if end + layout.word <= len(encoded) else 0


def _visit_directory(walk: _TiffWalk, offset: int, entries: list[ifd.IfdEntry], end: int, *, first: bool) -> None:
    encoded, layout = walk.encoded, walk.layout
    kept = [entry for entry in entries if entry.tag in _KEPT]
    removed = [entry for entry in entries if entry.tag not in _KEPT]
    walk.kept += [(entry.start, entry.stop) for entry in kept if not entry.inline]
    walk.removed += [(entry.start, min(entry.stop, len(encoded))) for entry in removed if not entry.inline]
    walk.budget -= sum(entry.stop - entry.start for entry in kept if not entry.inline)
    if walk.budget < 0:
        raise not_strippable("values of a TIFF overlap")
    image = tiff_strips.read_image_data(encoded, layout, {entry.tag: entry for entry in reversed(kept)})
    walk.kept += image.ranges
    walk.nested += image.nested
    if not removed:
        walk.kept.append((offset, end + layout.word))
        return
    rows = [(entry.tag, encoded[entry.position : entry.position + layout.entry_width]) for entry in kept]
    if first and (orientation := _orientation_from_xmp(encoded, layout, entries)):
        rows = sorted([*rows, orientation], key=lambda row: row[0])
    count = struct.pack(layout.order + ("Q" if layout.big else "H"), len(rows))
    next_directory = encoded[end : end + layout.word].ljust(layout.word, b"\0")
    directory = count + b"".join(row for _, row in rows) + next_directory
    names = dict.fromkeys(_NAMES.get(entry.tag, f"tag {entry.tag}") for entry in removed)
    walk.kept.append((offset, offset + len(directory)))
    walk.edits += [Edit(offset, offset, b"", name) for name in names]  # one edit of bytes, under all names
    walk.edits.append(Edit(offset, offset + len(directory), directory, next(iter(names))))


def _orientation_from_xmp(
    encoded: bytes, layout: ifd.IfdLayout, entries: list[ifd.IfdEntry]
) -> tuple[int, bytes] | None:
    """Return an orientation tag if Pillow finds the orientation only in the XMP packet, which is removed."""
    packet = next((entry for entry in entries if entry.tag == _XMP), None)
    if packet is None or any(entry.tag == ifd.ORIENTATION for entry in entries):
        return None
    value = ifd.find_orientation(None, encoded[packet.start : packet.stop])
    row = struct.pack(layout.order + ("HHQHHI" if layout.big else "HHIHH"), *_short_entry(value, layout.big))
    return (ifd.ORIENTATION, row) if value != 1 else None


def _short_entry(value: int, big: bool) -> tuple[int, ...]:
    return (ifd.ORIENTATION, 3, 1, value, 0, 0) if big else (ifd.ORIENTATION, 3, 1, value, 0)


def _nested_edits(walk: _TiffWalk) -> list[Edit]:
    """Return the edits for private metadata inside strips that are files of another format."""
    edits, budget = [], 2 * len(walk.encoded)
    for nested in dict.fromkeys(walk.nested):
        budget -= nested.stop - nested.start
        if budget < 0:
            raise not_strippable("the strips of a TIFF overlap")
        stream = walk.encoded[nested.start : nested.stop]
        if nested.format == "JPEG":
            for edit in jpeg.find_private_in_place(stream):
                edits += replace_bytes(
                    walk.encoded, nested.start + edit.start, nested.start + edit.stop, edit.replacement, edit.name
                )
        elif webp.find_private(stream):
            raise not_strippable("a WebP strip of a TIFF holds more than a picture")
    return edits
