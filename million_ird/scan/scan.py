"""Scan: candidates to scanned rows, unit by unit, fetching and measuring only what no earlier run has.

A unit's result lies under a name made of the unit's slot and a hash of everything that the result depends on, so that
a finished unit is recognised by its name alone. Which files make up the present scan stands in `.work/scan.json`, in
the order of the sources.
"""

import contextlib
import functools
import itertools
import logging
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from million_ird.config.recipe import Recipe
from million_ird.measures.identity import MeasuringIdentity
from million_ird.runtime.executor import Executor
from million_ird.runtime.progress import Progress
from million_ird.runtime.storage import Folder
from million_ird.scan.disk_queue import DiskQueue
from million_ird.scan.download_cache import Manifest, UnitCache
from million_ird.scan.fetch import FetchTask, fetch_name, gates_digest
from million_ird.scan.measuring import (
    ROWS,
    Measured,
    MeasureTask,
    failed_keys,
    lacks_numbers,
    part_name,
    rows_name,
    slot_of,
)
from million_ird.scan.vanished import keep_vanished
from million_ird.sources.source import Source, Unit

log = logging.getLogger(__name__)

INDEX = ".work/scan.json"
Placed: TypeAlias = tuple[int, FetchTask | MeasureTask]
"""A task, and the place of its unit in the order of the sources."""


@dataclass(slots=True, kw_only=True)
class ScanSummary:
    """What a scan did."""

    candidates: int = 0
    measured: int = 0
    vanished: int = 0
    seconds: Counter[str] = field(default_factory=Counter)
    """By measure, and of `decode` and `signature`; what was measured in this run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """What a scan looks at, and how."""

    out: Folder
    sources: Sequence[Source]
    recipe: Recipe
    models: str | None = None
    limit: int | None = None
    """Of candidates; of what only streaming can tell, the first unit is looked at, and so many of it."""
    retry: frozenset[str] | None = None
    """Failure classes of which the candidates are tried again, all if empty; None for none."""

    def run(self, engine: Executor, progress: Progress) -> ScanSummary:
        """Scans what is new or changed; writes the index of the files that make up the scan.

        Rows of candidates that an earlier scan saw and that are gone stay as vanished rows; where `limit` cuts the
        listing, nobody knows which are gone, and the next scan without it looks again.
        """
        before = self.out.read_json(INDEX) or {"units": [], "gates": "", "originals": []}
        with contextlib.closing(_Queue(self, engine, before)) as queue:
            queue.fill()
            progress.stage("scan", queue.total, "images")
            for task, result in engine.work(queue):
                if isinstance(result, Measured):
                    queue.summary.measured += result.measured
                    queue.summary.seconds.update(result.seconds)
                    progress.advance(result.rows, result.failures)
                elif task.unit.opaque:
                    progress.more(result.rows)
        return self._conclude(before, queue)

    def _conclude(self, before: dict[str, Any], queue: "_Queue") -> ScanSummary:
        names, summary = queue.names, queue.summary
        summary.candidates = sum(queue.sizes)
        unseen = before.get("unseen", [])
        listed = set(before["units"])
        earlier = sorted({*listed, *unseen})
        settled = set() if unseen else listed
        summary.vanished = 0 if self.limit else keep_vanished(self.out, earlier, names, settled, self.recipe)
        index = {
            "units": names,
            "originals": sorted(queue.originals),
            "gates": gates_digest(self.recipe),
            "measures": self.recipe.ledger_entries,
            "vanished": summary.vanished,
        }
        if self.limit:
            index["unseen"] = sorted(set(earlier) - set(names))
        self.out.write_json(INDEX, index)
        return summary


class _Queue:
    """The work of a scan: what is to be streamed, lane by lane, and what can be measured."""

    def __init__(self, scan: Scan, engine: Executor, before: dict[str, Any]) -> None:
        self._scan = scan
        self._memory = engine.memory
        self._expected = MeasuringIdentity.expected(scan.recipe.measures)
        self._most = max(1, min(engine.parallelism, scan.recipe.web.lanes))
        self._gates = gates_digest(scan.recipe)
        self._same_gates = before["gates"] == self._gates
        self._listed = set(before["units"])
        self._present = set(_files(scan.out))
        self._earlier = _by_slot(before["units"])
        self._streamed = _by_slot(before.get("originals", []))
        scratch = scan.out.path(".work") if scan.out.local else None
        self._measures: DiskQueue[Placed] = DiskQueue(scratch)
        self._fetches: DiskQueue[Placed] = DiskQueue(scratch)
        self._follow: deque[Placed] = deque()
        self._places: dict[int, int] = {}
        self._busy: Counter[str] = Counter()
        self._names: list[list[str]] = []
        self.sizes: list[int] = []
        self.originals: set[str] = set()
        self._retried = 0
        self.total = 0
        self.summary = ScanSummary()

    @property
    def names(self) -> list[str]:
        """The files of the scan in the order of the sources; whole when all is done."""
        return [name for names in self._names for name in names]

    def fill(self) -> None:
        """Looks at every unit, and plans what is not done yet."""
        for source, unit in units(self._scan):
            place = len(self._names)
            self._names.append([])
            self.sizes.append(0)
            if unit.remote:
                self._plan_remote(place, source, unit)
            else:
                self._plan_local(place, source, unit)
        if self._scan.retry is not None and not self._retried:
            classes = ", ".join(sorted(self._scan.retry))
            log.warning("nothing to try again: no candidate failed%s", f" as {classes}" if classes else "")

    def next(self) -> FetchTask | MeasureTask | None:
        """Streams as much as may be streamed at once, and measures beside it."""
        placed = self._next_fetch()
        if placed is None:
            placed = self._follow.popleft() if self._follow else self._measures.take()
        if placed is None:
            return None
        place, task = placed
        self._places[id(task)] = place
        return task

    def complete(self, task: FetchTask | MeasureTask, result: Manifest | Measured) -> None:
        """Plans the measuring of what has been streamed."""
        place = self._places.pop(id(task))
        if isinstance(task, FetchTask) and isinstance(result, Manifest):
            self._busy[task.unit.lane] -= 1
            for placed in self._parts(place, task.source, task.unit, task.name, result, task.retry_keys):
                self._follow.append(placed)

    def close(self) -> None:
        """Gives back the disk."""
        self._measures.close()
        self._fetches.close()

    def __len__(self) -> int:
        return len(self._measures) + 2 * len(self._fetches)

    def _next_fetch(self) -> Placed | None:
        if sum(self._busy.values()) >= self._most:
            return None
        for lane in self._fetches.lanes():
            if not lane or not self._busy[lane]:
                self._busy[lane] += 1
                return self._fetches.take(lane)
        return None

    def _plan_local(self, place: int, source: Source, unit: Unit) -> None:
        name = rows_name(unit, self._scan.recipe)
        self._names[place], self.sizes[place] = [name], len(unit.entries)
        retry = self._to_retry(name)
        if retry or self._is_missing(name):
            self._measures.add((place, self._task(source, unit, name, retry)))
            self.total += len(unit.entries)

    def _plan_remote(self, place: int, source: Source, unit: Unit) -> None:
        recipe = self._scan.recipe
        name = fetch_name(unit, recipe)
        if unit.opaque and self._scan.limit:
            name += f"-{self._scan.limit}"
        note = UnitCache(self._scan.out, name).note()
        retry: frozenset[str] = frozenset()
        if note is not None and self._scan.retry is not None:
            files = [part_name(unit, part, recipe) for part in note.parts]
            retry = frozenset(itertools.chain.from_iterable(self._to_retry(file) for file in files))
        if note is None or retry or (note.unasked and note.gates != self._gates):
            task = FetchTask(
                out=self._scan.out,
                source=source,
                unit=unit,
                recipe=recipe,
                name=name,
                earlier=tuple(self._streamed.get(unit.slot, ())),
                retry_keys=retry,
                concurrency=max(1, recipe.web.concurrency // self._most),
                limit=self._scan.limit if unit.opaque else None,
            )
            if unit.lane and not recipe.web.contact:
                _warn_of_no_contact()
            self._fetches.add((place, task), unit.lane)
            self.total += 0 if unit.opaque else len(unit.entries)
        else:
            for placed in self._parts(place, source, unit, name, note, retry):
                self._measures.add(placed)
                self.total += placed[1].size

    def _parts(
        self, place: int, source: Source, unit: Unit, originals: str, note: Manifest, retry: frozenset[str]
    ) -> Iterator[tuple[int, MeasureTask]]:
        self.originals.add(originals)
        self._names[place] = [part_name(unit, part, self._scan.recipe) for part in note.parts]
        self.sizes[place] = note.rows
        for part, name in zip(note.parts, self._names[place], strict=True):
            if retry or self._is_missing(name):
                bare = replace(unit, entries=())
                yield place, replace(self._task(source, bare, name, retry), originals=originals, part=part)

    def _task(self, source: Source, unit: Unit, name: str, retry: frozenset[str]) -> MeasureTask:
        return MeasureTask(
            out=self._scan.out,
            source=source,
            unit=unit,
            recipe=self._scan.recipe,
            name=name,
            models=self._scan.models,
            earlier=tuple(self._earlier.get(unit.slot, ())),
            retry_keys=retry,
            memory=self._memory,
            expected=self._expected,
        )

    def _is_missing(self, name: str) -> bool:
        if name not in self._present:
            return True
        return (not self._same_gates or name not in self._listed) and _is_stale(self._scan.out, name, self._scan.recipe)

    def _to_retry(self, name: str) -> frozenset[str]:
        if self._scan.retry is None or name not in self._present:
            return frozenset()
        found = failed_keys(self._scan.out, name, self._scan.retry)
        self._retried += len(found)
        return found


@functools.cache
def _warn_of_no_contact() -> None:
    log.warning("web.contact is empty: put an address into the recipe, so that those whose servers are visited can ask")


def units(scan: Scan) -> Iterator[tuple[Source, Unit]]:
    """The units that a scan looks at, in order."""
    left = scan.limit
    for source in scan.sources:
        for unit in source.units(left):
            if left is None:
                yield source, unit
                continue
            entries = unit.entries[:left]
            if not entries:
                return
            left = 0 if unit.opaque else left - len(entries)
            yield source, replace(unit, entries=entries)


def pending(scan: Scan) -> Iterator[tuple[Source, Unit, int, bool]]:
    """The units that a scan would have, how many candidates each is known to hold, and whether it was finished."""
    present = set(_files(scan.out))
    for source, unit in units(scan):
        if not unit.remote:
            yield source, unit, len(unit.entries), rows_name(unit, scan.recipe) in present
            continue
        note = UnitCache(scan.out, fetch_name(unit, scan.recipe)).note()
        size = note.rows if note else 0 if unit.opaque else len(unit.entries)
        parts = [part_name(unit, part, scan.recipe) for part in note.parts] if note else []
        yield source, unit, size, note is not None and present.issuperset(parts)


def _files(out: Folder) -> list[str]:
    return [f"{ROWS}/{part}/{name}" for part in out.names(ROWS) for name in out.names(f"{ROWS}/{part}")]


def _is_stale(out: Folder, name: str, recipe: Recipe) -> bool:
    return any(lacks_numbers(row, recipe) for row in out.read_table(name).to_pylist())


def _by_slot(names: Sequence[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault(slot_of(name), []).append(name)
    return found
