"""Boxes of the ISO base media file format, which AVIF and JPEG 2000 share."""

import struct
from collections.abc import Iterator
from typing import NamedTuple

from million_ird.metadata.edits import not_strippable


class Box(NamedTuple):
    """One box: a length, a type of four bytes, a body."""

    kind: bytes
    start: int
    body: int
    stop: int
    open_ended: bool
    """The length says "to the end of the file"."""


def boxes(encoded: bytes, at: int, end: int, *, inside: bool = True) -> Iterator[Box]:
    """The boxes between two bytes.

    A box that does not fit ends the walk of a file's top level (`inside` false: the caller looks at what is left) and
    is an error inside another box.

    Raises:
        ReadError: `not_strippable`.
    """
    while at + 8 <= end:
        length, kind = struct.unpack_from(">I4s", encoded, at)
        body, open_ended = at + 8, length == 0 and not inside
        if length == 1:
            if at + 16 > end:
                break
            (length,) = struct.unpack_from(">Q", encoded, at + 8)
            body = at + 16
        stop = end if open_ended else at + length
        if stop < body or stop > end:
            break
        yield Box(kind, at, body, stop, open_ended)
        at = stop
    if inside and at < end:
        raise not_strippable("bytes between the boxes of a file")
