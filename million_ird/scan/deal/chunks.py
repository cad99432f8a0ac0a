"""The last step: chunks are put together, named and stored, so that a task need only know where its entries are."""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import pyarrow as pa

from million_ird.config.recipe import Recipe
from million_ird.runtime.storage import Folder
from million_ird.scan.deal.cuts import ChunkCut, LineRange
from million_ird.scan.deal.parts import LOCAL_LANE, entry_of, group_of
from million_ird.scan.deal.stored_entries import CODEC, StoredEntries
from million_ird.scan.planned_chunk import PlannedChunk, chunk_name
from million_ird.sources.source import SourceChunk
from million_ird.sources.tables import TableSource
from million_ird.sources.web.links import link_chunk

UNIT_CHUNKS = 256
_GAP = 1 << 20
"""Bytes between two ranges that are read rather than asked for separately."""
_SCHEMA = pa.schema(
    [
        *(pa.field(name, pa.string()) for name in ("slot", "name", "host_group")),
        pa.field("remote", pa.bool_()),
        *(pa.field(name, pa.int64()) for name in ("rows", "start", "stop", "length")),
    ]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkTask:
    """Some consecutive chunks, and where they are stored."""

    out: Folder
    base: str
    source: TableSource
    recipe: Recipe
    cuts: tuple[ChunkCut, ...]
    reuse: bool
    """Whether what an earlier run has stored there is the same."""


def in_units(cuts: Iterable[list[ChunkCut]]) -> Iterator[tuple[ChunkCut, ...]]:
    """Join chunks to units of `UNIT_CHUNKS`."""
    every = itertools.chain.from_iterable(cuts)
    while unit := tuple(itertools.islice(every, UNIT_CHUNKS)):
        yield unit


def store_chunks(task: ChunkTask) -> None:
    """Store the entries of chunks, compressed, in `.blocks`, and then what is known of each chunk in `.parquet`."""
    if task.reuse and task.out.exists(f"{task.base}.parquet"):
        return
    lines = _read_lines(task.out, task.cuts)
    rows = []
    with task.out.writing(f"{task.base}.blocks") as file:
        start = 0
        for cut in task.cuts:
            content = b"".join(map(lines.pop, cut.ranges))
            block = pa.compress(content, CODEC, asbytes=True)
            file.write(block)
            place = {"start": start, "stop": start + len(block), "length": len(content)}
            rows.append({**_described(cut, content, task), **place})
            start += len(block)
    task.out.write_table(f"{task.base}.parquet", pa.Table.from_pylist(rows, _SCHEMA))


def _described(cut: ChunkCut, content: bytes, task: ChunkTask) -> dict[str, object]:
    entries = tuple(map(entry_of, content.splitlines()))
    name = entries[0].uri if cut.named else ""
    source, group = task.source, group_of(cut.lane)
    chunk = link_chunk(source.label, source.root, name, group, entries, local=cut.lane == LOCAL_LANE)
    return {
        "slot": chunk.slot,
        "name": chunk_name(chunk, task.recipe),
        "host_group": chunk.host_group,
        "remote": chunk.remote,
        "rows": len(entries),
    }


def _read_lines(out: Folder, cuts: Iterable[ChunkCut]) -> dict[LineRange, bytes]:
    """Read ranges of lines; those that are near each other at once."""
    ranges = sorted((lines for cut in cuts for lines in cut.ranges), key=lambda lines: (lines.base, lines.start))
    found: dict[LineRange, bytes] = {}
    for base, group in itertools.groupby(ranges, key=lambda lines: lines.base):
        for run in _runs(list(group)):
            start = run[0].start
            content = memoryview(out.read_range(f"{base}.rows", start, run[-1].stop))
            found |= {lines: bytes(content[lines.start - start : lines.stop - start]) for lines in run}
    return found


def _runs(ranges: list[LineRange]) -> Iterator[list[LineRange]]:
    run: list[LineRange] = []
    for lines in ranges:
        if run and lines.start - run[-1].stop > _GAP:
            yield run
            run = []
        run.append(lines)
    if run:
        yield run


def stored_chunks(out: Folder, base: str, source: TableSource) -> Iterator[PlannedChunk]:
    """Yield the chunks of a unit, without their entries."""
    for row in out.read_table(f"{base}.parquet").to_pylist():
        chunk = SourceChunk(
            source=source.label,
            root=source.root,
            slot=row["slot"],
            entries=(),
            remote=row["remote"],
            host_group=row["host_group"],
        )
        stored = StoredEntries(f"{base}.blocks", row["start"], row["stop"], row["length"], row["rows"])
        yield PlannedChunk(source=source, chunk=chunk, name=row["name"], stored=stored)
