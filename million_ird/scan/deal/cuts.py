"""The third step: where chunks start and end in the lanes, exactly as `LinkChunker` cuts them, from 7 bytes a row."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from million_ird.runtime.jit import compiled
from million_ird.runtime.storage import Folder
from million_ird.scan.deal.parts import LANE_RECORD, LANES, LOCAL_LANE, Part, in_lane_order
from million_ird.scan.deal.repeats import RepeatedRows
from million_ird.sources.web.links import chunk_sizes


@dataclass(frozen=True, slots=True)
class LineRange:
    """Some rows of a lane, which follow each other in the lines of a part."""

    base: str
    start: int
    """In bytes."""
    stop: int


@dataclass(frozen=True, slots=True)
class ChunkCut:
    """The rows of a chunk."""

    lane: int
    named: bool
    """Whether the chunk is named by its first row; the first chunk of a lane may not be."""
    ranges: tuple[LineRange, ...]


class LaneCutter:
    """Goes through the parts in order, with a few numbers for each lane."""

    def __init__(self, out: Folder, repeated: RepeatedRows) -> None:
        self._out, self._repeated = out, repeated
        self._row = 0
        self._sizes: NDArray[np.int64] = np.zeros(LANES, np.int64)
        self._serials: NDArray[np.int64] = np.zeros(LANES, np.int64)
        self._named: NDArray[np.bool_] = np.zeros(LANES, np.bool_)
        self._open: dict[tuple[int, int], list[LineRange]] = {}

    def cuts(self, parts: Sequence[Part]) -> Iterator[list[ChunkCut]]:
        """Yield for each part the chunks that end in it, and last those that are left; in the order of their ends."""
        for part in parts:
            records = np.frombuffer(self._out.read(f"{part.base}.lanes"), LANE_RECORD)
            yield self._cut(part, records)
        yield [self._ended(lane, serial, bool(self._named[lane])) for lane, serial in sorted(self._open)]

    def _cut(self, part: Part, records: NDArray[np.void]) -> list[ChunkCut]:
        lanes = np.ascontiguousarray(records["lane"])
        skipped = self._repeated.between(self._row, self._row + part.rows)
        self._row += part.rows
        largest = (chunk_sizes(local=False)[1], chunk_sizes(local=True)[1])
        starts = np.ascontiguousarray(records["starts"])
        serials, ends = _cut_lanes(lanes, starts, skipped, self._sizes, self._serials, self._named, *largest)
        self._collect(part.base, records, serials)
        return [self._ended(int(lane), int(serial), bool(named)) for lane, serial, named in ends]

    def _collect(self, base: str, records: NDArray[np.void], serials: NDArray[np.int64]) -> None:
        """Note which lines of a part belong to which chunk."""
        order = in_lane_order(records["lane"])
        lanes, serials = records["lane"][order].astype(np.int64), serials[order]
        offsets = np.concatenate([[0], np.cumsum(records["length"][order], dtype=np.int64)])
        changes = np.flatnonzero((np.diff(lanes) != 0) | (np.diff(serials) != 0)) + 1
        firsts, lasts = np.concatenate([[0], changes]), np.concatenate([changes, [len(order)]])
        used = serials[firsts] >= 0
        for first, last in zip(firsts[used].tolist(), lasts[used].tolist(), strict=True):
            lines = LineRange(base, int(offsets[first]), int(offsets[last]))
            self._open.setdefault((int(lanes[first]), int(serials[first])), []).append(lines)

    def _ended(self, lane: int, serial: int, named: bool) -> ChunkCut:
        return ChunkCut(lane, named, tuple(self._open.pop((lane, serial))))


@compiled()
def _cut_lanes(
    lanes: NDArray[np.uint16],
    starts: NDArray[np.bool_],
    skipped: NDArray[np.bool_],
    sizes: NDArray[np.int64],
    serials: NDArray[np.int64],
    named: NDArray[np.bool_],
    largest: int,
    largest_local: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the number of each row's chunk in its lane, -1 where it is skipped; and lane, number, named of each end.

    `sizes`, `serials` and `named` are those of the lanes' open chunks, and are updated.
    """
    chunks = np.full(len(lanes), -1, np.int64)
    ends = np.empty((len(lanes), 3), np.int64)
    count = 0
    for i in range(len(lanes)):
        if skipped[i]:
            continue
        lane = lanes[i]
        limit = largest_local if lane == LOCAL_LANE else largest
        if sizes[lane] == 0:
            named[lane] = starts[i]
        elif starts[i] or sizes[lane] >= limit:
            ends[count, 0], ends[count, 1], ends[count, 2] = lane, serials[lane], named[lane]
            count += 1
            serials[lane] += 1
            sizes[lane] = 0
            named[lane] = True
        chunks[i] = serials[lane]
        sizes[lane] += 1
    return chunks, ends[:count]
