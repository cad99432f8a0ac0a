"""AVIF: boxes and items that nothing may move, because they are found by their place in the file.

What is private becomes zeros of the same length and, where a reader would try to parse it, takes the type `free`:
Exif, XMP and all other items that are no pictures, thumbnails, user data, unknown boxes, and the dates of a sequence.
Without a sequence, bytes of the media data that belong to no item become zeros, too. Rotation and mirroring (`irot`,
`imir`) are properties and stay; the orientation of the Exif item has no say in an AVIF.
"""

from dataclasses import dataclass, field

from million_ird.metadata.boxes import Box, boxes
from million_ird.metadata.edits import Edit, Range, all_but, blank, cut, merged, not_strippable, overlap, put
from million_ird.metadata.items import Item, items

_TOP = {b"ftyp", b"meta", b"moov", b"mdat"}
_PICTURES = {b"av01", b"grid", b"iden", b"iovl", b"tmap", b"sato"}
_WORDS = {b"Exif", b"mime", b"uri ", b"free"}
"""Items that are no pictures; `free` are those that were."""
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
class _Walk:
    encoded: bytes
    edits: list[Edit] = field(default_factory=list)
    items: list[Item] = field(default_factory=list)


def find(encoded: bytes) -> list[Edit]:
    """What of an AVIF is private.

    Raises:
        ReadError: `not_strippable` for broken boxes, fragments, or private items whose bytes cannot be told.
    """
    top = list(boxes(encoded, 0, len(encoded), inside=False))
    if not top or top[0].kind != b"ftyp":
        raise not_strippable("does not start as an AVIF")
    walk = _Walk(encoded)
    for box in top:
        _visit(walk, box, _TOP)
    sequence = any(box.kind == b"moov" for box in top)
    rest = _rest(encoded, top)
    if sequence and (rest or any(box.kind not in _TOP | _SPARE for box in top)):
        raise not_strippable("an AVIF sequence with more than its boxes")  # its samples could lie anywhere
    walk.edits += rest
    _payloads(walk, [box for box in top if box.kind == b"mdat"], sequence=sequence)
    return list(dict.fromkeys(walk.edits))  # a sequence names one Exif block twice


def _rest(encoded: bytes, top: list[Box]) -> list[Edit]:
    """What follows the last box that fits: an appended file, but not a picture that was cut off."""
    end = top[-1].stop
    if not any(box.kind in {b"meta", b"moov"} for box in top) or encoded[end + 4 : end + 8] in {*_TOP, b"moof"}:
        raise not_strippable("an AVIF that is cut off")
    return cut(end, len(encoded), "trailing bytes")


def _visit(walk: _Walk, box: Box, allowed: set[bytes]) -> None:
    if box.kind == b"moof":
        raise not_strippable("an AVIF in fragments")
    if box.kind not in allowed:
        _free(walk, box)
    elif box.kind == b"meta":
        _meta(walk, box)
    elif box.kind in _CHILDREN:
        for child in boxes(walk.encoded, box.body, box.stop):
            _visit(walk, child, _CHILDREN[box.kind])
    elif box.kind in _DATED:
        width = 16 if walk.encoded[box.body] == 1 else 8
        walk.edits += blank(walk.encoded, box.body + 4, min(box.body + 4 + width, box.stop), "creation time")


def _free(walk: _Walk, box: Box) -> None:
    name = _NAMES.get(box.kind, f"box {box.kind.decode('latin-1')}")
    if box.kind not in {b"free", b"skip"}:
        walk.edits += put(walk.encoded, box.start + 4, box.start + 8, b"free", name)
    walk.edits += blank(walk.encoded, box.body, box.stop, name)


def _meta(walk: _Walk, box: Box) -> None:
    children = list(boxes(walk.encoded, box.body + 4, box.stop))
    handler = next((c for c in children if c.kind == b"hdlr"), None)
    if handler is None or walk.encoded[handler.body + 8 : handler.body + 12] != b"pict":
        _free(walk, box)
        return
    for child in children:
        if child.kind not in _CHILDREN[b"meta"]:
            _free(walk, child)
    walk.items += items(walk.encoded, children)


def _payloads(walk: _Walk, media: list[Box], *, sequence: bool) -> None:
    """Zeros over the bytes of private items, and over what no item claims."""
    pictures = [item for item in walk.items if item.kind in _PICTURES and not item.thumbnail]
    kept = merged((extent for item in pictures for extent in item.extents), len(walk.encoded))
    gone: list[Range] = []
    if any(item.elsewhere for item in walk.items):
        raise not_strippable("an item of an AVIF that is not in one place of the file")
    for item in walk.items:
        if item.kind in _PICTURES and not item.thumbnail:
            continue
        if item.kind not in _PICTURES | _WORDS:
            raise not_strippable(f"an item of type {item.kind!r} in an AVIF")
        name = "thumbnail" if item.thumbnail else _NAMES.get(item.kind, "item")
        if item.kind not in _PICTURES:
            walk.edits += put(walk.encoded, item.type_at, item.type_at + 4, b"free", name)
        if any(stop > len(walk.encoded) for _, stop in item.extents):
            raise not_strippable("an item of an AVIF lies outside the file")
        gone += item.extents
        for start, stop in merged(item.extents, len(walk.encoded)):
            walk.edits += blank(walk.encoded, start, stop, name)
    if overlap([(edit.start, edit.stop) for edit in walk.edits], kept):
        raise not_strippable("a private part of an AVIF shares bytes with the picture")
    for box in media if not sequence else []:
        for edit in all_but(walk.encoded, [*kept, *gone], "bytes of no item", since=box.body, until=box.stop):
            walk.edits += blank(walk.encoded, edit.start, edit.stop, edit.what)  # not cut at the end of the file
