"""QOI: 14 bytes of header, codes of pixels, an end mark. Only bytes after it can be private."""

import struct

from million_ird.metadata.edits import Edit, not_strippable, remove_bytes

_END = b"\0\0\0\0\0\0\0\1"
_HEADER = 14
_RGB, _RGBA, _LUMA, _RUN = 0xFE, 0xFF, 2, 3


def find_private(encoded: bytes) -> list[Edit]:
    """Return the edits that remove private metadata from a QOI.

    Raises:
        ReadError: `not_strippable` for a file without an end.
    """
    if not encoded.startswith(b"qoif") or len(encoded) < _HEADER:
        raise not_strippable("does not start as a QOI")
    # Encoders do not write the end mark among the codes: if it is found only at the very end, nothing follows it.
    if encoded.find(_END, _HEADER) == len(encoded) - len(_END):
        return []
    width, height = struct.unpack_from(">II", encoded, 4)
    end = _codes_end(encoded, width * height)
    end += len(_END) if encoded.startswith(_END, end) else 0
    return remove_bytes(end, len(encoded), "trailing bytes")


def _codes_end(encoded: bytes, pixels: int) -> int:
    """Return where the codes of that many pixels end."""
    position, length = _HEADER, len(encoded)
    while pixels > 0 and position < length:
        code = encoded[position]
        pixels -= 1
        if code == _RGB:
            position += 4
        elif code == _RGBA:
            position += 5
        else:
            position += 2 if code >> 6 == _LUMA else 1
            pixels -= (code & 63) if code >> 6 == _RUN else 0
    if pixels > 0 or position > length:
        raise not_strippable("a QOI that is cut off")
    return position
