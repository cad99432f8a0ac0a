"""WebP: its chunks, and where the first frame of an animation lies on its canvas."""

import struct
from collections.abc import Iterator


def first_frame(encoded: bytes) -> tuple[int, int, int, int] | None:
    """Return left, top, right and bottom of the first frame; None for a still image and one that fills its canvas."""
    canvas = 0, 0
    for kind, start in iter_chunks(encoded):
        body = encoded[start : start + 16]
        if kind == b"VP8X":
            canvas = _number(body, 4) + 1, _number(body, 7) + 1
        elif kind == b"ANMF":
            left, top = 2 * _number(body, 0), 2 * _number(body, 3)
            extent = (left, top, left + _number(body, 6) + 1, top + _number(body, 9) + 1)
            return None if extent == (0, 0, *canvas) else extent
        elif kind in {b"VP8 ", b"VP8L"}:
            return None
    return None


def iter_chunks(encoded: bytes) -> Iterator[tuple[bytes, int]]:
    """Yield the name of each chunk and where its data begin, also of those in frames; data under 16 bytes end it."""
    start = 12
    while start + 24 <= len(encoded):
        kind, size = struct.unpack_from("<4sI", encoded, start)
        yield kind, start + 8
        start += 24 if kind == b"ANMF" else 8 + size + size % 2  # a frame's own chunks follow 16 bytes


def _number(body: bytes, at: int) -> int:
    return int.from_bytes(body[at : at + 3], "little")
