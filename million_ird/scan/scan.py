"""Scan: candidates to scanned rows, chunk by chunk, fetching and measuring only what no earlier run has.

A chunk's result is stored under a name made of the chunk's slot and a hash of everything that the result depends on, so
that a finished chunk is recognised by its name alone. `.work/scan.json` lists the units that make up the current scan,
in the order of the sources; `RowIndex` knows where the rows of each are.
"""

import contextlib
import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from million_ird.build_folder import DECIDED, INDEX, write_json_if_changed
from million_ird.config.recipe import Recipe
from million_ird.runtime.executor import Executor
from million_ird.runtime.progress import Progress
from million_ird.runtime.storage import Folder
from million_ird.scan.deal.deal import TableDeal
from million_ird.scan.download_cache import ChunkCache
from million_ird.scan.fetch import FetchTask, fetch_name, gates_digest
from million_ird.scan.join_units import JoinedUnits, JoinTask, joined_at_end
from million_ird.scan.measuring import MeasureResult, part_name, rows_name
from million_ird.scan.planned_chunk import PlannedChunk, chunk_name
from million_ird.scan.row_index import RowIndex
from million_ird.scan.scan_queue import QueueOptions, ScanQueue
from million_ird.scan.vanished import keep_vanished
from million_ird.scan.warm_up import prepare_measures
from million_ird.sources.source import Source, SourceChunk
from million_ird.sources.tables import TableSource

log = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class ScanSummary:
    """What a scan did."""

    candidates: int = 0
    measured: int = 0
    vanished: int = 0
    seconds: Counter[str] = field(default_factory=Counter)
    """By measure, and of `decode` and `signature`; of what was measured in this run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """The sources, the recipe and the options of a scan."""

    out: Folder
    sources: Sequence[Source]
    recipe: Recipe
    models: str | None = None
    limit: int | None = None
    """Maximum number of candidates; of a chunk that must be streamed to know its candidates, as many of these."""
    retry: frozenset[str] | None = None
    """Failure classes whose candidates are tried again, all if empty; None for none."""

    def run(self, executor: Executor, progress: Progress) -> ScanSummary:
        """Fetch and measure what is new or changed; write the index of the files that make up the scan.

        Rows of candidates that an earlier scan found and that are gone stay as vanished rows. Where `limit` cuts the
        listing, it is unknown which are gone, and the next scan without a limit finds out.
        """
        before = self.out.read_json(INDEX) or {"units": [], "gates": "", "originals": []}
        options = QueueOptions(
            out=self.out,
            recipe=self.recipe,
            models=self.models,
            limit=self.limit,
            retry=self.retry,
            memory=executor.memory,
            parallelism=executor.parallelism,
        )
        summary = ScanSummary()
        with contextlib.closing(ScanQueue(options, before)) as queue:
            queue.fill(self._planned(executor))
            if len(queue):
                prepare_measures(progress.listener)
            if self.retry is not None:  # rows are measured again under the names that they have: the index stays equal
                self.out.write_json(DECIDED, {})
            progress.stage("scan", queue.total, "images")
            for task, result in executor.work(queue):
                if isinstance(result, MeasureResult):
                    summary.measured += result.measured
                    summary.seconds.update(result.seconds)
                    progress.advance(result.rows, result.failures)
                elif isinstance(task, FetchTask) and task.chunk.stream_only:
                    progress.more(result.rows)
        index = RowIndex(self.out)
        self._write_index(before, queue, summary, index)
        self._join_units(index, queue.names, executor)
        return summary

    def _planned(self, executor: Executor) -> Iterator[PlannedChunk]:
        """Yield the chunks with their names; tables are read by the workers, unless a limit cuts them short."""
        if self.limit is None:
            for source in self.sources:
                if isinstance(source, TableSource):
                    yield from TableDeal(self.out, source, self.recipe).chunks(executor)
                else:
                    for chunk in source.chunks():
                        yield PlannedChunk(source=source, chunk=chunk, name=chunk_name(chunk, self.recipe))
            return
        for source, chunk in self.chunks():
            yield PlannedChunk(source=source, chunk=chunk, name=chunk_name(chunk, self.recipe))

    def chunks(self) -> Iterator[tuple[Source, SourceChunk]]:
        """Yield the chunks of all sources, in order, up to the limit."""
        remaining = self.limit
        for source in self.sources:
            for chunk in source.chunks(remaining):
                if remaining is None:
                    yield source, chunk
                    continue
                entries = chunk.entries[:remaining]
                if not entries:
                    return
                remaining = 0 if chunk.stream_only else remaining - len(entries)
                yield source, replace(chunk, entries=entries)

    def pending(self) -> Iterator[tuple[Source, SourceChunk, int, bool]]:
        """Yield each chunk with its source, its known number of candidates, and whether it is finished."""
        present = RowIndex(self.out)
        for source, chunk in self.chunks():
            if not chunk.remote:
                yield source, chunk, len(chunk.entries), rows_name(chunk, self.recipe) in present
                continue
            manifest = ChunkCache(self.out, fetch_name(chunk, self.recipe)).manifest()
            size = manifest.rows if manifest else 0 if chunk.stream_only else len(chunk.entries)
            parts = [part_name(chunk, part, self.recipe) for part in manifest.parts] if manifest else []
            yield source, chunk, size, manifest is not None and all(part in present for part in parts)

    def _write_index(self, before: dict[str, Any], queue: ScanQueue, summary: ScanSummary, places: RowIndex) -> None:
        names = queue.names
        summary.candidates = sum(queue.sizes)
        unseen = before.get("unseen", [])
        listed = set(before["units"])
        earlier = sorted({*listed, *unseen})
        settled = set() if unseen else listed
        summary.vanished = 0 if self.limit else keep_vanished(self.out, places, earlier, names, settled, self.recipe)
        index = {
            "units": names,
            "originals": sorted(queue.originals),
            "gates": gates_digest(self.recipe),
            "measures": self.recipe.ledger_entries,
            "vanished": summary.vanished,
        }
        if self.limit:
            index["unseen"] = sorted(set(earlier) - set(names))
        write_json_if_changed(self.out, INDEX, index)

    def _join_units(self, index: RowIndex, units: Sequence[str], executor: Executor) -> None:
        """Remove files whose units a part has, and join what no block of the queue has joined."""
        self.out.remove_files(index.superseded)
        for _ in executor.run(_run_task, joined_at_end(self.out, index, units)):
            pass


def _run_task(task: JoinTask) -> JoinedUnits:
    return task()
