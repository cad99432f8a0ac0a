"""Files of the first rows of a PNG or a JPEG: rows are stored from the top, so a smaller height in the header will do.

Only where a decoder surely finds the same pixels in the shorter file: anything unusual is left to be decoded whole.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Protocol

_PNG = b"\x89PNG\r\n\x1a\n"
_PLAIN_CHUNKS = {b"IHDR", b"PLTE", b"IDAT", b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"pHYs", b"bKGD", b"sBIT",
                 b"tIME", b"hIST", b"oFFs", b"sPLT", b"cICP"}  # fmt: skip
_TEXTS = {b"tEXt", b"zTXt", b"iTXt"}
_TEXTS_THAT_TURN = (b"Raw profile type", b"XML:com.adobe.xmp")
"""Those in which Pillow finds an Exif orientation."""

_FRAMES = (0xC0, 0xC1, 0xC2)
"""Markers of JPEG's Huffman coded frames: baseline, extended, progressive."""
_TABLES_AND_REMARKS = {0xC4, 0xDB, 0xDD, 0xFE, *range(0xE0, 0xF0)}
_SCAN, _APP1, _APP2 = 0xDA, 0xE1, 0xE2
_END_OF_JPEG = b"\xff\xd9"


class _Shorten(Protocol):
    def __call__(self, rows: int) -> bytes: ...


@dataclass(frozen=True, slots=True)
class ShortenableImage:
    """A file that can be shortened, and its picture's size as stored, before it is turned by its Exif orientation."""

    height: int
    width: int
    may_be_turned: bool
    first_rows: _Shorten
    """A file whose first `rows` rows are those of this one; it may have more."""


def parse_shortenable(data: bytes) -> ShortenableImage | None:
    """What can be shortened; None for another format, anything unusual, and a file without an end."""
    return _parse_png(data) if data.startswith(_PNG) else _parse_jpeg(data) if data[:3] == b"\xff\xd8\xff" else None


def _parse_png(data: bytes) -> ShortenableImage | None:
    header = data[12:29]
    if len(data) < 57 or data[8:16] != b"\0\0\0\rIHDR" or data[29:33] != struct.pack(">I", zlib.crc32(header)):
        return None
    width, height, interlaced = *struct.unpack(">II", header[4:12]), header[16]
    place = 8
    while place + 12 <= len(data):
        kind = data[place + 4 : place + 8]
        if kind == b"IEND":
            if not (width and height) or interlaced:
                return None
            return ShortenableImage(height, width, False, partial(_shorter_png, data))
        if kind in _TEXTS:
            if data.startswith(_TEXTS_THAT_TURN, place + 8):
                return None
        elif kind not in _PLAIN_CHUNKS:
            return None
        place += 12 + int.from_bytes(data[place : place + 4], "big")
    return None


def _shorter_png(data: bytes, rows: int) -> bytes:
    header = data[12:20] + struct.pack(">I", rows) + data[24:29]
    return b"".join((data[:12], header, struct.pack(">I", zlib.crc32(header)), data[33:]))


def _parse_jpeg(data: bytes) -> ShortenableImage | None:
    frames, turned = [], False
    for marker, place in _segments(data):
        if marker == _SCAN:
            break
        if marker in _FRAMES and place + 10 <= len(data):
            frames.append(place)
        elif marker not in _TABLES_AND_REMARKS or (marker == _APP2 and data.startswith(b"MPF\0", place + 4)):
            return None  # another coding, or a file of several pictures
        turned |= marker == _APP1
    else:
        return None
    if len(frames) != 1 or data.rfind(_END_OF_JPEG, frames[0]) < 0:
        return None
    (frame,) = frames
    height, width, parts = struct.unpack(">HHB", data[frame + 5 : frame + 10])
    sampling = [data[at] & 15 for at in range(frame + 11, min(frame + 11 + 3 * parts, len(data)), 3)]
    if not (height and width and sampling):
        return None
    return ShortenableImage(height, width, turned, partial(_shorter_jpeg, data, frame, height, 8 * max(sampling)))


def _segments(data: bytes) -> Iterator[tuple[int, int]]:
    """Markers, and where they stand, as far as they follow upon each other."""
    place = 2
    while place + 4 <= len(data) and data[place] == 0xFF:
        yield data[place + 1], place
        place += 2 + int.from_bytes(data[place + 2 : place + 4], "big")


def _shorter_jpeg(data: bytes, frame: int, height: int, block: int, rows: int) -> bytes:
    # One row of blocks more: where chroma is smoothed upwards, the last row of a block takes from the one below.
    kept = (-(-rows // block) + 1) * block if block else height
    return b"".join((data[: frame + 5], struct.pack(">H", kept), data[frame + 7 :])) if kept < height else data
