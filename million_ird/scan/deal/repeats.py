"""The second step: which rows name an image that an earlier row has named, found bucket by bucket of their keys."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from million_ird.runtime.storage import Folder
from million_ird.scan.deal.parts import BUCKETS, KEY_RECORD, Part

UNIT_KEYS = 1 << 22
"""Keys that a worker compares at once: about 200 MB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RepeatTask:
    """The keys of some buckets, of all parts."""

    out: Folder
    parts: tuple[Part, ...]
    buckets: tuple[int, int]


def repeat_tasks(out: Folder, parts: Sequence[Part]) -> Iterator[RepeatTask]:
    """Yield tasks of about `UNIT_KEYS` keys."""
    rows = sum(part.rows for part in parts)
    count = max(1, min(BUCKETS, UNIT_KEYS * BUCKETS // max(1, rows)))
    for first in range(0, BUCKETS, count):
        yield RepeatTask(out=out, parts=tuple(parts), buckets=(first, min(BUCKETS, first + count)))


def find_repeats(task: RepeatTask) -> NDArray[np.int64]:
    """Return the rows, counted over all parts, whose key an earlier row has."""
    records, rows = [np.empty(0, KEY_RECORD)], [np.empty(0, np.int64)]
    firsts = itertools.accumulate((part.rows for part in task.parts), initial=0)
    for part, first in zip(task.parts, firsts, strict=False):
        start, stop = (0, *part.stops)[task.buckets[0]], (0, *part.stops)[task.buckets[1]]
        if start < stop:
            size = KEY_RECORD.itemsize
            records.append(
                np.frombuffer(task.out.read_range(f"{part.base}.keys", start * size, stop * size), KEY_RECORD)
            )
            rows.append(first + records[-1]["place"].astype(np.int64))
    return _repeated(np.concatenate(records), np.concatenate(rows))


def _repeated(keys: NDArray[np.void], rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the rows that are not the first of their key; only keys that share a half with others are compared."""
    ordered = np.sort(keys["high"])
    shared = ordered[1:][ordered[1:] == ordered[:-1]]
    if not len(shared):
        return np.empty(0, np.int64)
    some = np.isin(keys["high"], shared)
    high, low, places = keys["high"][some], keys["low"][some], rows[some]
    order = np.lexsort((places, low, high))
    high, low, places = high[order], low[order], places[order]
    again = (high[1:] == high[:-1]) & (low[1:] == low[:-1])
    return np.sort(places[1:][again])


class RepeatedRows:
    """The repeated rows, in one bit each."""

    def __init__(self, rows: int) -> None:
        self._bits: NDArray[np.uint8] = np.zeros(-(-rows // 8), np.uint8)
        self.count = 0

    def add(self, rows: NDArray[np.int64]) -> None:
        """Add rows, none of them twice."""
        np.bitwise_or.at(self._bits, rows // 8, np.uint8(1) << (rows % 8).astype(np.uint8))
        self.count += len(rows)

    def between(self, start: int, stop: int) -> NDArray[np.bool_]:
        """Return for each row of a range whether it is repeated."""
        first = start // 8
        bits = np.unpackbits(self._bits[first : -(-stop // 8)], bitorder="little")
        return bits[start - 8 * first : stop - 8 * first].astype(np.bool_)
