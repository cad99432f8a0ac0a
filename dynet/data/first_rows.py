"""Files with only the first rows of a PNG or a JPEG: rows are stored from the top, so a smaller height is enough.

This is done only where a decoder is sure to find the same pixels in the shorter file; unusual files are decoded whole.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Protocol

_PNG = b"\x89PNG\r\n\x1a\n"
_KNOWN_CHUNKS = {b"IHDR", b"PLTE", b"IDAT", b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"pHYs", b"bKGD", b"sBIT",
                 b"tIME", b"hIST", b"oFFs", b"sPLT", b"cICP"}  # fmt: skip
_TEXT_CHUNKS = {b"tEXt", b"zTXt", b"iTXt"}
_TEXTS_WITH_EXIF = (b"Raw profile type", b"XML:com.adobe.xmp")
"""Texts in which Pillow looks for an Exif orientation."""

_FRAME_MARKERS = (0xC0, 0xC1, 0xC2)
"""The Huffman-coded frames of JPEG: baseline, extended, progressive."""
_TABLES_AND_COMMENTS = {0xC4, 0xDB, 0xDD, 0xFE, *range(0xE0, 0xF0)}
_SCAN, _APP1, _APP2 = 0xDA, 0xE1, 0xE2
_END_OF_JPEG = b"\xff\xd9"


class _FirstRows(Protocol):
    def __call__(self, rows: int) -> bytes: ...


@dataclass(frozen=True, slots=True)
class ShortenableImage:
    """A file that can be shortened, and the size of its image as stored, before any Exif orientation."""

    height: int
    width: int
    may_be_rotated: bool
    first_rows: _FirstRows
    """Return a file whose first `rows` rows are those of this one; it may have more."""


def parse_shortenable(data: bytes) -> ShortenableImage | None:
    """Return how to shorten a file; None for another format, an unusual file, and one without an end marker."""
    return _parse_png(data) if data.startswith(_PNG) else _parse_jpeg(data) if data[:3] == b"\xff\xd8\xff" else None


def _parse_png(data: bytes) -> ShortenableImage | None:
    header = data[12:29]
    if len(data) < 57 or data[8:16] != b"\0\0\0\rIHDR" or data[29:33] != struct.pack(">I", zlib.crc32(header)):
        return None
    width, height, interlaced = *struct.unpack(">II", header[4:12]), header[16]
    offset = 8
    while offset + 12 <= len(data):
        kind = data[offset + 4 : offset + 8]
        if kind == b"IEND":
            if not (width and height) or interlaced:
                return None
            return ShortenableImage(height, width, False, partial(_shorten_png, data))
        if kind in _TEXT_CHUNKS:
            if data.startswith(_TEXTS_WITH_EXIF, offset + 8):
                return None
        elif kind not in _KNOWN_CHUNKS:
            return None
        offset += 12 + int.from_bytes(data[offset : offset + 4], "big")
    return None


def _shorten_png(data: bytes, rows: int) -> bytes:
    header = data[12:20] + struct.pack(">I", rows) + data[24:29]
    return b"".join((data[:12], header, struct.pack(">I", zlib.crc32(header)), data[33:]))


def _parse_jpeg(data: bytes) -> ShortenableImage | None:
    frames, may_be_rotated = [], False
    for marker, offset in _segments(data):
        if marker == _SCAN:
            break
        if marker in _FRAME_MARKERS and offset + 10 <= len(data):
            frames.append(offset)
        elif marker not in _TABLES_AND_COMMENTS or (marker == _APP2 and data.startswith(b"MPF\0", offset + 4)):
            return None  # another coding, or a file of several images
        may_be_rotated |= marker == _APP1
    else:
        return None
    if len(frames) != 1 or data.rfind(_END_OF_JPEG, frames[0]) < 0:
        return None
    (frame,) = frames
    height, width, components = struct.unpack(">HHB", data[frame + 5 : frame + 10])
    sampling = [data[index] & 15 for index in range(frame + 11, min(frame + 11 + 3 * components, len(data)), 3)]
    if not (height and width and sampling):
        return None
    return ShortenableImage(
        height, width, may_be_rotated, partial(_shorten_jpeg, data, frame, height, 8 * max(sampling))
    )


def _segments(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield the markers and their offsets, up to the first gap between segments."""
    offset = 2
    while offset + 4 <= len(data) and data[offset] == 0xFF:
        yield data[offset + 1], offset
        offset += 2 + int.from_bytes(data[offset + 2 : offset + 4], "big")


def _shorten_jpeg(data: bytes, frame: int, height: int, block: int, rows: int) -> bytes:
    # One more row of blocks: when chroma is upsampled smoothly, the last row of a block depends on the one below.
    new_height = (-(-rows // block) + 1) * block if block else height
    return (
        b"".join((data[: frame + 5], struct.pack(">H", new_height), data[frame + 7 :])) if new_height < height else data
    )
