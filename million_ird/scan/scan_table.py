"""The rows of a scan, as columns to decide on and as batches to copy: never all of them in memory.

They are read from the ledger where that was decided from the current scan, from the units of the scan where it was
not, and from the ledger again where `.work` was removed.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from million_ird import ledger
from million_ird.build_folder import DECIDED, INDEX
from million_ird.config.recipe import Recipe, digest
from million_ird.errors import LedgerError
from million_ird.ledger import scanned_schema
from million_ird.public_columns import public_texts, public_values
from million_ird.runtime.storage import Folder
from million_ird.scan.row_index import RowIndex, RowSpan
from million_ird.scan.vanished import VANISHED_ROWS
from million_ird.schema import REMOVED, TEXT, measure_fields

BATCH_ROWS = 20_000
"""About 80 MB with signatures; also the size of a row group of the ledger."""
_TEXTS = ("uri", "licence", "attribution", "failure_detail")


@dataclass(frozen=True, slots=True)
class ScanTable:
    """Rows in the order of the sources; the last `vanished` rows are of files that are gone."""

    out: Folder
    spans: tuple[RowSpan, ...]
    """Where the rows are."""
    measures: tuple[str, ...]
    vanished: int
    scan: str
    """Digest of the scan; empty where only the ledger is left of it."""

    def iter_batches(self, names: Sequence[str]) -> Iterator[pa.Table]:
        """Yield some columns, in batches of rows."""
        return self._read(self.schema_of(names))

    def batches(self) -> Iterator[pa.Table]:
        """Yield all ledger columns before the verdict, in batches of rows."""
        return self._read(ledger.measured_schema(self.measures))

    def parts(self, size: int) -> Iterator[tuple[tuple[RowSpan, ...], int | None]]:
        """Yield the spans in groups to be worked on at once, each with its first vanished row, or None if it has none.

        Args:
            size: Number of units of the scan in a group, or a few more; a file of the ledger, of up to a million rows,
                is alone.
        """
        if self._is_ledger:
            yield from self._ledger_parts()
            return
        held: list[RowSpan] = []
        for span in self.spans[:-1] if self.vanished else self.spans:
            held.append(span)
            if sum(one.units for one in held) >= size:
                yield tuple(held), None
                held = []
        if held:
            yield tuple(held), None
        if self.vanished:
            yield self.spans[-1:], 0

    @property
    def _is_ledger(self) -> bool:
        return bool(self.spans) and self.spans[0].file.startswith(f"{ledger.FOLDER}/")

    def _ledger_parts(self) -> Iterator[tuple[tuple[RowSpan, ...], int | None]]:
        rows = []
        for span in self.spans:
            with self.out.parquet(span.file) as file:
                rows.append(file.metadata.num_rows)
        present = sum(rows) - self.vanished
        for span, count in zip(self.spans, rows, strict=True):
            yield (span,), None if count <= present else max(0, present)
            present -= count

    def schema_of(self, names: Sequence[str]) -> pa.Schema:
        """Return the schema of some columns of scanned rows."""
        scanned = scanned_schema(self.measures)
        return pa.schema([scanned.field(name) for name in names])

    def published(self, uri_parameters: Sequence[str], first: int = 0, stop: int | None = None) -> Iterator[pa.Table]:
        """Yield all ledger columns before the verdict without secrets of addresses, in batches of rows.

        Args:
            uri_parameters: Parameters of addresses that are published.
            first: The first row.
            stop: The row after the last one; None for all rows.
        """
        texts = [*_TEXTS, *(name.removesuffix(TEXT) for name in self.measures if name.endswith(TEXT))]
        for table in self._read(ledger.measured_schema(self.measures), first, stop):
            yield _published(table, texts, frozenset(uri_parameters))

    def _read(self, schema: pa.Schema, first: int = 0, stop: int | None = None) -> Iterator[pa.Table]:
        """Yield the rows from `first` on; row groups before it are not read."""
        end = 0
        for span in self.spans:
            with self.out.parquet(span.file) as file:
                for piece in span_groups(file, span):
                    start, end = end, end + piece.rows
                    if end <= first:
                        continue
                    for table, _ in read_group(file, piece, schema):
                        low = max(0, first - start)
                        high = table.num_rows if stop is None else min(table.num_rows, stop - start)
                        start += table.num_rows
                        if low < high:
                            yield table.slice(low, high - low)
                    if stop is not None and end >= stop:
                        return


@dataclass(frozen=True, slots=True)
class GroupPiece:
    """Consecutive rows of one row group of a file."""

    group: int
    low: int
    high: int

    @property
    def rows(self) -> int:
        """Number of rows."""
        return self.high - self.low


def span_groups(file: pq.ParquetFile, span: RowSpan) -> Iterator[GroupPiece]:
    """Yield the pieces of row groups that hold the rows of a span, in order."""
    end = 0
    for group in range(file.num_row_groups):
        start, end = end, end + file.metadata.row_group(group).num_rows
        low = max(span.start, start) - start
        high = (end if span.stop is None else min(span.stop, end)) - start
        if low < high:
            yield GroupPiece(group, low, high)


def read_group(file: pq.ParquetFile, piece: GroupPiece, schema: pa.Schema) -> Iterator[tuple[pa.Table, int]]:
    """Yield the columns of a schema of a piece of a row group, in batches of rows, each with its first row's number.

    The whole group is read up to the end of the piece, and no other one: of several, pyarrow would hold them all.
    """
    start = 0
    for batch in file.iter_batches(BATCH_ROWS, row_groups=[piece.group], columns=schema.names, use_threads=False):
        low, high = max(piece.low, start), min(piece.high, start + batch.num_rows)
        if low < high:
            own = batch.slice(low - start, high - low)
            yield pa.Table.from_batches([own]).select(schema.names).cast(schema), low
        start += batch.num_rows
        if start >= piece.high:
            return


def _published(table: pa.Table, texts: Sequence[str], keep: frozenset[str]) -> pa.Table:
    """Return the rows with their addresses, and those in their texts, as they may be published."""
    for name in texts:
        publish = public_texts if name == "failure_detail" else public_values
        table = table.set_column(table.column_names.index(name), table.schema.field(name), publish(table[name], keep))
    return table


def without_signatures(table: pa.Table, reasons: pa.ChunkedArray) -> pa.Table:
    """Return the rows with the signatures of images that were taken down set to null."""
    removed = pc.fill_null(pc.equal(reasons, REMOVED), False)
    if not pc.any(removed).as_py():
        return table
    for name in ledger.SIGNATURE:
        bare = pc.if_else(removed, pa.scalar(None, pa.binary()), table[name])
        table = table.set_column(table.column_names.index(name), table.schema.field(name), bare)
    return table


def load_scan(out: Folder, recipe: Recipe) -> ScanTable:
    """Find the rows of the current scan.

    Raises:
        LedgerError: nothing was scanned yet, or a number that the recipe needs was not measured.
    """
    index = out.read_json(INDEX)
    table = from_ledger(out) if index is None else _decided_rows(out, recipe, index) or _scanned_rows(out, index)
    missing = set(measure_fields(recipe.ledger_entries)) - set(measure_fields(table.measures))
    if missing:
        raise LedgerError(f"{out.url}: {', '.join(sorted(missing))} was never measured here; run build or scan")
    return table


def from_scan(out: Folder) -> ScanTable | None:
    """Return the rows as the units of the current scan hold them; None where `.work` was removed."""
    index = out.read_json(INDEX)
    return None if index is None else _scanned_rows(out, index)


def _scanned_rows(out: Folder, index: dict[str, Any]) -> ScanTable:
    spans = (*RowIndex(out).spans(index["units"]), *([RowSpan(VANISHED_ROWS)] if index["vanished"] else []))
    return ScanTable(out, spans, tuple(index["measures"]), index["vanished"], digest(index))


def _decided_rows(out: Folder, recipe: Recipe, index: dict[str, Any]) -> ScanTable | None:
    """Return the rows of the ledger; None if it was decided from another scan, or is to have other addresses."""
    decided, scan = out.read_json(DECIDED) or {}, digest(index)
    if decided.get("uri_parameters") != [*recipe.uri_parameters]:
        return None  # the ledger has fewer parameters of addresses, or more, than it is to have now
    if decided.get("scan") != scan or decided.get("files") != ledger.versions(out):
        return None
    return from_ledger(out, scan)


def from_ledger(out: Folder, scan: str = "") -> ScanTable:
    """Return the rows as the ledger holds them, whatever scan it was decided from.

    Raises:
        LedgerError: there is none.
    """
    files = ledger.files(out)
    measures = ledger.check_version(out.read_schema(files[0]), files[0])
    vanished = sum(int(pc.sum(out.read_table(name, ["vanished"])["vanished"]).as_py() or 0) for name in files)
    return ScanTable(out, tuple(map(RowSpan, files)), measures, vanished, scan)
