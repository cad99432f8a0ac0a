"""QOI: 14 bytes of header, codes of pixels, an end mark. Only what follows it can be private."""

import struct

from million_ird.metadata.edits import Edit, cut, not_strippable

_END = b"\0\0\0\0\0\0\0\1"
_HEADER = 14
_RGB, _RGBA, _LUMA, _RUN = 0xFE, 0xFF, 2, 3


def find(encoded: bytes) -> list[Edit]:
    """What of a QOI is private.

    Raises:
        ReadError: `not_strippable` for one without an end.
    """
    if not encoded.startswith(b"qoif") or len(encoded) < _HEADER:
        raise not_strippable("does not start as a QOI")
    # An honest encoder never writes the end mark among the codes: found last, nothing follows it.
    if encoded.find(_END, _HEADER) == len(encoded) - len(_END):
        return []
    width, height = struct.unpack_from(">II", encoded, 4)
    end = _codes_end(encoded, width * height)
    end += len(_END) if encoded.startswith(_END, end) else 0
    return cut(end, len(encoded), "trailing bytes")


def _codes_end(encoded: bytes, pixels: int) -> int:
    """Where the codes of that many pixels end."""
    at, length = _HEADER, len(encoded)
    while pixels > 0 and at < length:
        code = encoded[at]
        pixels -= 1
        if code == _RGB:
            at += 4
        elif code == _RGBA:
            at += 5
        else:
            at += 2 if code >> 6 == _LUMA else 1
            pixels -= (code & 63) if code >> 6 == _RUN else 0
    if pixels > 0 or at > length:
        raise not_strippable("a QOI that is cut off")
    return at
