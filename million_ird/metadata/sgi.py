"""SGI: a header of 512 bytes with a name and unused fields, then rows. Name and unused fields become zeros."""

import numpy as np

from million_ird.metadata.edits import Edit, Range, all_but, blank, not_strippable

_HEADER, _NAME, _NAME_END, _UNUSED = 512, 24, 104, 108


def find(encoded: bytes) -> list[Edit]:
    """What of an SGI picture is private.

    Raises:
        ReadError: `not_strippable` for an unknown compression or tables that are cut off.
    """
    if encoded[:2] != b"\x01\xda" or len(encoded) < _HEADER:
        raise not_strippable("does not start as an SGI picture")
    packed, depth = encoded[2], encoded[3]
    width, height, channels = (int.from_bytes(encoded[at : at + 2], "big") for at in (6, 8, 10))
    kept: list[Range] = [(0, _HEADER)]
    if packed == 0:
        kept.append((_HEADER, _HEADER + width * height * channels * depth))
    elif packed == 1:
        kept += _rows(encoded, height * channels)
    else:
        raise not_strippable(f"SGI compression {packed}")
    edits = blank(encoded, 20, _NAME, "unused header") + blank(encoded, _NAME, _NAME_END, "name")
    edits += blank(encoded, _UNUSED, _HEADER, "unused header")
    return edits + all_but(encoded, kept, "bytes outside the picture")


def _rows(encoded: bytes, count: int) -> list[Range]:
    """The two tables, and the rows they name."""
    end = _HEADER + 8 * count
    if end > len(encoded):
        raise not_strippable("an SGI picture that is cut off")
    table = np.frombuffer(encoded, ">u4", 2 * count, _HEADER).astype(np.int64)
    starts, stops = table[:count], table[:count] + table[count:]
    if count and (stops.max() > len(encoded) or np.frombuffer(encoded, np.uint8)[stops - 1].any()):
        raise not_strippable("a row of an SGI picture without its end mark")  # decoders would read on
    return [(_HEADER, end), *zip(starts.tolist(), stops.tolist(), strict=True)]
