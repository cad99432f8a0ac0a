"""BMP: header, palette, pixels and an embedded colour profile stay; what lies between and behind them does not.

A linked profile is the path of a file on somebody's disk: it goes, and the header then says sRGB.
"""

import struct

from million_ird.metadata.edits import Edit, Range, all_but, blank, not_strippable, put

_CORE, _V5 = 12, 124
_RAW, _RLE8, _RLE4, _BITFIELDS, _ALPHA_BITFIELDS = 0, 1, 2, 3, 6
_LINKED, _EMBEDDED, _SRGB = b"KNIL", b"DEBM", b"BGRs"
"""Colour spaces of a version 5 header, as the bytes stand in the file."""


def find(encoded: bytes) -> list[Edit]:
    """What of a BMP is private.

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
    # Pillow takes an offset that points at the palette for one that forgot it, and 0 for "right behind it".
    start = offset + entry * colours if offset == 14 + size and bits <= 8 else offset or palette + entry * colours
    kept: list[Range] = [(0, palette + entry * colours)]
    kept += [
        (min(offset or start, start), _pixels_end(encoded, start, width, abs(height), bits, compression, declared))
    ]
    edits = blank(encoded, 6, 10, "reserved field")
    if size == _V5:
        more, profile = _profile(encoded)
        edits, kept = edits + more, kept + profile
    return edits + all_but(encoded, kept, "bytes outside the picture")


def _pixels_end(encoded: bytes, at: int, width: int, height: int, bits: int, compression: int, declared: int) -> int:
    if compression in {_RAW, _BITFIELDS, _ALPHA_BITFIELDS}:
        return at + ((width * bits + 31) // 32 * 4) * height
    if compression in {_RLE8, _RLE4}:
        return max(at + declared, _runs_end(encoded, at, nibbles=compression == _RLE4))
    raise not_strippable(f"BMP compression {compression}")


def _runs_end(encoded: bytes, at: int, *, nibbles: bool) -> int:
    """Where the run-length codes end: behind the end mark, or with the file."""
    while at + 2 <= len(encoded):
        count, value = encoded[at], encoded[at + 1]
        at += 2
        if count or value == 0:
            continue
        if value == 1:
            return at
        if value == 2:
            at += 2
        else:
            at += (value + 1) // 2 if nibbles else value
            at += at % 2  # as Pillow: to an even place in the file
    return len(encoded)


def _profile(encoded: bytes) -> tuple[list[Edit], list[Range]]:
    """The edits of a version 5 header's profile, and its bytes if they stay."""
    space = encoded[70:74]
    place, length = struct.unpack_from("<II", encoded, 126)
    if space == _EMBEDDED:
        return [], [(14 + place, 14 + place + length)]
    if space == _LINKED:
        name = "path of a colour profile"
        return put(encoded, 70, 74, _SRGB, name) + blank(encoded, 126, 134, name), []
    return [], []
