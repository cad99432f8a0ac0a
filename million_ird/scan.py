"""Scan: candidates to scanned rows, unit by unit, measuring only what no earlier run has measured.

A unit's result lies under a name made of the unit's slot and a hash of everything that the result depends on, so
that a finished unit is recognised by its name alone. Which units make up the present scan stands in
`.work/scan.json`, in the order of the sources.
"""

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from million_ird.cascade import Cascade, gate_tier, numbers_of
from million_ird.decide.gates import first_drop
from million_ird.execution import Engine
from million_ird.ingest import Source, Unit
from million_ird.ledger import SCHEMA_VERSION, Row, scanned_schema, to_table
from million_ird.measure import REVISION
from million_ird.progress import Progress
from million_ird.recipe import Recipe, digest
from million_ird.storage import Folder

log = logging.getLogger(__name__)

INDEX = ".work/scan.json"
ROWS = ".work/scan"
VANISHED_ROWS = ".work/vanished.parquet"


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanTask:
    """All that a worker needs to scan one unit."""

    out: Folder
    source: Source
    unit: Unit
    recipe: Recipe
    name: str
    models: str | None = None

    def __call__(self) -> "UnitSummary":
        """Scans the unit and writes its rows."""
        return scan_unit(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitSummary:
    """What a scanned unit tells the driver."""

    rows: int
    measured: int
    failures: dict[str, int]
    seconds: dict[str, float]


@dataclass(slots=True, kw_only=True)
class ScanSummary:
    """What a scan did."""

    candidates: int = 0
    measured: int = 0
    vanished: int = 0
    seconds: Counter[str] = field(default_factory=Counter)
    """By measure, `decode` aside; what was measured in this run."""


def run_task(task: ScanTask) -> UnitSummary:
    """What the engine ships to a worker."""
    return task()


def scan_unit(task: ScanTask) -> UnitSummary:
    """Measures the candidates of a unit, except those whose earlier row still says all that is needed."""
    earlier = _earlier_rows(task)
    cascade = Cascade(task.recipe, task.models)
    candidates = task.source.candidates(task.unit)
    still_good = {
        candidate.key
        for candidate in candidates
        if (row := earlier.get(candidate.key)) is not None
        and row["version"] == candidate.version
        and not lacks_numbers(row, task.recipe)
    }
    todo = [candidate for candidate in candidates if candidate.key not in still_good]
    measured = {str(row["key"]): row for row in cascade.rows(todo, task.source.fetch)}
    rows = [measured.get(candidate.key) or earlier[candidate.key] for candidate in candidates]
    table = to_table(rows, scanned_schema(task.recipe.measured))
    task.out.write_table(task.name, table.replace_schema_metadata(_marked(table.schema, task.recipe)))
    failures = Counter(str(row["failure_class"]) for row in rows if row.get("failure_class"))
    return UnitSummary(rows=len(rows), measured=len(measured), failures=dict(failures), seconds=dict(cascade.seconds))


def lacks_numbers(row: Row, recipe: Recipe) -> bool:
    """Whether a row's later tiers are needed under the recipe's gates, but were never measured."""
    if row.get("failure_class") is not None or row.get("phash") is not None:
        return False
    if recipe.measure_all:
        return True
    if recipe.licences.refuse_one(str(row["licence"]) if row["licence"] is not None else None):
        return False
    reached = [gate for gate in recipe.gates if gate_tier(gate, recipe.columns) <= int(str(row["tier"]))]
    return first_drop(reached, numbers_of(row)) is None


def scan(
    out: Folder,
    sources: Sequence[Source],
    recipe: Recipe,
    engine: Engine,
    progress: Progress,
    limit: int | None = None,
    models: str | None = None,
) -> ScanSummary:
    """Scans what is new or changed; writes the index of the units that make up the scan.

    Rows of files that an earlier scan saw and that are gone stay as vanished rows; where `limit` cuts the listing,
    nobody knows which are gone, and the next scan without it looks again.
    """
    before = out.read_json(INDEX) or {"units": [], "gates": ""}
    listed = set(before["units"])
    gates = digest([recipe.measure_all, recipe.licences.model_dump(), [gate.model_dump() for gate in recipe.gates]])
    present = set(_unit_names(out))
    tasks, names = _plan(out, sources, recipe, limit, models)
    todo = [
        task
        for task in tasks
        if task.name not in present
        or ((gates != before["gates"] or task.name not in listed) and _is_stale(out, task.name, recipe))
    ]
    summary = ScanSummary(candidates=sum(len(task.unit.entries) for task in tasks))
    progress.stage("scan", sum(len(task.unit.entries) for task in todo), "images")
    for done in engine.run(run_task, todo):
        summary.measured += done.measured
        summary.seconds.update(done.seconds)
        progress.advance(done.rows, done.failures)
    unseen = before.get("unseen", [])
    earlier = sorted({*listed, *unseen})
    summary.vanished = 0 if limit else _keep_vanished(out, earlier, names, set() if unseen else listed, recipe)
    index = {"units": names, "gates": gates, "measures": recipe.measured, "vanished": summary.vanished}
    if limit:
        index["unseen"] = sorted(set(earlier) - set(names))
    out.write_json(INDEX, index)
    return summary


def pending(out: Folder, sources: Sequence[Source], recipe: Recipe, limit: int | None) -> Iterator[tuple[Unit, bool]]:
    """The units that a scan would have, and whether each was finished before."""
    present = set(_unit_names(out))
    tasks, _ = _plan(out, sources, recipe, limit, None)
    for task in tasks:
        yield task.unit, task.name in present


def _plan(
    out: Folder, sources: Sequence[Source], recipe: Recipe, limit: int | None, models: str | None
) -> tuple[list[ScanTask], list[str]]:
    tasks: list[ScanTask] = []
    left = limit
    for source in sources:
        for unit in source.units():
            entries = unit.entries if left is None else unit.entries[:left]
            if not entries:
                break
            left = None if left is None else left - len(entries)
            short = Unit(source=unit.source, root=unit.root, slot=unit.slot, entries=entries)
            name = f"{ROWS}/{unit.slot[:2]}/{unit.slot}-{_fingerprint(short, recipe)}.parquet"
            tasks.append(ScanTask(out=out, source=source, unit=short, recipe=recipe, name=name, models=models))
    return tasks, [task.name for task in tasks]


def _fingerprint(unit: Unit, recipe: Recipe) -> str:
    return digest([[repr(entry) for entry in unit.entries], terms(recipe)])


def terms(recipe: Recipe) -> str:
    """Names all of a recipe that a scanned row depends on, gates aside."""
    limits = [recipe.limits.max_pixels, recipe.limits.max_bytes]
    return digest([recipe.measured, REVISION, SCHEMA_VERSION, limits])


def _marked(schema: pa.Schema, recipe: Recipe) -> dict[bytes, bytes]:
    return {**(schema.metadata or {}), b"million_ird.terms": terms(recipe).encode()}


def _unit_names(out: Folder) -> list[str]:
    return [f"{ROWS}/{part}/{name}" for part in out.names(ROWS) for name in out.names(f"{ROWS}/{part}")]


def _is_stale(out: Folder, name: str, recipe: Recipe) -> bool:
    return any(lacks_numbers(row, recipe) for row in out.read_table(name).to_pylist())


def _earlier_rows(task: ScanTask) -> dict[str, Row]:
    """Rows of the same slot from earlier runs on the same terms."""
    folder = task.name.rsplit("/", 1)[0]
    rows: dict[str, Row] = {}
    for name in task.out.names(folder):
        if name.startswith(f"{task.unit.slot}-"):
            table = task.out.read_table(f"{folder}/{name}")
            if (table.schema.metadata or {}).get(b"million_ird.terms") == terms(task.recipe).encode():
                rows |= {str(row["key"]): row for row in table.to_pylist()}
    return rows


def _keep_vanished(out: Folder, before: list[str], now: list[str], settled: set[str], recipe: Recipe) -> int:
    """Collects the rows of candidates that earlier units held and no present unit holds.

    `settled` are units of which no candidate stands in any other unit of `before`: they need not be read.
    """
    schema = scanned_schema(recipe.measured)
    obsolete = [name for name in before if name not in set(now) and out.exists(name)]
    old = [out.read_table(name) for name in obsolete]
    if out.exists(VANISHED_ROWS):
        old.append(out.read_table(VANISHED_ROWS))
    rows = {str(row["key"]): row for table in old for row in table.to_pylist()}
    fresh = [name for name in now if name not in settled] if obsolete else now
    for name in fresh if rows else []:
        for key in out.read_table(name, columns=["key"])["key"].to_pylist():
            rows.pop(key, None)
    ordered = sorted(rows.values(), key=lambda row: (str(row["source"]), str(row["uri"])))
    if ordered:
        out.write_table(VANISHED_ROWS, to_table(ordered, schema))
    else:
        out.remove(VANISHED_ROWS)
    return len(ordered)
