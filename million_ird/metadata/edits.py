"""Edits of an encoded file: which bytes to remove or replace, and the name of what they hold.

Each format's `find_private` returns a list of edits. `strip_metadata` applies them and `list_private` lists their
names, so the two cannot disagree. An edit that would change nothing is never made: no edits means no private metadata.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from million_ird.errors import ReadError

Range = tuple[int, int]
"""A range of bytes: the first, and the one after the last."""


class Edit(NamedTuple):
    """Bytes `start` to `stop` become `replacement`."""

    start: int
    stop: int
    replacement: bytes
    name: str
    """What the bytes hold, for people: "EXIF (GPS)", "comment", …"""


def not_strippable(detail: str) -> ReadError:
    """Return the error for a file in which private bytes cannot be separated from the image with certainty."""
    return ReadError("not_strippable", detail)


def apply_edits(encoded: bytes, edits: Iterable[Edit]) -> bytes:
    """Return the bytes with all edits made; bytes outside the edits are copied unchanged.

    Raises:
        ReadError: `not_strippable` if two edits overlap, which happens only in crafted files.
    """
    view, position = memoryview(encoded), 0
    parts: list[bytes | memoryview] = []
    for edit in sorted(edits):
        if edit.start < position or edit.stop > len(encoded):
            raise not_strippable(f"two parts of the file overlap at byte {edit.start}")
        parts += [view[position : edit.start], edit.replacement]
        position = edit.stop
    return b"".join([*parts, view[position:]])


def remove_bytes(start: int, stop: int, name: str) -> list[Edit]:
    """Return the edit that removes the bytes; none for an empty range."""
    return [Edit(start, stop, b"", name)] if stop > start else []


def replace_bytes(encoded: bytes, start: int, stop: int, replacement: bytes, name: str) -> list[Edit]:
    """Return the edit that replaces the bytes; none if they are the same already."""
    return [] if encoded[start:stop] == replacement else [Edit(start, stop, replacement, name)]


def zero_bytes(encoded: bytes, start: int, stop: int, name: str) -> list[Edit]:
    """Return the edit that overwrites the bytes with zeros, for files in which no offset may change."""
    return replace_bytes(encoded, start, stop, bytes(max(0, stop - start)), name)


def merge_ranges(ranges: Iterable[Range], length: int) -> list[Range]:
    """Return the union of ranges as sorted ranges with gaps between them, clipped to a file of `length` bytes."""
    table = np.array([(a, b) for a, b in ranges if a < min(b, length)], np.int64).reshape(-1, 2).clip(0, length)
    if not len(table):
        return []
    table = table[np.argsort(table[:, 0], kind="stable")]
    reach = np.maximum.accumulate(table[:, 1])
    first = np.flatnonzero(np.r_[True, table[1:, 0] > reach[:-1]])
    last = np.r_[first[1:] - 1, len(table) - 1]
    return list(zip(table[first, 0].tolist(), reach[last].tolist(), strict=True))


def ranges_overlap(ranges: Iterable[Range], others: list[Range]) -> bool:
    """Return whether any range shares a byte with any of the merged `others`."""
    starts = np.array([a for a, _ in others], np.int64)
    stops = np.array([b for _, b in others], np.int64)
    table = np.array([(a, b) for a, b in ranges if a < b], np.int64).reshape(-1, 2)
    if not len(starts) or not len(table):
        return False
    nearest = np.searchsorted(starts, table[:, 1], side="left") - 1  # the last that starts before the range ends
    return bool(np.any((nearest >= 0) & (stops[nearest] > table[:, 0])))


def zero_all_but(
    encoded: bytes, kept: Iterable[Range], name: str, *, since: int = 0, until: int | None = None
) -> list[Edit]:
    """Return edits that overwrite every byte from `since` to `until` outside the kept ranges with zeros.

    Bytes at the end of the file are removed instead.
    """
    until = len(encoded) if until is None else until
    edits, position = [], since
    for start, stop in [*merge_ranges(kept, len(encoded)), (until, until)]:
        if position < min(start, until):
            end = min(start, until)
            at_file_end = end == len(encoded)
            edits += remove_bytes(position, end, name) if at_file_end else zero_bytes(encoded, position, end, name)
        position = max(position, stop)
    return edits
