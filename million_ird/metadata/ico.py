"""ICO: the largest picture stays, the one that is measured; the others, and bytes of no picture, become zeros.

A file whose PNG holds private chunks is refused: they cannot be removed, since its length is stored elsewhere.
"""

import struct

from million_ird.metadata import png
from million_ird.metadata.edits import Edit, Range, not_strippable, replace_bytes, zero_all_but

_HEADER, _ENTRY, _MAX_ENTRIES = 6, 16, 1000


def find_private(encoded: bytes) -> list[Edit]:
    """Return the edits that remove private metadata from an ICO.

    Raises:
        ReadError: `not_strippable` for a broken directory, or a PNG inside with private chunks.
    """
    if encoded[:4] != b"\0\0\1\0":
        raise not_strippable("does not start as an ICO")
    (count,) = struct.unpack_from("<H", encoded, 4)
    entries = [encoded[at : at + _ENTRY] for at in range(_HEADER, _HEADER + _ENTRY * min(count, _MAX_ENTRIES), _ENTRY)]
    if not entries or len(entries[-1]) < _ENTRY:
        raise not_strippable("an ICO with a broken directory")
    chosen = max(entries, key=_rank)  # of several the first
    size, start = struct.unpack_from("<II", chosen, 8)
    directory_end = _HEADER + _ENTRY * len(entries)
    if start < directory_end or start + size > len(encoded):
        raise not_strippable("an ICO whose picture lies elsewhere")
    picture = encoded[start : start + size]
    if picture.startswith(b"\x89PNG") and png.find_private(picture):
        raise not_strippable("an ICO with private chunks in its PNG")
    directory = struct.pack("<3H", 0, 1, 1) + chosen
    edits = replace_bytes(encoded, 0, directory_end, directory.ljust(directory_end, b"\0"), "further pictures")
    kept: list[Range] = [(0, directory_end), (start, start + size)]
    return edits + zero_all_but(encoded, kept, "further pictures")


def _rank(entry: bytes) -> tuple[int, int]:
    width, height, bits = struct.unpack_from("<2B4xH", entry)
    return (width or 256) * (height or 256), bits
