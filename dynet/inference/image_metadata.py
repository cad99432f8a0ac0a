"""Metadata that is copied from an input file to its result, corrected for an image that was turned upright."""

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
    read_exif_description,
)

XMP_KEYWORD = b"XML:com.adobe.xmp"
"""The keyword of the PNG text that holds XMP."""
_WIDTH_TAG, _HEIGHT_TAG = 0xA002, 0xA003
_PROFILE_COLOURS = slice(16, 20)
_XMP_ORIENTATION = re.compile(rb"""(tiff:Orientation(?:\s*=\s*["']|>))[2-8]""")
_PRIMARIES_OF_SRGB, _TRANSFERS_OF_SRGB = (1, 2), (1, 2, 6, 13)
"""Numbers of ITU-T H.273; among them `unspecified`, and BT.709's curve, which all viewers show as sRGB's."""
_EXIF_TAGS_OF_TEXTS = {
    "Title": DESCRIPTION,
    "Description": DESCRIPTION,
    "Comment": DESCRIPTION,
    "Author": ARTIST,
    "Copyright": COPYRIGHT,
    "Software": SOFTWARE,
}
"""The PNG keywords that have an Exif tag; of two keywords with the same tag, the first has priority."""


class ImageMetadata(TypedDict, total=False):
    """Metadata of a file; a key is present if the file had it. Exif and XMP state that the image is upright."""

    icc_profile: bytes
    exif: bytes
    """A block in TIFF format, with or without the prefix of JPEG."""
    xmp: bytes
    dpi: tuple[float, float]
    texts: dict[str, str]
    """The texts of a PNG by keyword; the comment of a JPEG as `Comment`."""
    photoshop: bytes
    """The APP13 segments of a JPEG, which hold IPTC captions."""
    sample_range: tuple[float, float]
    """The smallest and largest sample that a TIFF states, in its own units."""
    cicp: bytes
    """The body of PNG's cICP chunk: a colour space other than sRGB by its numbers (ITU-T H.273)."""


def read_metadata(image: Image.Image, encoded: bytes, *, sideways: bool) -> ImageMetadata:
    """Read the metadata of an opened and decoded image.

    Args:
        image: the file as Pillow opened it.
        encoded: the bytes of the file.
        sideways: whether the image is turned by 90° or 270°, so that width and height change places.
    """
    info = image.info
    metadata = ImageMetadata()
    if profile := info.get("icc_profile") or (read_bmp_profile(encoded) if image.format == "BMP" else b""):
        metadata["icc_profile"] = profile
    if exif := _read_exif(image):
        metadata["exif"] = make_exif_upright(exif, sideways=sideways)
    if isinstance(xmp := info.get("xmp"), bytes) and b"hdrgm:" not in xmp:
        # XMP with `hdrgm:` describes an HDR gain map in the same file, which the result does not have.
        metadata["xmp"] = make_xmp_upright(xmp)
    if (dpi := _read_dpi(info)) is not None:
        metadata["dpi"] = dpi
    if texts := _read_texts(image):
        metadata["texts"] = texts
    if cicp := _read_cicp(image, encoded):
        metadata["cicp"] = cicp
    segments = [body for name, body in getattr(image, "applist", []) if name == "APP13"]
    if segments:
        metadata["photoshop"] = b"".join(b"\xff\xed" + struct.pack(">H", len(body) + 2) + body for body in segments)
    return metadata


def make_exif_upright(exif: bytes, *, sideways: bool = False) -> bytes:
    """Return an Exif block for the image after it was turned upright; all other bytes stay as they are.

    The orientation becomes 1, width and height change places if the image was `sideways`, and the thumbnail, which
    shows the unrestored image, is no longer referenced. A block that cannot be read is returned unchanged.
    """
    changed = bytearray(exif)
    start = 6 if exif.startswith(b"Exif\0\0") else 0
    order = {b"II": "<", b"MM": ">"}.get(exif[start : start + 2])
    if order is None:
        return exif
    try:
        (first,) = struct.unpack_from(f"{order}I", exif, start + 4)
        main, end = _entry_offsets(exif, start + first, order)
        if ORIENTATION in main:
            struct.pack_into(f"{order}H", changed, main[ORIENTATION] + 8, 1)
        if len(exif) >= end + 4:
            struct.pack_into(f"{order}I", changed, end, 0)  # no second directory, which is the thumbnail's
        if sideways and EXIF in main:
            (subdirectory,) = struct.unpack_from(f"{order}I", exif, main[EXIF] + 8)
            offsets, _ = _entry_offsets(exif, start + subdirectory, order)
            if _WIDTH_TAG in offsets and _HEIGHT_TAG in offsets:
                # After the tag's two bytes: type, count and value.
                width, height = offsets[_WIDTH_TAG] + 2, offsets[_HEIGHT_TAG] + 2
                changed[width : width + 10], changed[height : height + 10] = (
                    exif[height : height + 10],
                    exif[width : width + 10],
                )
    except struct.error:  # truncated
        return exif
    return bytes(changed)


def make_xmp_upright(xmp: bytes) -> bytes:
    """Return the XMP with an orientation of 1 where it has another."""
    return _XMP_ORIENTATION.sub(rb"\g<1>1", xmp)


def has_grey_profile(metadata: ImageMetadata) -> bool:
    """Return whether the colour profile is one of grey, which means nothing for samples of three colours."""
    return metadata.get("icc_profile", b"")[_PROFILE_COLOURS] == b"GRAY"


def add_texts_to_exif(metadata: ImageMetadata) -> bytes:
    """Return the Exif block with the PNG texts that fit a tag which is still empty: for formats without texts."""
    exif, texts = metadata.get("exif", b""), metadata.get("texts", {})
    additions = [(tag, texts[keyword]) for keyword, tag in _EXIF_TAGS_OF_TEXTS.items() if keyword in texts]
    if not additions:
        return exif
    description = before = read_exif_description(exif)
    for tag, text in additions:
        description = description.with_text(tag, text)
    return exif if description == before else description.exif_block()


def read_bmp_profile(encoded: bytes) -> bytes:
    """Return the profile that the header of a BMP of version 5 points to, of which Pillow reads nothing."""
    if len(encoded) < 138 or encoded[14] != 124 or encoded[70:74] != b"DEBM":
        return b""
    start, size = struct.unpack_from("<2I", encoded, 14 + 112)
    return encoded[14 + start :][:size]


def _entry_offsets(exif: bytes, directory: int, order: str) -> tuple[dict[int, int], int]:
    """Return the offset of each entry of a directory, by tag, and the offset after the last entry."""
    (count,) = struct.unpack_from(f"{order}H", exif, directory)
    end = directory + 2 + 12 * count
    entries = range(directory + 2, min(end, len(exif) - 11), 12)
    return {struct.unpack_from(f"{order}H", exif, entry)[0]: entry for entry in entries}, end


def _read_exif(image: Image.Image) -> bytes:
    block = image.info.get("exif", b"")
    if not block and isinstance(text := image.info.get("Raw profile type exif"), str):
        with contextlib.suppress(ValueError):
            block = bytes.fromhex("".join(text.split("\n")[3:]))
    return block if isinstance(block, bytes) else b""


def _read_cicp(image: Image.Image, encoded: bytes) -> bytes:
    """Return the body of a cICP chunk: primaries, transfer, no matrix, full range; empty for sRGB or if unknown."""
    if image.format == "PNG":
        offset = encoded.find(b"\0\0\0\x04cICP", 0, encoded.find(b"IDAT"))
        return encoded[offset + 8 : offset + 12] if offset >= 0 else b""
    offset = encoded.find(b"colrnclx") if image.format == "AVIF" and "icc_profile" not in image.info else -1
    if offset < 0 or len(encoded) < offset + 12:
        return b""
    return code_points(*struct.unpack_from(">HH", encoded, offset + 8))


def code_points(primaries: int, transfer: int) -> bytes:
    """Return the body of a cICP chunk for code points of ITU-T H.273, full range; empty for those of sRGB."""
    if primaries in _PRIMARIES_OF_SRGB and transfer in _TRANSFERS_OF_SRGB:
        return b""
    return bytes([primaries & 255, transfer & 255, 0, 1])


def _read_dpi(info: Mapping[str | tuple[int, int], Any]) -> tuple[float, float] | None:
    try:
        horizontal, vertical = (float(dots) for dots in info["dpi"])
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return None
    return (horizontal, vertical) if 0 < horizontal < 1e6 and 0 < vertical < 1e6 else None


def _read_texts(image: Image.Image) -> dict[str, str]:
    if image.format == "PNG":
        texts = {str(keyword): str(text) for keyword, text in getattr(image, "text", {}).items()}
        return {keyword: texts[keyword] for keyword in texts if not keyword.startswith(("XML:", "Raw profile"))}
    comment = image.info.get("comment")
    if isinstance(comment, bytes) and comment.strip(b"\0"):
        return {"Comment": comment.strip(b"\0").decode("utf-8", "replace")}
    return {}
