"""What a walk over a container says: which bytes go, what stands in their place, and what to call them.

`strip` applies the edits of a walk and `holds_private` lists their names, so the two cannot disagree. An edit that
would change nothing is never made: no edits means nothing private.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from million_ird.errors import ReadError

Range = tuple[int, int]
"""First byte, and the one after the last."""


class Edit(NamedTuple):
    """Bytes `start` to `stop` become `instead`."""

    start: int
    stop: int
    instead: bytes
    what: str
    """The name for a person: "EXIF (GPS)", "comment", …"""


def not_strippable(detail: str) -> ReadError:
    """The error of bytes whose private parts cannot be told from the picture for certain."""
    return ReadError("not_strippable", detail)


def apply(encoded: bytes, edits: Iterable[Edit]) -> bytes:
    """The bytes with all edits made; what no edit covers is copied as it is.

    Raises:
        ReadError: `not_strippable` where two edits overlap, which only a crafted file brings about.
    """
    view, at = memoryview(encoded), 0
    parts: list[bytes | memoryview] = []
    for edit in sorted(edits):
        if edit.start < at or edit.stop > len(encoded):
            raise not_strippable(f"two parts of the file overlap at byte {edit.start}")
        parts += [view[at : edit.start], edit.instead]
        at = edit.stop
    return b"".join([*parts, view[at:]])


def cut(start: int, stop: int, what: str) -> list[Edit]:
    """Takes the bytes out."""
    return [Edit(start, stop, b"", what)] if stop > start else []


def put(encoded: bytes, start: int, stop: int, instead: bytes, what: str) -> list[Edit]:
    """Puts other bytes in the place of some, unless they stand there already."""
    return [] if encoded[start:stop] == instead else [Edit(start, stop, instead, what)]


def blank(encoded: bytes, start: int, stop: int, what: str) -> list[Edit]:
    """Overwrites with zeros, where other parts of the file say how far away they are."""
    return put(encoded, start, stop, bytes(max(0, stop - start)), what)


def merged(ranges: Iterable[Range], length: int) -> list[Range]:
    """The union of ranges as sorted ranges with gaps between them, cut to a file of `length` bytes."""
    table = np.array([(a, b) for a, b in ranges if a < min(b, length)], np.int64).reshape(-1, 2).clip(0, length)
    if not len(table):
        return []
    table = table[np.argsort(table[:, 0], kind="stable")]
    reach = np.maximum.accumulate(table[:, 1])
    first = np.flatnonzero(np.r_[True, table[1:, 0] > reach[:-1]])
    last = np.r_[first[1:] - 1, len(table) - 1]
    return list(zip(table[first, 0].tolist(), reach[last].tolist(), strict=True))


def overlap(ranges: Iterable[Range], others: list[Range]) -> bool:
    """Whether any range shares a byte with any of the merged `others`."""
    starts = np.array([a for a, _ in others], np.int64)
    stops = np.array([b for _, b in others], np.int64)
    table = np.array([(a, b) for a, b in ranges if a < b], np.int64).reshape(-1, 2)
    if not len(starts) or not len(table):
        return False
    nearest = np.searchsorted(starts, table[:, 1], side="left") - 1  # the last that starts before the range ends
    return bool(np.any((nearest >= 0) & (stops[nearest] > table[:, 0])))


def all_but(
    encoded: bytes, kept: Iterable[Range], what: str, *, since: int = 0, until: int | None = None
) -> list[Edit]:
    """Zeros for every byte from `since` to `until` that no kept range covers; at the end of the file they are cut."""
    until = len(encoded) if until is None else until
    edits, at = [], since
    for start, stop in [*merged(kept, len(encoded)), (until, until)]:
        if at < min(start, until):
            end = min(start, until)
            edits += cut(at, end, what) if end == len(encoded) else blank(encoded, at, end, what)
        at = max(at, stop)
    return edits
