"""Fingerprints of an evaluation set: enough to know its pictures again, in whole or in part, and none of their pixels.

A fingerprint file is parquet, a row a picture: its name, size, hashes, frame and points (see `measure.signature`), with
more points than a candidate leaves, looked for at a higher resolution, so that a small crop finds some of its own. Who
has the file need not have the set to be clean of it.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import pyarrow as pa
import pyarrow.compute as pc

from million_ird import ledger as ledgers
from million_ird.build_folder import RECIPE
from million_ird.candidate import Sample
from million_ird.config.recipe import Recipe
from million_ird.decide.verdicts import Against
from million_ird.errors import DamagedFile, ReadError, SourceError, UsageError
from million_ird.ledger import KEPT
from million_ird.measures.signature import signature
from million_ird.runtime.executor import Engine
from million_ird.runtime.storage import FileEntry, Folder
from million_ird.sources.listing import list_files

log = logging.getLogger(__name__)

FOLDER = "benchmarks"
"""Where a build keeps the fingerprints that it was held against; they are published with it."""
REMOVED = "removed.parquet"
"""The fingerprints, without frames, of what was taken down."""
POINTS, SIDE = 1000, 1024
REVISION = "1"
"""Goes up when fingerprints of the same pictures change."""
_REVISION = b"million_ird.fingerprints"
SCHEMA = pa.schema(
    [
        *(pa.field(name, pa.string()) for name in ("file", "id", "pixels_id")),
        *(pa.field(name, pa.int32()) for name in ("width", "height")),
        pa.field("phash", pa.string()),
        pa.field("frame", pa.binary()),
        pa.field("points", pa.binary()),
    ]
)
_BATCH = 16


@dataclass(frozen=True, slots=True)
class Benchmark:
    """An evaluation set as the user names it: `NAME=PATH`."""

    name: str
    path: str
    """A folder of pictures, a fingerprint file, or a build, whose kept pictures are meant."""

    @classmethod
    def parse(cls, text: str, named_by: str = "--exclude-benchmark") -> "Benchmark":
        """Reads `NAME=PATH`; `named_by` is what an error names.

        Raises:
            UsageError: there is no name or no path in it, or the name cannot be a file's.
        """
        name, found, path = text.partition("=")
        if not (found and name.strip() and path.strip()):
            raise UsageError(f"{named_by} {text}: has the form NAME=DIR")
        if "/" in name or name.startswith(".") or not name.isprintable():
            raise UsageError(f"{named_by} {text}: {name!r} cannot be a name")
        return cls(name.strip(), path.strip())


def benchmarks_of(recipe: Recipe) -> tuple[Benchmark, ...]:
    """The evaluation sets that a recipe names.

    Raises:
        UsageError: as `Benchmark.parse`.
    """
    return tuple(Benchmark.parse(text, "recipe: benchmarks:") for text in recipe.benchmarks)


def fingerprints(benchmark: Benchmark, engine: Engine) -> pa.Table:
    """The fingerprints of a benchmark, of `SCHEMA`, sorted by file: read where they are given, else made.

    Raises:
        SourceError: nothing is there, or no picture, or one that cannot be read: a set must be known whole.
    """
    if benchmark.path.endswith(".parquet"):
        parent, _, name = benchmark.path.rpartition("/")
        return load(Folder(parent or "."), name)
    if Folder(benchmark.path).exists(ledgers.FOLDER) and Folder(benchmark.path).exists(RECIPE):
        return _of_build(Folder(benchmark.path))
    folder, entries = list_files(benchmark.path)
    found = list(entries)
    tasks = [_Task(folder, tuple(found[at : at + _BATCH])) for at in range(0, len(found), _BATCH)]
    rows = [row for part in engine.run(fingerprint_some, tasks) for row in part]
    if not rows:
        raise SourceError(f"benchmark {benchmark.name}: {benchmark.path} holds no pictures")
    return _table(rows)


def load(folder: Folder, name: str) -> pa.Table:
    """Reads a fingerprint file.

    Raises:
        SourceError: there is none, or of another revision.
    """
    path = folder.path(name)
    if not folder.exists(name):
        raise SourceError(f"{path}: no such file of fingerprints")
    try:
        table = folder.read_table(name)
    except DamagedFile as error:
        raise SourceError(f"{path}: no file of fingerprints ({error})") from error
    revision = (table.schema.metadata or {}).get(_REVISION, b"none").decode()
    if revision != REVISION or table.schema.names != SCHEMA.names:
        raise SourceError(f"{path}: fingerprints of revision {revision}, this program reads {REVISION}; make them anew")
    return table


def benchmark_names(out: Folder) -> tuple[str, ...]:
    """The benchmarks that a build is held against."""
    return tuple(name.removesuffix(".parquet") for name in out.names(FOLDER) if name.endswith(".parquet"))


def against(out: Folder) -> Against:
    """What a build's candidates are held against beside each other."""
    benchmarks = {name: load(out, f"{FOLDER}/{name}.parquet") for name in benchmark_names(out)}
    return Against(benchmarks=benchmarks, removed=load_removed(out))


def against_files(out: Folder) -> list[str]:
    """The files from which `against` is read."""
    return [*(f"{FOLDER}/{name}" for name in out.names(FOLDER)), *([REMOVED] if out.exists(REMOVED) else [])]


def load_removed(out: Folder) -> pa.Table | None:
    """The fingerprints of what was taken down from a build; None where nothing was."""
    if not out.exists(REMOVED):
        return None
    table = out.read_table(REMOVED)
    columns = [table[f.name] if f.name in table.column_names else pa.nulls(table.num_rows, f.type) for f in SCHEMA]
    return pa.table(columns, schema=SCHEMA)


def save_file(path: str, table: pa.Table) -> None:
    """Writes a fingerprint file.

    Raises:
        UsageError: it would not be found as one again: its name does not end in `.parquet`.
    """
    parent, _, name = path.rpartition("/")
    if not name.endswith(".parquet"):
        raise UsageError(f"--out {path}: a file of fingerprints is named *.parquet")
    Folder(parent or ".").write_table(name, table)


def remember_benchmarks(out: Folder, benchmarks: Sequence[Benchmark], engine: Engine, *, only: bool) -> None:
    """Makes these the fingerprints that a build is held against, `only` these or beside those of earlier runs."""
    tables = {benchmark.name: fingerprints(benchmark, engine) for benchmark in benchmarks}
    for name in out.names(FOLDER) if only else ():
        if name.removesuffix(".parquet") not in tables:
            log.warning(
                "%s, excluded by an earlier run, is not named any more: its pictures may stay",
                name.removesuffix(".parquet"),
            )
            out.remove(f"{FOLDER}/{name}")
    for name, table in tables.items():
        path = f"{FOLDER}/{name}.parquet"
        if not out.exists(path) or not out.read_table(path).equals(table):
            out.write_table(path, table)


@dataclass(frozen=True, slots=True)
class _Task:
    folder: Folder
    entries: tuple[FileEntry, ...]


def fingerprint_some(task: _Task) -> list[dict[str, object]]:
    """The rows of some pictures; files that are none (lists, read-mes) are passed over.

    Raises:
        SourceError: one is a picture, but cannot be read.
    """
    return [row for entry in task.entries for row in _fingerprint(task.folder, entry.uri)]


def _fingerprint(folder: Folder, uri: str) -> Iterator[dict[str, object]]:
    sample = Sample(folder.read(uri))
    try:
        header = sample.header
    except ReadError as error:
        if error.failure_class in {"not_an_image", "empty"} and PurePosixPath(uri).suffix.lower() not in _PICTURES:
            return
        raise SourceError(f"benchmark picture {folder.url}/{uri}: {error}") from error
    try:
        marks = signature(sample, POINTS, SIDE)
    except ReadError as error:
        raise SourceError(f"benchmark picture {folder.url}/{uri}: {error}") from error
    yield {
        "file": uri,
        "id": sample.sha256,
        "width": header.width,
        "height": header.height,
        **marks,
    }


_PICTURES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".avif", ".jp2"})


def _of_build(folder: Folder) -> pa.Table:
    columns = ["source", "uri", "verdict", *(name for name in SCHEMA.names if name != "file")]
    kept = pa.concat_tables([_kept(table) for table in _batches(folder, columns)])
    return _stamped(kept.sort_by("file"))


def _batches(folder: Folder, columns: Sequence[str]) -> Iterator[pa.Table]:
    for name in ledgers.files(folder):
        yield folder.read_table(name, list(columns))


def _kept(table: pa.Table) -> pa.Table:
    found = table.filter(pc.equal(table["verdict"], KEPT))
    files = pc.binary_join_element_wise(found["source"], found["uri"], "/")
    return pa.table([files, *(found[name] for name in SCHEMA.names[1:])], schema=SCHEMA)


def _table(rows: Sequence[Mapping[str, object]]) -> pa.Table:
    ordered = sorted(rows, key=lambda row: str(row["file"]))
    return _stamped(pa.Table.from_pylist([dict(row) for row in ordered], SCHEMA))


def _stamped(table: pa.Table) -> pa.Table:
    return table.replace_schema_metadata({_REVISION: REVISION.encode()})
