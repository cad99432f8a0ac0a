"""Tables that list pictures: parquet, csv, tsv, jsonl or txt, plain or compressed, here or elsewhere.

One candidate per row. `url` (or `path`, `uri`, `file_name`, `image_url`, `URL`) names the picture: a web address, any
fsspec URL, or a path relative to the table's folder. `width`, `height`, `licence` (`license`) and `attribution`
(`author`) are taken over, and the columns that the recipe passes through. A txt holds an address on each line and
nothing else. A table is read some rows at a time, never whole.
"""

import csv
import functools
import io
import itertools
import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import IO, Any, TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq

from million_ird.candidate import Candidate, Failed, candidate_key
from million_ird.errors import SourceError
from million_ird.runtime.storage import Folder
from million_ird.sources.files import FilesSource, StorageOptions, read_each, root_folder
from million_ird.sources.keyset import KeySet
from million_ird.sources.listing import list_files
from million_ird.sources.source import Deliver, SourceChunk, StreamContext, candidate_of
from million_ird.sources.web.links import LinkChunker, LinkEntry, LinkFetcher, host_group_of, is_web_url, public_url

log = logging.getLogger(__name__)

TABLE_SUFFIXES = (".parquet", ".csv", ".tsv", ".jsonl", ".ndjson", ".txt")
COMPRESSIONS = {".gz": "gzip", ".bz2": "bz2", ".zst": "zstd", ".lz4": "lz4"}
FILE_SYSTEMS = frozenset({"s3", "s3a", "gs", "gcs", "hf", "az", "abfs", "abfss", "oci", "oss", "memory"})
"""File systems that a row may name. Others would reach into this machine, or past the checks on web addresses."""
BATCH_ROWS = 4096
LONGEST_FIELD = 1 << 20
_NAMES = {
    "url": ("url", "URL", "image_url", "path", "uri", "file_name"),
    "width": ("width", "WIDTH", "original_width"),
    "height": ("height", "HEIGHT", "original_height"),
    "licence": ("licence", "license", "LICENSE"),
    "attribution": ("attribution", "author"),
}
"""What we call a column, and what others call it; the first that is there is taken."""
Row: TypeAlias = Mapping[str, Any]


def is_table(root: str) -> bool:
    """Whether a source is taken as a table: by its name."""
    return _kind(root) != ""


@dataclass(frozen=True, slots=True)
class TableSource:
    """The pictures that a table, or each of the tables that a pattern matches, lists."""

    label: str
    root: str
    fetcher: LinkFetcher
    columns: tuple[str, ...] = ()
    """Numeric columns to pass through."""
    texts: tuple[str, ...] = ()
    """Columns to pass through as they are."""
    names: tuple[tuple[str, str], ...] = ()
    """What the table calls `url`, `width`, `height`, `licence` or `attribution`, where it is none of the usual."""
    options: StorageOptions = ()

    def check(self) -> None:
        """Reads the first row.

        Raises:
            SourceError: it cannot be read, has no column that names pictures or lacks one that is passed through, or
                holds no rows.
        """
        if next(filter(None, self._entries()), None) is None:
            raise SourceError(f"source {self.root}: holds no rows")

    def chunks(self, limit: int | None = None) -> Iterator[SourceChunk]:
        """Rows lane by lane, cut where a key says so; what is named again is the same candidate, and passed over.

        Local files are in no lane. A row that is added or removed changes the unit that it is in and no other.
        """
        lanes, seen = LinkChunker(self.label, self.root), KeySet()
        again = nameless = 0
        rows_left = itertools.islice(self._entries(), limit)
        while taken := list(itertools.islice(rows_left, BATCH_ROWS)):
            batch = [entry for entry in taken if entry is not None]
            nameless += len(taken) - len(batch)
            keys = [candidate_key(self.label, entry.uri) for entry in batch]
            for entry, key, new in zip(batch, keys, seen.add(keys), strict=True):
                again += not new
                host_group = self._lane(entry)
                chunk = lanes.add(host_group, key, entry, local=host_group == _LOCAL) if new else None
                if chunk is not None:
                    yield chunk
        yield from lanes.rest(local=_LOCAL)
        if again:
            log.warning("source %s: %d rows name a picture that an earlier row named", self.label, again)
        if nameless:
            log.warning("source %s: %d rows name no picture", self.label, nameless)

    def candidates(self, chunk: SourceChunk) -> list[Candidate]:
        """One candidate per row."""
        return [candidate_of(self.label, entry) for entry in chunk.entries if isinstance(entry, LinkEntry)]

    def fetch(self, candidate: Candidate) -> bytes | Failed:
        """Reads the file that the row names."""
        return self._read(candidate.uri)

    def stream(
        self, chunk: SourceChunk, wanted: Callable[[Candidate], bool], deliver: Deliver, context: StreamContext
    ) -> None:
        """Fetches the pictures of a unit from the web, or reads them from another file system."""
        entries = [entry for entry in chunk.entries if isinstance(entry, LinkEntry)]
        if chunk.host_group:
            self.fetcher.stream(self.label, entries, chunk.host_group, wanted, deliver, context)
            return
        read_each(
            [(candidate_of(self.label, entry), functools.partial(self._read, entry.address)) for entry in entries],
            wanted,
            deliver,
            context,
        )

    def _read(self, address: str) -> bytes | Failed:
        scheme = address.partition("://")[0].lower() if "://" in address else ""
        if scheme and scheme not in FILE_SYSTEMS:
            return Failed("unsupported", f"{scheme[:20]} addresses are not fetched")
        where = address if "://" in address else f"{root_folder(self.root, self.options).url}/{address}"
        source = FilesSource("", where, self.fetcher.max_bytes, options=self.options if "://" in address else ())
        try:
            root_folder(where, source.options)
        except SourceError as error:
            return Failed("missing", str(error))
        return source.fetch(Candidate(key="", source="", uri=PurePosixPath(where).name, version=""))

    def _lane(self, entry: LinkEntry) -> str:
        if is_web_url(entry.address):
            return host_group_of(entry.address, self.fetcher.web.lanes)
        return "" if self._is_remote(entry) else _LOCAL

    def _is_remote(self, entry: LinkEntry) -> bool:
        return "://" in entry.address or not root_folder(self.root, self.options).local

    def _entries(self) -> Iterator[LinkEntry | None]:
        folder, tables = list_files(self.root, dict(self.options))
        for table in tables:
            try:
                for row in read_rows(folder, table.uri):
                    yield self._entry(row, folder)
            except (pa.ArrowException, OSError, UnicodeDecodeError, csv.Error, EOFError) as error:
                where = self.root if table.uri == PurePosixPath(self.root).name else f"{folder.url}/{table.uri}"
                raise SourceError(f"source {where}: {' '.join(str(error).split())[:160]}") from error

    def _entry(self, row: Row, folder: Folder) -> LinkEntry | None:
        address = self._value(row, "url")
        if address is None:
            raise SourceError(f"source {self.root}: no column names pictures (url, path, …); it has {_told(row)}")
        missing = [name for name in (*self.columns, *self.texts) if name not in row]
        if missing:
            raise SourceError(f"source {self.root}: has no column {missing[0]!r}, only {_told(row)}")
        address = address.strip()
        if not address:
            return None
        numbers = [(name, self._number(name, row[name])) for name in self.columns]
        texts = [(name, None if row[name] is None else str(row[name])) for name in self.texts]
        return LinkEntry(
            uri=public_url(address) if "://" in address else address,
            size=0,
            version=_version(folder, address),
            address=address,
            licence=self._value(row, "licence") or None,
            attribution=self._value(row, "attribution") or None,
            width=_whole(self._value(row, "width")),
            height=_whole(self._value(row, "height")),
            extra=(*numbers, *texts),
        )

    def _value(self, row: Row, name: str) -> str | None:
        """The row's text under one of the names of a column; None where it has no such column."""
        mapped = dict(self.names).get(name)
        for theirs in (mapped,) if mapped else _NAMES[name]:
            if theirs in row:
                return "" if row[theirs] is None else str(row[theirs])
        return None

    def _number(self, name: str, value: object) -> float | None:
        if value is None or value == "":
            return None
        try:
            return float(str(value))
        except ValueError:
            raise SourceError(f"source {self.root}: {name} is {value!r} in a row, not a number") from None


_LOCAL = "local"


def read_rows(folder: Folder, name: str) -> Iterator[Row]:
    """The rows of a table as mappings, some of them in memory at a time."""
    kind, compression = _kind(name), COMPRESSIONS.get(PurePosixPath(name).suffix.lower())
    with folder.open(name) as raw:
        if kind == ".parquet":
            for batch in pq.ParquetFile(raw).iter_batches(BATCH_ROWS):
                yield from batch.to_pylist()
            return
        plain: Any = pa.CompressedInputStream(pa.PythonFile(raw), compression) if compression else raw
        text = io.TextIOWrapper(io.BufferedReader(_Readable(plain)), encoding="utf-8-sig", newline="")
        if kind == ".txt":
            yield from ({"url": line.strip()} for line in text if line.strip())
        elif kind in {".jsonl", ".ndjson"}:
            yield from _objects(text)
        else:
            csv.field_size_limit(LONGEST_FIELD)
            yield from csv.DictReader(text, delimiter="\t" if kind == ".tsv" else ",", strict=True)


def _objects(lines: Iterable[str]) -> Iterator[Row]:
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                raise csv.Error(f"line {number}: no JSON: {error.msg}") from error
            if not isinstance(row, dict):
                raise csv.Error(f"line {number}: no JSON object")
            yield row


class _Readable(io.RawIOBase):
    """What arrow decompresses, as the standard library reads it."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        found = self._stream.read(len(buffer))
        buffer[: len(found)] = found
        return len(found)


def _kind(name: str) -> str:
    """The suffix that says what a table is, compression aside; empty for what is none."""
    small = name.lower()
    for compression in COMPRESSIONS:
        small = small.removesuffix(compression)
    return next((kind for kind in TABLE_SUFFIXES if small.endswith(kind)), "")


def _version(folder: Folder, address: str) -> str:
    """Size and time of a local file; of a remote one the name alone, which a listing of each would cost too much."""
    if "://" in address or not folder.local or not folder.exists(address):
        return ""
    return folder.version(address)


def _whole(text: str | None) -> int | None:
    try:
        number = float(text) if text else 0.0
    except ValueError:
        return None
    return int(number) if 0 < number < 1e9 else None


def _told(row: Row) -> str:
    return ", ".join(str(name) for name in row)[:200]
