"""TGA: header, an identification of up to 255 bytes, palette, pixels; then developer and extension areas with author,
date, job name and software. The identification goes, and all that follows the pixels, but for what readers need to
know: what the alpha channel means, gamma, pixel aspect and the mark of version 2.
"""

import struct

from million_ird.metadata.edits import Edit, cut, not_strippable, put

_HEADER = 18
_DEPTHS = {1, 8, 16, 24, 32}
_FOOTER, _SIGNATURE = 26, b"TRUEVISION-XFILE.\0"
_EXTENSION = 495
_MEANINGS = slice(470, 482)
"""Key colour, pixel aspect and gamma in the extension area; what the alpha channel means is its last byte."""


def find(encoded: bytes) -> list[Edit]:
    """What of a TGA is private.

    Raises:
        ReadError: `not_strippable` for a broken header.
    """
    if len(encoded) < _HEADER:
        raise not_strippable("a TGA that is cut off")
    identification, mapped, kind = encoded[:3]
    entries, entry_bits = struct.unpack_from("<HB", encoded, 5)
    width, height, depth = struct.unpack_from("<HHB", encoded, 12)
    if kind not in {1, 2, 3, 9, 10, 11} or depth not in _DEPTHS or mapped > 1:
        raise not_strippable("does not start as a TGA")
    start = _HEADER + identification
    edits = [Edit(0, 1, b"\0", "identification"), *cut(_HEADER, start, "identification")] if identification else []
    start += mapped * entries * (entry_bits // 8)
    if kind & 8:
        end = _packets_end(encoded, start, width * height, (depth + 7) // 8)
    else:
        end = start + (width * depth + 7) // 8 * height
    if end >= len(encoded):
        return edits
    return edits + put(encoded, end, len(encoded), _tail(encoded, end - identification), "trailing bytes")


def _tail(encoded: bytes, at: int) -> bytes:
    """What stays behind pixels that end at a byte: a footer, and an extension area with no more than the meanings."""
    place, extension = 0, b""
    if encoded.endswith(_SIGNATURE):
        (place,) = struct.unpack_from("<I", encoded, len(encoded) - _FOOTER)
        old = encoded[place : place + _EXTENSION] if place else b""
        if len(old) == _EXTENSION:
            blank = bytearray(_EXTENSION)
            struct.pack_into("<H", blank, 0, _EXTENSION)
            blank[_MEANINGS], blank[-1] = old[_MEANINGS], old[-1]
            extension = bytes(blank)
    return extension + struct.pack("<II", at if extension else 0, 0) + _SIGNATURE


def _packets_end(encoded: bytes, at: int, pixels: int, width: int) -> int:
    """Where the packets of that many pixels end."""
    while pixels > 0 and at < len(encoded):
        count = (encoded[at] & 127) + 1
        at += 1 + (width if encoded[at] & 128 else width * count)
        pixels -= count
    return at
