"""What is carried beside a picture's samples from one file to another, and made true of an upright picture."""

import contextlib
import re
import struct
from collections.abc import Mapping
from typing import Any, TypedDict

from PIL import Image

from dynet.inference.tiff_directories import (
    ARTIST,
    COPYRIGHT,
    DESCRIPTION,
    EXIF,
    ORIENTATION,
    SOFTWARE,
    read_description,
)

XMP_KEYWORD = b"XML:com.adobe.xmp"
"""Of the PNG text in which XMP is kept."""
_WIDTH, _HEIGHT = 0xA002, 0xA003
_TURNED_IN_XMP = re.compile(rb"""(tiff:Orientation(?:\s*=\s*["']|>))[2-8]""")
_PRIMARIES_OF_SRGB, _TRANSFERS_OF_SRGB = (1, 2), (1, 2, 6, 13)
"""By ITU-T H.273, with what stands for `unspecified`, and with BT.709's curve, which everybody shows as sRGB's."""
_AS_EXIF = {
    "Title": DESCRIPTION,
    "Description": DESCRIPTION,
    "Comment": DESCRIPTION,
    "Author": ARTIST,
    "Copyright": COPYRIGHT,
    "Software": SOFTWARE,
}
"""PNG's keywords that have a tag of Exif, the first of two that share one before the second."""


class Carried(TypedDict, total=False):
    """Each is there if the file had it. Exif and XMP say that the picture stands upright, as it does."""

    icc_profile: bytes
    exif: bytes
    """A block as TIFF has it, with or without the prefix of JPEG."""
    xmp: bytes
    dpi: tuple[float, float]
    texts: dict[str, str]
    """A PNG's texts by keyword; a JPEG's comment as `Comment`."""
    photoshop: bytes
    """The APP13 segments of a JPEG, in which IPTC captions are."""
    cicp: bytes
    """A colour space by its numbers (ITU-T H.273), as PNG's cICP has it, where it is not sRGB."""


def carried_from(image: Image.Image, encoded: bytes, *, sideways: bool) -> Carried:
    """What the opened and decoded image says of its picture; `sideways` if it had to be turned by 90° or 270°."""
    info = image.info
    carried = Carried()
    if profile := info.get("icc_profile"):
        carried["icc_profile"] = profile
    if exif := _exif_of(image, encoded):
        carried["exif"] = exif_upright(exif, sideways=sideways)
    if isinstance(xmp := info.get("xmp"), bytes) and b"hdrgm:" not in xmp:
        # Of a picture whose brighter version lay behind it in the file, XMP would promise what is no longer there.
        carried["xmp"] = xmp_upright(xmp)
    if (dpi := _dpi(info)) is not None:
        carried["dpi"] = dpi
    if texts := _texts(image):
        carried["texts"] = texts
    if numbers := _colour_numbers(image, encoded):
        carried["cicp"] = numbers
    segments = [body for kind, body in getattr(image, "applist", []) if kind == "APP13"]
    if segments:
        carried["photoshop"] = b"".join(b"\xff\xed" + struct.pack(">H", len(body) + 2) + body for body in segments)
    return carried


def exif_upright(exif: bytes, *, sideways: bool = False) -> bytes:
    """The same Exif block, byte for byte, made true of the upright picture.

    Its orientation is 1 where it was another, width and height change places where it was `sideways`, and the small
    picture in it, which shows the unrestored one as it was stored, is no longer pointed to. A block that cannot be
    read comes back unchanged.
    """
    changed = bytearray(exif)
    start = 6 if exif.startswith(b"Exif\0\0") else 0
    order = {b"II": "<", b"MM": ">"}.get(exif[start : start + 2])
    if order is None:
        return exif
    try:
        (first,) = struct.unpack_from(f"{order}I", exif, start + 4)
        main, after = _places(exif, start + first, order)
        if ORIENTATION in main:
            struct.pack_into(f"{order}H", changed, main[ORIENTATION] + 8, 1)
        if len(exif) >= after + 4:
            struct.pack_into(f"{order}I", changed, after, 0)
        if sideways and EXIF in main:
            (inside,) = struct.unpack_from(f"{order}I", exif, main[EXIF] + 8)
            sizes, _ = _places(exif, start + inside, order)
            if _WIDTH in sizes and _HEIGHT in sizes:
                width, height = sizes[_WIDTH] + 2, sizes[_HEIGHT] + 2  # beyond the tag: type, count and value
                changed[width : width + 10], changed[height : height + 10] = (
                    exif[height : height + 10],
                    exif[width : width + 10],
                )
    except struct.error:  # cut off
        return exif
    return bytes(changed)


def xmp_upright(xmp: bytes) -> bytes:
    """The same XMP, but for an orientation of 1 where it has another."""
    return _TURNED_IN_XMP.sub(rb"\g<1>1", xmp)


def exif_with_texts(carried: Carried) -> bytes:
    """The Exif block, with those of the texts that it has a tag for and nothing in it: for formats without texts."""
    exif, texts = carried.get("exif", b""), carried.get("texts", {})
    wanted = [(tag, texts[keyword]) for keyword, tag in _AS_EXIF.items() if keyword in texts]
    if not wanted:
        return exif
    description = before = read_description(exif)
    for tag, text in wanted:
        description = description.with_text(tag, text)
    return exif if description == before else description.exif_block()


def _places(exif: bytes, directory: int, order: str) -> tuple[dict[int, int], int]:
    """Where the entries of a directory stand, by tag, and what follows the last of them."""
    (number,) = struct.unpack_from(f"{order}H", exif, directory)
    after = directory + 2 + 12 * number
    entries = range(directory + 2, min(after, len(exif) - 11), 12)
    return {struct.unpack_from(f"{order}H", exif, entry)[0]: entry for entry in entries}, after


def _exif_of(image: Image.Image, encoded: bytes) -> bytes:
    if image.format == "TIFF":
        return read_description(encoded).exif_block()
    block = image.info.get("exif", b"")
    if not block and isinstance(text := image.info.get("Raw profile type exif"), str):
        with contextlib.suppress(ValueError):
            block = bytes.fromhex("".join(text.split("\n")[3:]))
    return block if isinstance(block, bytes) else b""


def _colour_numbers(image: Image.Image, encoded: bytes) -> bytes:
    """As cICP has them: primaries, transfer, no matrix, full range; nothing where they are sRGB's or not told."""
    if image.format == "PNG":
        at = encoded.find(b"\0\0\0\x04cICP", 0, encoded.find(b"IDAT"))
        return encoded[at + 8 : at + 12] if at >= 0 else b""
    at = encoded.find(b"colrnclx") if image.format == "AVIF" and "icc_profile" not in image.info else -1
    if at < 0 or len(encoded) < at + 12:
        return b""
    primaries, transfer = struct.unpack_from(">HH", encoded, at + 8)
    if primaries in _PRIMARIES_OF_SRGB and transfer in _TRANSFERS_OF_SRGB:
        return b""
    return bytes([primaries & 255, transfer & 255, 0, 1])


def _dpi(info: Mapping[str | tuple[int, int], Any]) -> tuple[float, float] | None:
    try:
        across, down = (float(dots) for dots in info["dpi"])
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return None
    return (across, down) if 0 < across < 1e6 and 0 < down < 1e6 else None


def _texts(image: Image.Image) -> dict[str, str]:
    if image.format == "PNG":
        texts = {str(keyword): str(text) for keyword, text in getattr(image, "text", {}).items()}
        return {keyword: texts[keyword] for keyword in texts if not keyword.startswith(("XML:", "Raw profile"))}
    comment = image.info.get("comment")
    if isinstance(comment, bytes) and comment.strip(b"\0"):
        return {"Comment": comment.strip(b"\0").decode("utf-8", "replace")}
    return {}
