"""PCX: 128 bytes of header, run-length codes, a palette at the very end. Bytes between them and the filler go."""

import struct

from million_ird.metadata.edits import Edit, not_strippable, remove_bytes, zero_bytes

_HEADER, _PALETTE = 128, 769
_FILLER = 74


def find_private(encoded: bytes) -> list[Edit]:
    """Return the edits that remove private metadata from a PCX.

    Raises:
        ReadError: `not_strippable` for a broken header, or if removing bytes would turn others into a palette.
    """
    if encoded[:1] != b"\x0a" or len(encoded) < _HEADER:
        raise not_strippable("does not start as a PCX")
    bits, left, top, right, bottom = struct.unpack_from("<BHHHH", encoded, 3)
    planes, stride = encoded[65], struct.unpack_from("<H", encoded, 66)[0]
    width, height = right + 1 - left, bottom + 1 - top
    if width <= 0 or height <= 0 or not planes or not bits:
        raise not_strippable("a PCX with a broken header")
    line = (width * bits + 7) // 8
    line += line % 2 if stride != line else 0  # the line length that Pillow decodes with
    end = _codes_end(encoded, line * planes, height)
    palette = len(encoded)
    coloured = encoded[1] == 5 and (bits, planes) == (8, 1)
    if coloured and palette - end >= _PALETTE and encoded[-_PALETTE] == 12:
        palette -= _PALETTE
    elif coloured and end < palette and end >= _PALETTE and encoded[end - _PALETTE] == 12:
        raise not_strippable("a PCX whose codes would be read as a palette")
    edits = zero_bytes(encoded, 64, 65, "filler") + zero_bytes(encoded, _FILLER, _HEADER, "filler")
    return edits + remove_bytes(end, palette, "bytes outside the picture")


def _codes_end(encoded: bytes, line: int, height: int) -> int:
    """Return where the codes of the image end; a run that crosses the end of a line stops there."""
    position, length = _HEADER, len(encoded)
    for _ in range(height):
        column = 0
        while column < line and position < length:
            code = encoded[position]
            if code >= 0xC0:
                column += code & 63
                position += 2
            else:
                column += 1
                position += 1
        if position >= length:
            break
    return min(position, length)
