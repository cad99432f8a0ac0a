"""Tables that list images: parquet, csv, tsv, jsonl or txt, plain or compressed, on any file system.

One candidate per row. `url` (or `path`, `uri`, `file_name`, `image_url`, `URL`) names the image: a web address, or a
file in the table's folder, by its path or its bucket's address. `width`, `height`, `licence` (`license`),
`attribution` (`author`) and the columns that the recipe passes through are read, too. A txt holds one address on each
line and nothing else. A table is read in batches of rows, never whole.
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
from types import MappingProxyType
from typing import IO, Any, TypeAlias
from urllib.parse import urljoin

import pyarrow as pa
import pyarrow.parquet as pq

from million_ird.candidate import Candidate, Failed, candidate_key
from million_ird.errors import ReadError, SourceError
from million_ird.public_addresses import public_address
from million_ird.runtime.storage import Folder
from million_ird.sources.containment import OUTSIDE, locate
from million_ird.sources.files import StorageOptions, read_each, read_file, root_folder
from million_ird.sources.keyset import KeySet
from million_ird.sources.listing import list_files
from million_ird.sources.source import Deliver, SourceChunk, StreamContext, candidate_of
from million_ird.sources.web.links import (
    LinkChunker,
    LinkEntry,
    LinkFetcher,
    address_identity,
    host_group_of,
    is_web_url,
)

log = logging.getLogger(__name__)

TABLE_SUFFIXES = (".parquet", ".csv", ".tsv", ".jsonl", ".ndjson", ".txt")
COMPRESSIONS = MappingProxyType({".gz": "gzip", ".bz2": "bz2", ".zst": "zstd", ".lz4": "lz4"})
BATCH_ROWS = 4096
MAX_FIELD_LENGTH = 1 << 20
_NAMES = {
    "url": ("url", "URL", "image_url", "path", "uri", "file_name"),
    "width": ("width", "WIDTH", "original_width"),
    "height": ("height", "HEIGHT", "original_height"),
    "licence": ("licence", "license", "LICENSE"),
    "attribution": ("attribution", "author"),
}
"""Our name of a column, and the names that tables use; the first that a table has is read."""
Row: TypeAlias = Mapping[str, Any]


def is_table(root: str) -> bool:
    """Return whether a file name is that of a table."""
    return _format(root) != ""


@dataclass(frozen=True, slots=True)
class TableSource:
    """The images that a table, or each of the tables that a pattern matches, lists."""

    label: str
    root: str
    fetcher: LinkFetcher
    columns: tuple[str, ...] = ()
    """Numeric columns to pass through."""
    texts: tuple[str, ...] = ()
    """Text columns to pass through."""
    names: tuple[tuple[str, str], ...] = ()
    """Pairs of our name (`url`, `width`, `height`, `licence` or `attribution`) and the table's, if that is unusual."""
    options: StorageOptions = ()
    inside: str | None = None
    """The folder that paths and bucket addresses of rows are relative to and must be in; the table's own, if None."""
    follow_links: bool = False
    """Whether a link in that folder may lead out of it."""
    excluded: Folder | None = None
    """A folder to leave out when tables are listed: the build's own output."""

    def check(self) -> None:
        """Read the first row.

        Raises:
            SourceError: the table cannot be read, has no rows, no column that names images, or lacks a column that the
                recipe passes through.
        """
        if next(filter(None, self._entries()), None) is None:
            raise SourceError(f"source {self.root}: holds no rows")

    def chunks(self, limit: int | None = None) -> Iterator[SourceChunk]:
        """Yield the rows by host group, cut where a key hashes to a boundary; an image that is named again is skipped.

        Local files have no host group. A row that is added or removed changes its own chunk and no other.
        """
        chunker, seen = LinkChunker(self.label, self.root), KeySet()
        n_repeated = n_empty = 0
        remaining = itertools.islice(self._entries(), limit)
        while rows := list(itertools.islice(remaining, BATCH_ROWS)):
            batch = [entry for entry in rows if entry is not None]
            n_empty += len(rows) - len(batch)
            keys = [candidate_key(self.label, entry.uri) for entry in batch]
            for entry, key, new in zip(batch, keys, seen.add(keys), strict=True):
                n_repeated += not new
                group = self._group(entry)
                chunk = chunker.add(group, key, entry, local=group == _LOCAL) if new else None
                if chunk is not None:
                    yield chunk
        yield from chunker.rest(local=_LOCAL)
        if n_repeated:
            verb = "row repeats" if n_repeated == 1 else "rows repeat"
            log.warning("source %s: %d %s an image of an earlier row", self.label, n_repeated, verb)
        if n_empty:
            verb = "row names" if n_empty == 1 else "rows name"
            log.warning("source %s: %d %s no image", self.label, n_empty, verb)

    def candidates(self, chunk: SourceChunk) -> list[Candidate]:
        """Return one candidate per row."""
        return [candidate_of(self.label, entry) for entry in chunk.entries if isinstance(entry, LinkEntry)]

    def fetch(self, candidate: Candidate) -> bytes | Failed:
        """Read the file that the row names."""
        if candidate.version == OUTSIDE:  # its uri may be less than what the row names
            return Failed(OUTSIDE, "names something outside its source")
        return self._read(candidate.uri)

    def stream(
        self, chunk: SourceChunk, wanted: Callable[[Candidate], bool], deliver: Deliver, context: StreamContext
    ) -> None:
        """Fetch the images of a chunk from the web, or read them from another file system."""
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
        return read_file(self._images, address, self.fetcher.max_bytes, follow_links=self.follow_links)

    @property
    def _images(self) -> Folder:
        """The folder that rows may name files of."""
        if self.inside is None:
            return root_folder(self.root, self.options)
        return Folder(self.inside, dict(self.options))

    def _group(self, entry: LinkEntry) -> str:
        if is_web_url(entry.address):
            return host_group_of(entry.address, self.fetcher.web.lanes)
        return _LOCAL if self._images.local else ""

    def _entries(self) -> Iterator[LinkEntry | None]:
        folder, tables = list_files(
            self.root, dict(self.options), follow_links=self.follow_links, excluded=self.excluded
        )
        images = self._images
        for table in tables:
            if table.version == OUTSIDE:
                link = f"{folder.url}/{table.uri}"
                raise SourceError(f"source {link}: is a link that leads out of its folder; --follow-links allows it")
            try:
                for row in read_rows(folder, table.uri):
                    yield self._entry(row, images)
            except (pa.ArrowException, OSError, UnicodeDecodeError, csv.Error, EOFError) as error:
                path = self.root if table.uri == PurePosixPath(self.root).name else f"{folder.url}/{table.uri}"
                raise SourceError(f"source {path}: {' '.join(str(error).split())[:160]}") from error

    def _entry(self, row: Row, images: Folder) -> LinkEntry | None:
        address = self._value(row, "url")
        if address is None:
            raise SourceError(f"source {self.root}: no column names images (url, path, …); it has {_column_names(row)}")
        missing = [name for name in (*self.columns, *self.texts) if name not in row]
        if missing:
            raise SourceError(f"source {self.root}: has no column {missing[0]!r}, only {_column_names(row)}")
        address = address.strip().encode(errors="backslashreplace").decode()  # JSON may hold what is no text
        if not address:
            return None
        if is_web_url(images.url) and "://" not in address:
            address = urljoin(self.root if self.inside is None else f"{images.url}/", address)
        uri, version = (address_identity(address), "") if is_web_url(address) else self._named(images, address)
        numbers = [(name, self._number(name, row[name])) for name in self.columns]
        texts = [(name, None if row[name] is None else str(row[name])) for name in self.texts]
        return LinkEntry(
            uri=uri,
            size=0,
            version=version,
            address=address,
            licence=self._value(row, "licence") or None,
            attribution=self._value(row, "attribution") or None,
            width=_whole(self._value(row, "width")),
            height=_whole(self._value(row, "height")),
            extra=(*numbers, *texts),
        )

    def _named(self, images: Folder, address: str) -> tuple[str, str]:
        """Return the uri of the file that a row names, and its version, which is empty where it is not known.

        What names no file may be half an address: what is cut off it leaves a `?`, so that it still names no file.
        """
        shown = address_identity(address) if "://" in address else public_address(address)
        shown += "?" if "://" not in address and shown != address else ""
        try:
            name = locate(images, address, follow_links=self.follow_links)
        except ReadError as error:  # of a pipe or a folder it is `unreadable`, and said when it is read
            return shown, OUTSIDE if error.failure_class == OUTSIDE else ""
        if not images.local:
            return (shown if "://" in address else name), ""  # a request for each would cost too much
        return (name, images.version(name)) if images.exists(name) else (shown, "")

    def _value(self, row: Row, name: str) -> str | None:
        """Return the row's text under one of the names of a column; None if it has no such column."""
        mapped = dict(self.names).get(name)
        for column in (mapped,) if mapped else _NAMES[name]:
            if column in row:
                return "" if row[column] is None else str(row[column])
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
    """Yield the rows of a table as mappings; only a batch of them is in memory."""
    suffix, compression = _format(name), COMPRESSIONS.get(PurePosixPath(name).suffix.lower())
    with folder.open(name) as raw:
        if suffix == ".parquet":
            for batch in pq.ParquetFile(raw).iter_batches(BATCH_ROWS):
                yield from batch.to_pylist()
            return
        plain: Any = pa.CompressedInputStream(pa.PythonFile(raw), compression) if compression else raw
        text = io.TextIOWrapper(io.BufferedReader(_Readable(plain)), encoding="utf-8-sig", newline="")
        if suffix == ".txt":
            yield from ({"url": line.strip()} for line in text if line.strip())
        elif suffix in {".jsonl", ".ndjson"}:
            yield from _objects(text)
        else:
            csv.field_size_limit(MAX_FIELD_LENGTH)
            yield from csv.DictReader(text, delimiter="\t" if suffix == ".tsv" else ",", strict=True)


def _objects(lines: Iterable[str]) -> Iterator[Row]:
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                raise csv.Error(f"line {number}: not JSON: {error.msg}") from error
            if not isinstance(row, dict):
                raise csv.Error(f"line {number}: not a JSON object")
            yield row


class _Readable(io.RawIOBase):
    """Adapts a stream of arrow, which decompresses, to the standard library."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        content = self._stream.read(len(buffer))
        buffer[: len(content)] = content
        return len(content)


def _format(name: str) -> str:
    """Return the suffix that tells a table's format, without that of its compression; empty if it is not a table."""
    stem = name.lower()
    for compression in COMPRESSIONS:
        stem = stem.removesuffix(compression)
    return next((suffix for suffix in TABLE_SUFFIXES if stem.endswith(suffix)), "")


def _whole(text: str | None) -> int | None:
    try:
        number = float(text) if text else 0.0
    except ValueError:
        return None
    return int(number) if 0 < number < 1e9 else None


def _column_names(row: Row) -> str:
    return ", ".join(str(name) for name in row)[:200]
