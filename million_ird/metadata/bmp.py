"""BMP: header, palette, pixels and an embedded colour profile stay; bytes between and after them do not.

A linked profile is the path of a file on somebody's disk: it is removed, and the header then says sRGB.
"""

import struct

from million_ird.metadata.edits import Edit, Range, not_strippable, replace_bytes, zero_all_but, zero_bytes

_CORE, _V5 = 12, 124
_RAW, _RLE8, _RLE4, _BITFIELDS, _ALPHA_BITFIELDS = 0, 1, 2, 3, 6
_LINKED, _EMBEDDED, _SRGB = b"KNIL", b"DEBM", b"BGRs"
"""Colour spaces of a version 5 header, as the bytes are in the file."""


def find_private(encoded: bytes) -> list[Edit]:
    """Return the edits that remove private metadata from a BMP.

    Raises:
        ReadError: `not_strippable` for an unknown header or compression.
    """
    if encoded[:2] != b"BM":
        raise not_strippable("does not start as a BMP")
    size, offset = struct.unpack_from("<I", encoded, 14)[0], struct.unpack_from("<I", encoded, 10)[0]
    if size == _CORE:
        width, height, _, bits = struct.unpack_from("<HHHH", encoded, 18)
        compression, declared, colours, entry = _RAW, 0, 0, 3
    elif size in {40, 52, 56, 64, 108, _V5}:
        width, height, _, bits, compression, declared = struct.unpack_from("<IiHHII", encoded, 18)
        (colours,), entry = struct.unpack_from("<I", encoded, 46), 4
    else:
        raise not_strippable(f"a BMP header of {size} bytes")
    colours = colours or (1 << bits if bits <= 8 else 0)
    masks = {_BITFIELDS: 12, _ALPHA_BITFIELDS: 16}.get(compression, 0) if size == 40 else 0
    palette = 14 + size + masks
    # As Pillow: an offset that points at the palette was written without counting it, and 0 means right after it.
    start = offset + entry * colours if offset == 14 + size and bits <= 8 else offset or palette + entry * colours
    kept: list[Range] = [(0, palette + entry * colours)]
    kept += [
        (min(offset or start, start), _pixels_end(encoded, start, width, abs(height), bits, compression, declared))
    ]
    edits = zero_bytes(encoded, 6, 10, "reserved field")
    if size == _V5:
        profile_edits, profile = _profile(encoded)
        edits, kept = edits + profile_edits, kept + profile
    return edits + zero_all_but(encoded, kept, "bytes outside the picture")


def _pixels_end(encoded: bytes, start: int, width: int, height: int, bits: int, compression: int, declared: int) -> int:
    if compression in {_RAW, _BITFIELDS, _ALPHA_BITFIELDS}:
        return start + ((width * bits + 31) // 32 * 4) * height
    if compression in {_RLE8, _RLE4}:
        return max(start + declared, _runs_end(encoded, start, nibbles=compression == _RLE4))
    raise not_strippable(f"BMP compression {compression}")


def _runs_end(encoded: bytes, position: int, *, nibbles: bool) -> int:
    """Return where the run-length codes end: after the end mark, or with the file."""
    while position + 2 <= len(encoded):
        count, value = encoded[position], encoded[position + 1]
        position += 2
        if count or value == 0:
            continue
        if value == 1:
            return position
        if value == 2:
            position += 2
        else:
            position += (value + 1) // 2 if nibbles else value
            position += position % 2  # as Pillow: to an even offset in the file
    return len(encoded)


def _profile(encoded: bytes) -> tuple[list[Edit], list[Range]]:
    """Return the edits for the profile of a version 5 header, and the range of its bytes if they stay."""
    space = encoded[70:74]
    offset, length = struct.unpack_from("<II", encoded, 126)
    if space == _EMBEDDED:
        return [], [(14 + offset, 14 + offset + length)]
    if space == _LINKED:
        name = "path of a colour profile"
        return replace_bytes(encoded, 70, 74, _SRGB, name) + zero_bytes(encoded, 126, 134, name), []
    return [], []
