"""Tables that list images: parquet, csv, tsv, jsonl or txt, plain or compressed, on any file system.

One candidate per row. `url` (or `path`, `uri`, `file_name`, `image_url`, `URL`) names the image: a web address, or a
file in the table's folder, by its path or its bucket's address. `width`, `height`, `licence` (`license`),
`attribution` (`author`) and the columns that the recipe passes through are read, too. A txt holds one address on each
line and nothing else. A table is read in batches of rows, never whole.
"""

import functools
import itertools
import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from million_ird.candidate import Candidate, Failed
from million_ird.errors import ReadError, SourceError, one_line
from million_ird.public_addresses import public_address
from million_ird.runtime.file_names import as_text
from million_ird.runtime.storage import FileEntry, Folder
from million_ird.sources import hints
from million_ird.sources.cells import UNREADABLE, failure_in, version_of
from million_ird.sources.containment import OUTSIDE, locate
from million_ird.sources.files import StorageOptions, read_each, read_file, root_folder
from million_ird.sources.listing import list_files
from million_ird.sources.source import Deliver, SourceChunk, StreamContext, candidate_of
from million_ird.sources.table_columns import TableColumns
from million_ird.sources.table_formats import COMPRESSIONS, format_of, has_own_columns, is_table
from million_ird.sources.table_names import NamedColumns, count_lacking, require_names, warn_of_names, warn_of_rows
from million_ird.sources.table_parquet import BATCH_ROWS, TablePiece, Use, read_parquet
from million_ird.sources.table_text import JsonArray, NumberedRow, UnknownEncoding, rows_of
from million_ird.sources.web.links import (
    LinkChunker,
    LinkEntry,
    LinkFetcher,
    address_identity,
    host_group_of,
    is_web_url,
    join_address,
)

log = logging.getLogger(__name__)

LOCAL = "local"
"""The group of the entries that are files of this machine."""


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
        """Read as far as the first row that can be read.

        Raises:
            SourceError: the table cannot be read, has no rows, no column that names images, lacks a column that the
                recipe passes through or that `names` names, or none of its rows can be read.
        """
        n_failed, first = 0, ""
        for entry in filter(None, self._entries()):
            failed = failure_in(entry.version)
            if failed is None:
                require_names(self.root, self.names, self._available())
                return
            n_failed, first = n_failed + 1, first or failed.detail
        if n_failed:
            raise SourceError(f"source {self.root}: none of its rows can be read ({n_failed:,}): {first}")
        raise SourceError(f"source {self.root}: holds no rows")

    def chunks(self, limit: int | None = None) -> Iterator[SourceChunk]:
        """Yield the rows by host group, cut where a key hashes to a boundary; an image that is named again is skipped.

        Local files have no host group. A row that is added or removed changes its own chunk and no other.
        """
        from million_ird.sources.keyset import KeySet  # loads numba, which opening a table does without

        chunker, seen = LinkChunker(self.label, self.root), KeySet()
        n_repeated, n_empty, lacking = 0, 0, list[tuple[str, Iterable[str]]]()
        remaining = itertools.islice(self._entries(lacking), limit)
        while rows := list(itertools.islice(remaining, BATCH_ROWS)):
            batch = [entry for entry in rows if entry is not None]
            n_empty += len(rows) - len(batch)
            keys = [entry.key(self.label) for entry in batch]
            for entry, key, new in zip(batch, keys, seen.add(keys), strict=True):
                n_repeated += not new
                group = self.group(entry)
                chunk = chunker.add(group, key, entry, local=group == LOCAL) if new else None
                if chunk is not None:
                    yield chunk
        yield from chunker.rest(local=LOCAL)
        warn_of_rows(self.label, n_repeated, n_empty)
        warn_of_names(self.label, self.names, count_lacking(lacking))

    def candidates(self, chunk: SourceChunk) -> list[Candidate]:
        """Return one candidate per row."""
        return [candidate_of(self.label, entry) for entry in chunk.entries if isinstance(entry, LinkEntry)]

    def fetch(self, candidate: Candidate) -> bytes | Failed:
        """Read the file that the row names."""
        failed = failure_in(candidate.version)
        if failed is not None:
            return failed
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
            [(candidate_of(self.label, entry), functools.partial(self._content, entry)) for entry in entries],
            wanted,
            deliver,
            context,
        )

    def _content(self, entry: LinkEntry) -> bytes | Failed:
        return failure_in(entry.version) or self._read(entry.address)

    def _read(self, address: str) -> bytes | Failed:
        return read_file(self.images, address, self.fetcher.max_bytes, follow_links=self.follow_links)

    @property
    def images(self) -> Folder:
        """The folder that rows may name files of."""
        if self.inside is None:
            return root_folder(self.root, self.options)
        return Folder(self.inside, dict(self.options))

    def group(self, entry: LinkEntry) -> str:
        """Return the host group that an entry's image is fetched from; `LOCAL` for files of this machine."""
        if is_web_url(entry.address) and not entry.member:
            return host_group_of(entry.address, self.fetcher.web.lanes)
        return LOCAL if self.images.local else ""

    def _entries(self, lacking: list[tuple[str, Iterable[str]]] | None = None) -> Iterator[LinkEntry | None]:
        """Yield what each row names, None if it names nothing; a row that cannot be read is a failed entry.

        Of several tables, one that cannot be read (further) is a failed entry as well. The tables that were read to
        their end, and which named columns each lacks, are appended to `lacking`.
        """
        folder, tables = self.tables()
        for table in tables:
            named = NamedColumns(self.names)
            try:
                yield from self.read(folder, TablePiece(table.uri), named)
                if lacking is not None:
                    lacking.append((table.uri, named.lacking))
            except READ_ERRORS as error:
                entry, reason = self.unreadable(table.uri, error)
                log.warning("source %s/%s: cannot be read: %s", folder.url, table.uri, reason)
                yield entry

    def tables(self) -> tuple[Folder, Iterator[FileEntry]]:
        """Return the folder of the tables, and these in order.

        Raises:
            SourceError: There is none, or one is a link that leads out.
        """
        folder, tables = list_files(
            self.root, dict(self.options), follow_links=self.follow_links, excluded=self.excluded
        )
        return folder, self._chosen(folder, tables)

    def _chosen(self, folder: Folder, tables: Iterator[FileEntry]) -> Iterator[FileEntry]:
        in_folder = folder.url == self.root  # else the user chose the names: by a pattern, or one
        for table in tables:
            if in_folder and not is_table(table.uri) and failure_in(table.version) is None:
                continue
            if table.version == OUTSIDE:
                link = f"{folder.url}/{table.uri}"
                raise SourceError(f"source {link}: is a link that leads out of its folder; --follow-links allows it")
            yield table

    def unreadable(self, table: str, error: Exception) -> tuple[LinkEntry, str]:
        """Return the failed entry that stands for the rest of a table, and why it cannot be read.

        Raises:
            SourceError: It is the only table.
        """
        reason = error.detail if isinstance(error, ReadError) else one_line(error)
        if table == as_text(PurePosixPath(self.root).name):
            raise SourceError(f"source {self.root}: {reason}") from error
        return _failed(table, Failed(UNREADABLE, f"{table}: {reason}")), reason

    def _available(self) -> Iterator[Collection[str]]:
        """Yield the columns of each table; of JSON, those of each row. A table that cannot be read ends early."""
        folder, tables = self.tables()
        for table in tables:
            try:
                if format_of(table.uri) == ".parquet":
                    with folder.open(table.uri) as raw:
                        yield pq.ParquetFile(raw).schema_arrow.names
                    continue
                rows = (row for _, row in self._rows(folder, TablePiece(table.uri)) if isinstance(row, dict))
                yield from rows if has_own_columns(table.uri) else itertools.islice(rows, 1)
            except READ_ERRORS as error:  # it becomes a failed row
                log.debug("source %s/%s: %s", folder.url, table.uri, error)

    def read(self, folder: Folder, piece: TablePiece, named: NamedColumns | None = None) -> Iterator[LinkEntry | None]:
        """Yield what each row of a table, or of a piece of it, names; None if it names nothing.

        Args:
            folder: The folder of the tables.
            piece: The rows.
            named: Takes in the columns of the rows.

        Raises:
            SourceError: The table lacks a column, or has one that cannot be read.
            READ_ERRORS: It cannot be read further.
        """
        name = piece.table
        unit = "row" if format_of(name) == ".parquet" else "line"
        by_row = has_own_columns(name)  # each row says itself which columns it has
        images, columns, checked = self.images, self._columns, by_row
        for number, row in self._rows(folder, piece):
            try:
                if isinstance(row, ReadError):
                    raise row
                if named is not None:
                    named.add(row)
                if not checked:
                    self._check(row, f"{folder.url}/{name}")
                    checked = True
                yield self._entry(row, images, columns)
            except ReadError as error:
                place = f"{name}, {unit} {number}"
                detail = f"{place}{', ' if error.detail.startswith('column ') else ': '}{error.detail}"
                yield _failed(place, Failed(error.failure_class, detail))

    def _rows(self, folder: Folder, piece: TablePiece) -> Iterator[NumberedRow]:
        """Yield the rows of a table; only a batch of them is in memory."""
        name = piece.table
        kind, compression = format_of(name), COMPRESSIONS.get(PurePosixPath(name).suffix.lower())
        with folder.open(name) as raw:
            if kind == ".parquet":
                file = pq.ParquetFile(raw)
                self._check(file.schema_arrow, f"{folder.url}/{name}")
                uses = self._columns.uses(file.schema_arrow.names)
                for number, row in read_parquet(file, list(uses), piece):
                    if number == 1 and isinstance(row, dict):
                        _refuse_images(row, uses, f"{folder.url}/{name}")
                    yield number, row
                return
            plain: Any = pa.CompressedInputStream(pa.PythonFile(raw), compression) if compression else raw
            try:
                yield from rows_of(kind, plain)
            except JsonArray as error:
                raise SourceError(f"source {self.root}: {hints.for_json(f'{folder.url}/{name}', b'[')}") from error

    def _check(self, columns: pa.Schema | Mapping[str, Any], path: str) -> None:
        """Make sure that a table has all columns that are read, of types that can be read.

        Raises:
            SourceError: it has not.
        """
        try:
            if isinstance(columns, pa.Schema):
                self._columns.check_types(columns, path.rpartition("/")[0])
            else:
                self._columns.require(columns)
        except ReadError as error:
            raise SourceError(f"source {path}: {error.detail}") from error

    @property
    def _columns(self) -> TableColumns:
        return TableColumns(self.columns, self.texts, self.names)

    def _entry(self, row: Mapping[str, Any], images: Folder, columns: TableColumns) -> LinkEntry | None:
        """Return what a row names; None if it names nothing.

        Raises:
            ReadError: `bad_row`: a cell that is read cannot be, or a column is missing.
        """
        columns.require(row)
        address = columns.address(row)
        if not address:
            return None
        if is_web_url(images.url) and "://" not in address:
            address = join_address(self.root if self.inside is None else f"{images.url}/", address)
        uri, version = (address_identity(address), "") if is_web_url(address) else self._named(images, address)
        return LinkEntry(
            uri=uri,
            size=0,
            version=version,
            address=address,
            licence=columns.name(row, "licence"),
            attribution=columns.name(row, "attribution"),
            width=columns.pixels(row, "width"),
            height=columns.pixels(row, "height"),
            extra=tuple(columns.extra(row)),
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


READ_ERRORS = (pa.ArrowException, OSError, EOFError, UnicodeError, UnknownEncoding, ReadError)
"""What reading a table raises that is damaged, or whose encoding is not known."""


def _refuse_images(row: Mapping[str, Any], uses: Mapping[str, Use], path: str) -> None:
    for column, use in uses.items():
        if use == "address" and hints.is_image_content(row[column]):
            raise SourceError(f"source {path}: {hints.for_image_cells(path.rpartition('/')[0], column)}")


def _failed(place: str, failed: Failed) -> LinkEntry:
    """Return the entry of a row, or of a table, that cannot be read; its key is none that an image may have."""
    return LinkEntry(uri=place, size=0, version=version_of(failed), address="", member=failed.failure_class)
