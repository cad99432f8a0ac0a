"""Boxes of the ISO base media file format, on which AVIF and JPEG 2000 are built."""

import struct
from collections.abc import Iterator
from typing import NamedTuple

from million_ird.metadata.edits import not_strippable


class IsoBox(NamedTuple):
    """One box: a length, a type of four bytes, a body."""

    kind: bytes
    start: int
    body: int
    stop: int
    open_ended: bool
    """The length field means "to the end of the file"."""


def iter_boxes(encoded: bytes, start: int, end: int, *, inside: bool = True) -> Iterator[IsoBox]:
    """Yield the boxes between two bytes.

    Args:
        encoded: the whole file.
        start: where the first box starts.
        end: where the last box has to end.
        inside: whether these are boxes inside another box. There, a box that does not fit is an error; at the top level
            of a file it ends the iteration, and the caller looks at the remaining bytes.

    Raises:
        ReadError: `not_strippable`.
    """
    while start + 8 <= end:
        length, kind = struct.unpack_from(">I4s", encoded, start)
        body, open_ended = start + 8, length == 0 and not inside
        if length == 1:
            if start + 16 > end:
                break
            (length,) = struct.unpack_from(">Q", encoded, start + 8)
            body = start + 16
        stop = end if open_ended else start + length
        if stop < body or stop > end:
            break
        yield IsoBox(kind, start, body, stop, open_ended)
        start = stop
    if inside and start < end:
        raise not_strippable("bytes between the boxes of a file")
