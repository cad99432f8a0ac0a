"""JPEG XL: a bare codestream, or boxes around it, of which all but those of the picture are removed."""

from million_ird.metadata.edits import Edit, not_strippable, remove_bytes
from million_ird.metadata.iso_boxes import iter_boxes

_KEPT = frozenset({b"JXL ", b"ftyp", b"jxll", b"jxlc", b"jxlp", b"jxli"})
_NAMES = {b"Exif": "EXIF", b"xml ": "XMP", b"brob": "compressed metadata", b"jumb": "provenance (JUMBF)"}


def find_private(encoded: bytes) -> list[Edit]:
    """Return the edits that remove private metadata from a JPEG XL.

    Raises:
        ReadError: `not_strippable` for broken boxes, and for a JPEG that was packed whole, with its own metadata.
    """
    if encoded[:2] == b"\xff\x0a":
        return []
    boxes = list(iter_boxes(encoded, 0, len(encoded), inside=False))
    kinds = {box.kind for box in boxes}
    if not boxes or boxes[0].kind != b"JXL " or not kinds & {b"jxlc", b"jxlp"}:
        raise not_strippable("does not start as a JPEG XL")
    if b"jbrd" in kinds:
        raise not_strippable("a JPEG XL from which a JPEG can be made again")
    edits: list[Edit] = []
    for box in boxes:
        if box.kind not in _KEPT:
            name = _NAMES.get(box.kind, f"box {box.kind.decode('latin-1')}")
            edits += remove_bytes(box.start, box.stop, name)
    return edits + remove_bytes(boxes[-1].stop, len(encoded), "trailing bytes")
