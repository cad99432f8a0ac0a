"""SGI: a header of 512 bytes with a name and unused fields, then rows. Name and unused fields become zeros."""

import numpy as np

from million_ird.metadata.edits import Edit, Range, not_strippable, zero_all_but, zero_bytes

_HEADER, _NAME, _NAME_END, _UNUSED = 512, 24, 104, 108


def find_private(encoded: bytes) -> list[Edit]:
    """Return the edits that remove private metadata from an SGI image.

    Raises:
        ReadError: `not_strippable` for an unknown compression or tables that are cut off.
    """
    if encoded[:2] != b"\x01\xda" or len(encoded) < _HEADER:
        raise not_strippable("does not start as an SGI picture")
    packed, depth = encoded[2], encoded[3]
    width, height, channels = (int.from_bytes(encoded[offset : offset + 2], "big") for offset in (6, 8, 10))
    kept: list[Range] = [(0, _HEADER)]
    if packed == 0:
        kept.append((_HEADER, _HEADER + width * height * channels * depth))
    elif packed == 1:
        kept += _rows(encoded, height * channels)
    else:
        raise not_strippable(f"SGI compression {packed}")
    edits = zero_bytes(encoded, 20, _NAME, "unused header") + zero_bytes(encoded, _NAME, _NAME_END, "name")
    edits += zero_bytes(encoded, _UNUSED, _HEADER, "unused header")
    return edits + zero_all_but(encoded, kept, "bytes outside the picture")


def _rows(encoded: bytes, count: int) -> list[Range]:
    """Return the ranges of the two tables and of the rows that they list."""
    end = _HEADER + 8 * count
    if end > len(encoded):
        raise not_strippable("an SGI picture that is cut off")
    table = np.frombuffer(encoded, ">u4", 2 * count, _HEADER).astype(np.int64)
    starts, stops = table[:count], table[:count] + table[count:]
    if count and (stops.max() > len(encoded) or np.frombuffer(encoded, np.uint8)[stops - 1].any()):
        raise not_strippable("a row of an SGI picture without its end mark")  # decoders would continue behind it
    return [(_HEADER, end), *zip(starts.tolist(), stops.tolist(), strict=True)]
