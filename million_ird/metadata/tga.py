"""TGA: header, an identification of up to 255 bytes, palette, pixels, developer and extension areas.

The areas after the pixels hold author, date, job name and software. They are removed, and so is the identification.
What readers need to show the image stays: meaning of the alpha channel, gamma, pixel aspect, the mark of version 2.
"""

import struct

from million_ird.metadata.edits import Edit, not_strippable, remove_bytes, replace_bytes

_HEADER = 18
_DEPTHS = {1, 8, 15, 16, 24, 32}
_FOOTER, _SIGNATURE = 26, b"TRUEVISION-XFILE.\0"
_EXTENSION = 495
_MEANINGS = slice(470, 482)
"""Key colour, pixel aspect and gamma in the extension area; its last byte is the meaning of the alpha channel."""


def find_private(encoded: bytes) -> list[Edit]:
    """Return the edits that remove private metadata from a TGA.

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
    edits = (
        [Edit(0, 1, b"\0", "identification"), *remove_bytes(_HEADER, start, "identification")] if identification else []
    )
    start += mapped * entries * ((entry_bits + 7) // 8)
    if kind & 8:
        end = _packets_end(encoded, start, width * height, (depth + 7) // 8)
    else:
        depth = 16 if depth == 15 else depth  # each in two bytes
        end = start + (width * depth + 7) // 8 * height
    if end >= len(encoded):
        return edits
    return edits + replace_bytes(encoded, end, len(encoded), _tail(encoded, end - identification), "trailing bytes")


def _tail(encoded: bytes, pixels_end: int) -> bytes:
    """Return what replaces the bytes after the pixels: a footer, and an extension area with the meanings alone."""
    extension = b""
    if encoded.endswith(_SIGNATURE):
        (start,) = struct.unpack_from("<I", encoded, len(encoded) - _FOOTER)
        old = encoded[start : start + _EXTENSION] if start else b""
        if len(old) == _EXTENSION:
            area = bytearray(_EXTENSION)
            struct.pack_into("<H", area, 0, _EXTENSION)
            area[_MEANINGS], area[-1] = old[_MEANINGS], old[-1]
            extension = bytes(area)
    return extension + struct.pack("<II", pixels_end if extension else 0, 0) + _SIGNATURE


def _packets_end(encoded: bytes, position: int, pixels: int, width: int) -> int:
    """Return where the packets of that many pixels end."""
    while pixels > 0 and position < len(encoded):
        count = (encoded[position] & 127) + 1
        position += 1 + (width if encoded[position] & 128 else width * count)
        pixels -= count
    return position
