"""Tables that list pictures: parquet, csv, tsv or jsonl, one candidate per row.

`path` (or `uri`, `file_name`) names the file, relative to the table's folder or by an fsspec URL; `licence`
(or `license`) and `attribution` are taken over; numeric columns that the recipe lists under `columns` are passed
through to the ledger. A table is read some rows at a time, never whole.
"""

import functools
import gzip
import io
import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from million_ird.errors import SourceError
from million_ird.ingest import Unit
from million_ird.ingest.files import FilesSource, list_root
from million_ird.record import Candidate, Failed, candidate_key
from million_ird.storage import FileEntry, Folder

log = logging.getLogger(__name__)

SUFFIXES = (".parquet", ".csv", ".tsv", ".jsonl", ".csv.gz", ".tsv.gz", ".jsonl.gz")
ROWS_PER_UNIT = 64
_NAMES = {
    "uri": ("path", "uri", "file_name"),
    "licence": ("licence", "license"),
    "attribution": ("attribution",),
}


def is_table(root: str) -> bool:
    """Whether a source is taken as a table: by its name."""
    return root.lower().endswith(SUFFIXES)


@dataclass(frozen=True, slots=True, kw_only=True)
class TableEntry(FileEntry):
    """A row of a table: the file that it names, and what it says of it."""

    licence: str | None
    attribution: str | None
    extra: tuple[tuple[str, float | None], ...]


@dataclass(frozen=True, slots=True)
class TableSource:
    """The files that a table lists, in its order."""

    label: str
    root: str
    max_bytes: int
    columns: tuple[str, ...] = ()
    """Numeric columns to pass through."""

    def units(self) -> Iterator[Unit]:
        """So many neighbouring rows a unit; a file that is named again is the same candidate, and passed over.

        Raises:
            SourceError: it cannot be read, has no column that names files or lacks one that is passed through, or
                holds no rows.
        """
        chunk: list[TableEntry] = []
        seen: set[str] = set()
        again = 0
        for entry in self._entries():
            if entry.uri in seen:
                again += 1
                continue
            seen.add(entry.uri)
            chunk.append(entry)
            if len(chunk) == ROWS_PER_UNIT:
                yield self._unit(chunk)
                chunk = []
        if chunk:
            yield self._unit(chunk)
        if again:
            log.warning("source %s: %d rows name a file that an earlier row named", self.label, again)
        if not seen:
            raise SourceError(f"source {self.root}: holds no rows")

    def candidates(self, unit: Unit) -> list[Candidate]:
        """One candidate per row."""
        rows = [entry for entry in unit.entries if isinstance(entry, TableEntry)]
        return [
            Candidate(
                key=candidate_key(self.label, row.uri),
                source=self.label,
                uri=row.uri,
                version=row.version,
                licence=row.licence,
                attribution=row.attribution,
                extra=dict(row.extra),
            )
            for row in rows
        ]

    def fetch(self, candidate: Candidate) -> bytes | Failed:
        """Reads the file that the row names."""
        uri = candidate.uri
        if uri.startswith(("http://", "https://")):
            return Failed("unsupported", "web addresses are not fetched yet")
        where = FilesSource("", uri if "://" in uri else f"{self._folder().url}/{uri}", self.max_bytes)
        try:
            list_root(where.root)
        except SourceError as error:
            return Failed("missing", str(error))
        return where.fetch(Candidate(key="", source="", uri=PurePosixPath(uri).name, version=""))

    def _folder(self) -> Folder:
        return list_root(self.root)

    def _unit(self, entries: list[TableEntry]) -> Unit:
        slot = candidate_key(self.label, entries[0].uri)
        return Unit(source=self.label, root=self.root, slot=slot, entries=tuple(entries))

    def _entries(self) -> Iterator[TableEntry]:
        folder = self._folder()
        name = PurePosixPath(self.root).name
        try:
            for batch in _batches(folder, name):
                yield from self._rows(batch, folder)
        except (pa.ArrowException, OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
            raise SourceError(f"source {self.root}: {' '.join(str(error).split())[:160]}") from error

    def _rows(self, batch: list[Mapping[str, Any]], folder: Folder) -> Iterator[TableEntry]:
        for row in batch:
            missing = [name for name in self.columns if name not in row]
            if missing:
                raise SourceError(f"source {self.root}: has no column {missing[0]!r}, only {', '.join(row)}")
            uri = _first(row, "uri")
            if not uri:
                raise SourceError(f"source {self.root}: a row names no file (column path, uri or file_name)")
            yield TableEntry(
                uri=uri,
                size=0,
                version=_version(folder, uri),
                licence=_first(row, "licence"),
                attribution=_first(row, "attribution"),
                extra=tuple((name, self._number(name, row[name])) for name in self.columns),
            )

    def _number(self, name: str, value: object) -> float | None:
        if value is None or value == "":
            return None
        try:
            return float(str(value))
        except ValueError:
            raise SourceError(f"source {self.root}: {name} is {value!r} in a row, not a number") from None


def _first(row: Mapping[str, Any], field: str) -> str | None:
    return next((str(row[name]) for name in _NAMES[field] if row.get(name) not in (None, "")), None)


def _version(folder: Folder, uri: str) -> str:
    """Size and time of a local file; of a remote one the name alone, which a listing of each would cost too much."""
    if "://" in uri or not folder.local or not folder.exists(uri):
        return ""
    info = folder.fs.info(folder.path(uri))
    return f"{info['size']}-{info['mtime']}"


def _batches(folder: Folder, name: str) -> Iterator[list[Mapping[str, Any]]]:
    """Rows as mappings, a few thousand at a time."""
    kind = next(suffix for suffix in SUFFIXES if name.lower().endswith(suffix))
    with folder.open(name) as raw:
        if kind == ".parquet":
            for batch in pq.ParquetFile(raw).iter_batches(4096):
                yield batch.to_pylist()
            return
        plain = gzip.GzipFile(fileobj=raw) if kind.endswith(".gz") else raw
        if kind.startswith(".jsonl"):
            lines = (json.loads(line) for line in io.TextIOWrapper(plain, encoding="utf-8") if line.strip())
            yield from iter(functools.partial(_take, lines, 4096), [])
        else:
            options = pacsv.ParseOptions(delimiter="\t" if kind.startswith(".tsv") else ",", newlines_in_values=True)
            for batch in pacsv.open_csv(plain, parse_options=options):
                yield batch.to_pylist()


def _take(lines: Iterator[Mapping[str, Any]], count: int) -> list[Mapping[str, Any]]:
    return [line for line, _ in zip(lines, range(count), strict=False)]
