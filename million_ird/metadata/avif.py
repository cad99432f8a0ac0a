"""AVIF and HEIF: boxes and items, none of which may move, because they refer to each other by file offset.

Private bytes become zeros of the same length and, where a reader would try to parse them, get the type `free`: Exif,
XMP and all other items that are not images, thumbnails, user data, unknown boxes, and the dates of an image sequence.
Without a sequence, bytes of the media data that belong to no item become zeros, too. Rotation and mirroring (`irot`,
`imir`) are properties and stay; readers ignore the orientation in the Exif item of an AVIF.
"""

from dataclasses import dataclass, field

from million_ird.metadata.avif_items import AvifItem, read_items
from million_ird.metadata.edits import (
    Edit,
    Range,
    merge_ranges,
    not_strippable,
    ranges_overlap,
    remove_bytes,
    replace_bytes,
    zero_all_but,
    zero_bytes,
)
from million_ird.metadata.iso_boxes import IsoBox, iter_boxes

_TOP = {b"ftyp", b"meta", b"moov", b"mdat"}
_IMAGES = {b"av01", b"hvc1", b"grid", b"iden", b"iovl", b"tmap", b"sato"}
_OTHER_ITEMS = {b"Exif", b"mime", b"uri ", b"free"}
"""Types of items that are not images; `free` are those that were stripped before."""
_SPARE = {b"free", b"skip", b"uuid", b"udta", b"jumb", b"wide"}
_CHILDREN = {
    b"moov": {b"mvhd", b"trak", b"mvex", b"iods", b"meta"},
    b"trak": {b"tkhd", b"tref", b"edts", b"mdia", b"meta"},
    b"mdia": {b"mdhd", b"hdlr", b"minf", b"elng"},
    b"meta": {b"hdlr", b"pitm", b"iinf", b"iloc", b"iprp", b"iref", b"idat", b"grpl", b"dinf"},
}
_DATED = {b"mvhd", b"tkhd", b"mdhd"}
_NAMES = {b"Exif": "EXIF", b"mime": "XMP", b"uuid": "uuid box", b"udta": "user data", b"jumb": "provenance (JUMBF)"}


@dataclass(slots=True)
class _AvifWalk:
    """What was found so far in a walk over the boxes."""

    encoded: bytes
    edits: list[Edit] = field(default_factory=list)
    items: list[AvifItem] = field(default_factory=list)


def find_private(encoded: bytes) -> list[Edit]:
    """Return the edits that remove private metadata from an AVIF.

    Raises:
        ReadError: `not_strippable` for broken boxes, fragments, or private items whose bytes cannot be located.
    """
    top = list(iter_boxes(encoded, 0, len(encoded), inside=False))
    if not top or top[0].kind != b"ftyp":
        raise not_strippable("does not start as an AVIF")
    walk = _AvifWalk(encoded)
    for box in top:
        _visit_box(walk, box, _TOP)
    sequence = any(box.kind == b"moov" for box in top)
    trailing = _trailing_bytes(encoded, top)
    if sequence and (trailing or any(box.kind not in _TOP | _SPARE for box in top)):
        raise not_strippable("an AVIF sequence with more than its boxes")  # its samples could be anywhere
    walk.edits += trailing
    _zero_private_items(walk, [box for box in top if box.kind == b"mdat"], sequence=sequence)
    return list(dict.fromkeys(walk.edits))  # a sequence names one Exif block twice


def _trailing_bytes(encoded: bytes, top: list[IsoBox]) -> list[Edit]:
    """Return the edit for what follows the last complete box: an appended file, but not the rest of a cut-off image."""
    end = top[-1].stop
    if not any(box.kind in {b"meta", b"moov"} for box in top) or encoded[end + 4 : end + 8] in {*_TOP, b"moof"}:
        raise not_strippable("an AVIF that is cut off")
    return remove_bytes(end, len(encoded), "trailing bytes")


def _visit_box(walk: _AvifWalk, box: IsoBox, allowed: set[bytes]) -> None:
    if box.kind == b"moof":
        raise not_strippable("an AVIF in fragments")
    if box.kind not in allowed:
        _free_box(walk, box)
    elif box.kind == b"meta":
        _visit_meta(walk, box)
    elif box.kind in _CHILDREN:
        for child in iter_boxes(walk.encoded, box.body, box.stop):
            _visit_box(walk, child, _CHILDREN[box.kind])
    elif box.kind in _DATED:
        width = 16 if walk.encoded[box.body] == 1 else 8
        walk.edits += zero_bytes(walk.encoded, box.body + 4, min(box.body + 4 + width, box.stop), "creation time")


def _free_box(walk: _AvifWalk, box: IsoBox) -> None:
    name = _NAMES.get(box.kind, f"box {box.kind.decode('latin-1')}")
    if box.kind not in {b"free", b"skip"}:
        walk.edits += replace_bytes(walk.encoded, box.start + 4, box.start + 8, b"free", name)
    walk.edits += zero_bytes(walk.encoded, box.body, box.stop, name)


def _visit_meta(walk: _AvifWalk, box: IsoBox) -> None:
    children = list(iter_boxes(walk.encoded, box.body + 4, box.stop))
    handler = next((child for child in children if child.kind == b"hdlr"), None)
    if handler is None or walk.encoded[handler.body + 8 : handler.body + 12] != b"pict":
        _free_box(walk, box)
        return
    for child in children:
        if child.kind not in _CHILDREN[b"meta"]:
            _free_box(walk, child)
    walk.items += read_items(walk.encoded, children)


def _zero_private_items(walk: _AvifWalk, media: list[IsoBox], *, sequence: bool) -> None:
    """Add edits that zero the bytes of private items, and media data that belongs to no item."""
    images = [item for item in walk.items if item.kind in _IMAGES and not item.thumbnail]
    kept = merge_ranges((extent for item in images for extent in item.extents), len(walk.encoded))
    private: list[Range] = []
    if any(item.elsewhere for item in walk.items):
        raise not_strippable("an item of an AVIF that is not in one place of the file")
    for item in walk.items:
        if item.kind in _IMAGES and not item.thumbnail:
            continue
        if item.kind not in _IMAGES | _OTHER_ITEMS:
            raise not_strippable(f"an item of type {item.kind!r} in an AVIF")
        name = "thumbnail" if item.thumbnail else _NAMES.get(item.kind, "item")
        if item.kind not in _IMAGES:
            walk.edits += replace_bytes(walk.encoded, item.type_at, item.type_at + 4, b"free", name)
        if any(stop > len(walk.encoded) for _, stop in item.extents):
            raise not_strippable("an item of an AVIF lies outside the file")
        private += item.extents
        for start, stop in merge_ranges(item.extents, len(walk.encoded)):
            walk.edits += zero_bytes(walk.encoded, start, stop, name)
    if ranges_overlap([(edit.start, edit.stop) for edit in walk.edits], kept):
        raise not_strippable("a private part of an AVIF shares bytes with the picture")
    for box in media if not sequence else []:
        unclaimed = zero_all_but(walk.encoded, [*kept, *private], "bytes of no item", since=box.body, until=box.stop)
        for edit in unclaimed:  # zeros also at the end of the file, where `zero_all_but` removes
            walk.edits += zero_bytes(walk.encoded, edit.start, edit.stop, edit.name)
