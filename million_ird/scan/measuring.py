"""Measure one chunk, or a part of one that was streamed, and write its rows."""

from collections import Counter
from dataclasses import dataclass, replace
from typing import ClassVar

from million_ird.candidate import Candidate, Failed
from million_ird.config.gates import first_drop
from million_ird.config.recipe import Recipe, digest
from million_ird.errors import BuildError
from million_ird.ledger import Row, scanned_schema, to_table
from million_ird.measures.identity import MeasuringIdentity
from million_ird.runtime.storage import Folder
from million_ird.scan.cascade import decidable_gates, numbers_of
from million_ird.scan.deal.stored_entries import StoredEntries
from million_ird.scan.download_cache import ByteRange, ChunkCache, RowRange
from million_ird.scan.isolated_measuring import Fetch, IsolatedMeasurer
from million_ird.scan.row_index import ROWS, RowIndex, UnitPlace, file_of, read_place
from million_ird.schema import MEASURES_REVISION, REMOVED, SCHEMA_VERSION
from million_ird.sources.source import Source, SourceChunk

_CACHE_KEY = b"million_ird.terms"


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasureTask:
    """All that a worker needs to measure one chunk or part of a chunk."""

    io_bound: ClassVar[bool] = False
    out: Folder
    source: Source
    chunk: SourceChunk
    """Without its entries where `part` is given."""
    recipe: Recipe
    name: str
    """Of the unit that is measured."""
    revision: int = 0
    """Of the file that its rows are written to."""
    models: str | None = None
    earlier: tuple[UnitPlace, ...] = ()
    """Units of earlier scans, and this one as it was, that may hold some of its rows."""
    retry_keys: frozenset[str] = frozenset()
    """Keys that are measured again if they failed before."""
    originals: str = ""
    """The name of the chunk's cached images, where it was streamed."""
    part: RowRange | None = None
    memory: int = 0
    """Bytes that measuring may take; 0 for no limit."""
    expected: MeasuringIdentity | None = None
    """What the driver expects to be measured, wherever this runs."""
    stored: StoredEntries | None = None
    """Where the entries are that the chunk lacks."""

    def __call__(self) -> "MeasureResult":
        """Measure the candidates, except those whose earlier row is still valid and complete."""
        if self.stored is not None:
            return replace(self, chunk=replace(self.chunk, entries=self.stored.load(self.out)), stored=None)()
        earlier = _earlier_rows(self)
        candidates, fetch = self._inputs()
        todo = [one for one in candidates if not self._is_good(earlier.get(one.key), one)]
        measurer = IsolatedMeasurer(self.recipe, self.models, self.memory, self.expected)
        measured = {str(row["key"]): row for row in measurer.rows(todo, fetch)} if todo else {}
        rows = [measured[c.key] if c.key in measured else _kept(earlier[c.key], c) for c in candidates]
        table = to_table(rows, scanned_schema(self.recipe.ledger_entries))
        metadata = {**(table.schema.metadata or {}), _CACHE_KEY: cache_key(self.recipe).encode()}
        self.out.write_table(file_of(self.name, self.revision), table.replace_schema_metadata(metadata))
        failures = Counter(str(row["failure_class"]) for row in rows if row.get("failure_class"))
        return MeasureResult(
            rows=len(rows), measured=len(measured), failures=dict(failures), seconds=dict(measurer.seconds)
        )

    @property
    def size(self) -> int:
        """How many candidates it has."""
        return self.part.stop - self.part.start if self.part else len(self.chunk.entries)

    def _inputs(self) -> tuple[list[Candidate], Fetch]:
        if self.part is None:
            return self.source.candidates(self.chunk), self.source.fetch
        stored = ChunkCache(self.out, self.originals).candidates(self.part.start, self.part.stop)
        places = {candidate.key: place for candidate, place in stored}

        def fetch(candidate: Candidate) -> bytes | Failed:
            match places[candidate.key]:
                case ByteRange() as place:
                    return place.read(self.out)
                case Failed() as failure:
                    return failure
                case None:
                    raise BuildError(f"{candidate.source}/{candidate.uri}: was never fetched; run the build again")

        return [candidate for candidate, _ in stored], fetch

    def _is_good(self, row: Row | None, candidate: Candidate) -> bool:
        if row is None or row["version"] != candidate.version:
            return False
        if row["key"] in self.retry_keys and row["failure_class"] is not None:
            return False
        passed = [name for name in self.recipe.passed if row[name] != candidate.extra.get(name)]
        return not passed and not lacks_numbers(_kept(row, candidate), self.recipe)


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasureResult:
    """The summary that a worker returns to the driver."""

    rows: int
    measured: int
    failures: dict[str, int]
    seconds: dict[str, float]


def lacks_numbers(row: Row, recipe: Recipe) -> bool:
    """Return whether the recipe's gates need later tiers of a row that were never measured."""
    if row.get("failure_class") is not None or row.get("phash") is not None:
        return False
    if recipe.measure_all:
        return True
    if recipe.licences.refuses(str(row["licence"]) if row["licence"] is not None else None):
        return False
    return first_drop(decidable_gates(row, recipe.gates, recipe.tiers), numbers_of(row)) is None


def rows_name(chunk: SourceChunk, recipe: Recipe) -> str:
    """Return the file of a local chunk's rows: changes with its entries and with all that the numbers depend on."""
    return _file(chunk.slot, digest([[entry.identity for entry in chunk.entries], cache_key(recipe)]))


def part_name(chunk: SourceChunk, part: RowRange, recipe: Recipe) -> str:
    """Return the file of the rows of a part of a streamed chunk."""
    return _file(chunk.slot, digest([part.digest, part.start, cache_key(recipe)]))


def slot_of(name: str) -> str:
    """Return the slot of the chunk that a file of rows, or cached images of that name, belong to."""
    return name.rsplit("/", 1)[-1].split("-", 1)[0]


def cache_key(recipe: Recipe) -> str:
    """Return a digest of all that a scanned row depends on in a recipe; gates only decide how far it is measured."""
    limits = [recipe.limits.max_pixels, recipe.limits.max_bytes]
    return digest([recipe.ledger_entries, MEASURES_REVISION, SCHEMA_VERSION, limits, recipe.privacy.strip_metadata])


def failed_keys(index: RowIndex, name: str, classes: frozenset[str]) -> frozenset[str]:
    """Return the keys of rows of a unit that failed, by one of `classes` if any is named."""
    table = index.read(name, ["key", "failure_class"]).to_pydict()
    pairs = zip(table["key"], table["failure_class"], strict=True)
    failed = ((key, what) for key, what in pairs if what not in (None, REMOVED))  # taken down: not to be tried again
    return frozenset(key for key, what in failed if not classes or what in classes)


def _file(slot: str, name: str) -> str:
    return f"{ROWS}/{slot[:2]}/{slot}-{name}.parquet"


def _kept(row: Row, candidate: Candidate) -> Row:
    """Return an earlier row with the licence and attribution that its source declares now."""
    return row | {"licence": candidate.licence, "attribution": candidate.attribution}


def _earlier_rows(task: MeasureTask) -> dict[str, Row]:
    """Return the rows of earlier runs that were measured in the same way."""
    rows: dict[str, Row] = {}
    for place in task.earlier:
        try:
            table = read_place(task.out, place)
        except FileNotFoundError:  # removed by hand since the scan began: its rows are measured again
            continue
        if (table.schema.metadata or {}).get(_CACHE_KEY) == cache_key(task.recipe).encode():
            rows |= {str(row["key"]): row for row in table.to_pylist()}
    return rows
