"""The tasks of a scan: which chunks are to be streamed, and what can be measured."""

import functools
import itertools
import logging
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from million_ird.config.recipe import Recipe
from million_ird.measures.identity import MeasuringIdentity
from million_ird.runtime.storage import Folder
from million_ird.scan.disk_queue import DiskQueue
from million_ird.scan.download_cache import ChunkCache, Manifest
from million_ird.scan.fetch import FetchTask, gates_digest
from million_ird.scan.join_units import JoinedUnits, JoinTask
from million_ird.scan.joined_blocks import JoinedBlocks
from million_ird.scan.measuring import (
    MeasureResult,
    MeasureTask,
    failed_keys,
    lacks_numbers,
    part_name,
    slot_of,
)
from million_ird.scan.planned_chunk import PlannedChunk
from million_ird.scan.row_index import RowIndex
from million_ird.sources.source import Source, SourceChunk

log = logging.getLogger(__name__)

ScanTask: TypeAlias = FetchTask | MeasureTask | JoinTask
Numbered: TypeAlias = tuple[int, FetchTask | MeasureTask]
"""A task, and the number of its chunk in the order of the sources."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueOptions:
    """What decides which tasks a scan has; see `Scan` for the fields."""

    out: Folder
    recipe: Recipe
    models: str | None
    limit: int | None
    retry: frozenset[str] | None
    memory: int
    """Bytes that each worker may take; 0 for no limit."""
    parallelism: int
    """How many tasks run at once."""


class ScanQueue:
    """Tasks that stream chunks, one host group at a time, tasks that measure, and tasks that join what is finished.

    Those that stream and measure are on disk, however many there are.
    """

    def __init__(self, options: QueueOptions, before: dict[str, Any]) -> None:
        """Prepare an empty queue; `before` is the index that the last scan left."""
        self._options = options
        self._recipe = options.recipe
        self._expected = MeasuringIdentity.expected(options.recipe.measures)
        self._max_fetches = max(1, min(options.parallelism, options.recipe.web.lanes))
        self._gates = gates_digest(options.recipe)
        self._same_gates = before["gates"] == self._gates
        self._listed = set(before["units"])
        self._index = RowIndex(options.out)
        self._earlier = _by_slot(before["units"])
        self._streamed = _by_slot(before.get("originals", []))
        scratch = options.out.path(".work") if options.out.local else None
        self._measures: DiskQueue[Numbered] = DiskQueue(scratch)
        self._fetches: DiskQueue[Numbered] = DiskQueue(scratch)
        self._streamed_now: deque[Numbered] = deque()
        self._numbers: dict[int, int] = {}
        self._busy: Counter[str] = Counter()
        self._names: list[list[str]] = []
        self._blocks = JoinedBlocks(options.out, self._index, self._names)
        self._retried = 0
        self.sizes: list[int] = []
        """Candidates by chunk."""
        self.originals: set[str] = set()
        """Names of the streamed chunks."""
        self.total = 0
        """Candidates to measure, as far as they are known."""

    @property
    def names(self) -> list[str]:
        """The units of the scan in the order of the sources; complete when all tasks are."""
        return [name for names in self._names for name in names]

    def fill(self, chunks: Iterable[PlannedChunk]) -> None:
        """Add the tasks of all chunks that are not finished yet."""
        for number, planned in enumerate(chunks):
            self._names.append([])
            self.sizes.append(0)
            if planned.chunk.remote:
                self._plan_remote(number, planned)
            else:
                self._plan_local(number, planned)
        retry = self._options.retry
        if retry is not None and not self._retried:
            classes = ", ".join(sorted(retry))
            log.warning("nothing to try again: no candidate failed%s", f" as {classes}" if classes else "")

    def next(self) -> ScanTask | None:
        """Return a task that streams while that is allowed, else one that joins, else one that measures."""
        numbered = self._next_fetch()
        if numbered is None and (joining := self._blocks.next()) is not None:
            return joining
        if numbered is None:
            numbered = self._streamed_now.popleft() if self._streamed_now else self._measures.take()
        if numbered is None:
            return None
        number, task = numbered
        self._numbers[id(task)] = number
        return task

    def complete(self, task: ScanTask, result: Manifest | MeasureResult | JoinedUnits) -> None:
        """Add the tasks that measure what has been streamed, and those that join what has been measured."""
        if isinstance(task, JoinTask):
            return
        number = self._numbers.pop(id(task))
        if isinstance(task, FetchTask) and isinstance(result, Manifest):
            self._busy[task.chunk.host_group] -= 1
            for part in self._parts(number, task.source, task.chunk, task.name, result, task.retry_keys):
                self._blocks.began(number, part[1].name)
                self._streamed_now.append(part)
        self._blocks.ended(number)

    def close(self) -> None:
        """Free the disk."""
        self._measures.close()
        self._fetches.close()

    def __len__(self) -> int:
        return len(self._measures) + 2 * len(self._fetches)

    def _next_fetch(self) -> Numbered | None:
        if sum(self._busy.values()) >= self._max_fetches:
            return None
        for group in self._fetches.lanes():
            if not group or not self._busy[group]:
                self._busy[group] += 1
                return self._fetches.take(group)
        return None

    def _plan_local(self, number: int, planned: PlannedChunk) -> None:
        name = planned.name
        self._names[number], self.sizes[number] = [name], planned.size
        retry = self._keys_to_retry(name)
        if retry or self._is_missing(name):
            task = self._measure_task(planned.source, planned.chunk, name, retry)
            self._measures.add((number, replace(task, stored=planned.stored)))
            self._blocks.began(number, name)
            self.total += planned.size

    def _plan_remote(self, number: int, planned: PlannedChunk) -> None:
        source, chunk, name = planned.source, planned.chunk, planned.name
        if chunk.stream_only and self._options.limit:
            name += f"-{self._options.limit}"
        manifest = ChunkCache(self._options.out, name).manifest()
        retry: frozenset[str] = frozenset()
        if manifest is not None and self._options.retry is not None:
            files = [part_name(chunk, part, self._recipe) for part in manifest.parts]
            retry = frozenset(itertools.chain.from_iterable(self._keys_to_retry(file) for file in files))
        if manifest is None or retry or (manifest.unasked and manifest.gates != self._gates):
            if chunk.host_group and not self._recipe.web.contact:
                _warn_of_no_contact()
            task = replace(self._fetch_task(source, chunk, name, retry), stored=planned.stored)
            self._fetches.add((number, task), chunk.host_group)
            self._blocks.began(number)
            self.total += 0 if chunk.stream_only else planned.size
        else:
            for numbered in self._parts(number, source, chunk, name, manifest, retry):
                self._measures.add(numbered)
                self._blocks.began(number, numbered[1].name)
                self.total += numbered[1].size

    def _parts(
        self, number: int, source: Source, chunk: SourceChunk, originals: str, manifest: Manifest, retry: frozenset[str]
    ) -> Iterator[tuple[int, MeasureTask]]:
        """Yield the tasks that measure the unfinished parts of a streamed chunk."""
        self.originals.add(originals)
        self._names[number] = [part_name(chunk, part, self._recipe) for part in manifest.parts]
        self.sizes[number] = manifest.rows
        for part, name in zip(manifest.parts, self._names[number], strict=True):
            if retry or self._is_missing(name):
                bare = replace(chunk, entries=())
                task = self._measure_task(source, bare, name, retry)
                yield number, replace(task, originals=originals, part=part)

    def _fetch_task(self, source: Source, chunk: SourceChunk, name: str, retry: frozenset[str]) -> FetchTask:
        return FetchTask(
            out=self._options.out,
            source=source,
            chunk=chunk,
            recipe=self._recipe,
            name=name,
            earlier=tuple(self._streamed.get(chunk.slot, ())),
            retry_keys=retry,
            concurrency=max(1, self._recipe.web.concurrency // self._max_fetches),
            limit=self._options.limit if chunk.stream_only else None,
        )

    def _measure_task(self, source: Source, chunk: SourceChunk, name: str, retry: frozenset[str]) -> MeasureTask:
        known = dict.fromkeys((*self._earlier.get(chunk.slot, ()), name))
        return MeasureTask(
            out=self._options.out,
            source=source,
            chunk=chunk,
            recipe=self._recipe,
            name=name,
            revision=self._index.revision_to_write(name),
            models=self._options.models,
            earlier=tuple(self._index.place(one) for one in known if one in self._index),
            retry_keys=retry,
            memory=self._options.memory,
            expected=self._expected,
        )

    def _is_missing(self, name: str) -> bool:
        """Return whether the rows of a unit do not exist, or lack numbers that changed gates need."""
        if name not in self._index:
            return True
        if self._same_gates and name in self._listed:
            return False
        return any(lacks_numbers(row, self._recipe) for row in self._index.read(name).to_pylist())

    def _keys_to_retry(self, name: str) -> frozenset[str]:
        if self._options.retry is None or name not in self._index:
            return frozenset()
        keys = failed_keys(self._index, name, self._options.retry)
        self._retried += len(keys)
        return keys


@functools.cache
def _warn_of_no_contact() -> None:
    log.warning("web.contact is empty: put an address into the recipe, so that operators of servers can reach you")


def _by_slot(names: Sequence[str]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(slot_of(name), []).append(name)
    return groups
