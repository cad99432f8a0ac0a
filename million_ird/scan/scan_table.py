"""The rows of a scan, as columns to decide on and as batches to copy: never all of them in memory.

They are read from the ledger where that was decided from the current scan (few large files), from the chunks of the
scan where it was not (many small files), and from the ledger again where `.work` was removed.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from million_ird import ledger
from million_ird.config.recipe import Recipe, digest
from million_ird.errors import LedgerError
from million_ird.ledger import scanned_schema
from million_ird.public_addresses import public_text, public_value
from million_ird.runtime.storage import Folder
from million_ird.scan.scan import DECIDED, INDEX
from million_ird.scan.vanished import VANISHED_ROWS
from million_ird.schema import REMOVED, TEXT, measure_fields

BATCH_ROWS = 20_000
"""About 80 MB with signatures; also the size of a row group of the ledger."""
_TEXTS = ("uri", "licence", "attribution", "failure_detail")


@dataclass(frozen=True, slots=True)
class ScanTable:
    """Rows in the order of the sources; the last `vanished` rows are of files that are gone."""

    out: Folder
    files: tuple[str, ...]
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

    def parts(self, size: int) -> Iterator[tuple[tuple[str, ...], int | None]]:
        """Yield the files in groups to be worked on at once, each with its first vanished row, or None if it has none.

        Args:
            size: Number of files of the scan in a group; a file of the ledger, of up to a million rows, is alone.
        """
        if self._is_ledger:
            yield from self._ledger_parts()
            return
        present = self.files[:-1] if self.vanished else self.files
        for start in range(0, len(present), size):
            yield present[start : start + size], None
        if self.vanished:
            yield self.files[-1:], 0

    @property
    def _is_ledger(self) -> bool:
        return bool(self.files) and self.files[0].startswith(f"{ledger.FOLDER}/")

    def _ledger_parts(self) -> Iterator[tuple[tuple[str, ...], int | None]]:
        rows = []
        for name in self.files:
            with self.out.parquet(name) as file:
                rows.append(file.metadata.num_rows)
        present = sum(rows) - self.vanished
        for name, count in zip(self.files, rows, strict=True):
            yield (name,), None if count <= present else max(0, present)
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
        for name in self.files:
            with self.out.parquet(name) as file:
                for group in range(file.num_row_groups):  # of several at once, pyarrow would hold them all
                    start, end = end, end + file.metadata.row_group(group).num_rows
                    if end <= first:
                        continue
                    for table in read_group(file, group, schema):
                        low = max(0, first - start)
                        high = table.num_rows if stop is None else min(table.num_rows, stop - start)
                        start += table.num_rows
                        if low < high:
                            yield table.slice(low, high - low)
                    if stop is not None and end >= stop:
                        return


def read_group(file: pq.ParquetFile, group: int, schema: pa.Schema) -> Iterator[pa.Table]:
    """Yield the columns of a schema of one row group, in batches of rows."""
    for batch in file.iter_batches(BATCH_ROWS, row_groups=[group], columns=schema.names, use_threads=False):
        yield pa.Table.from_batches([batch]).select(schema.names).cast(schema)


def _published(table: pa.Table, texts: Sequence[str], keep: frozenset[str]) -> pa.Table:
    """Return the rows with their addresses, and those in their texts, as they may be published."""
    for name in texts:
        column, publish = table[name], public_text if name == "failure_detail" else public_value
        if pc.any(pc.match_substring(column, "//")).as_py() or pc.any(pc.match_substring(column, "\\\\")).as_py():
            values = [value if value is None else publish(value, keep) for value in column.to_pylist()]
            field = table.schema.field(name)
            table = table.set_column(table.column_names.index(name), field, pa.array(values, field.type))
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
    table = from_scan(out)
    decided = out.read_json(DECIDED) or {}
    if table is None:
        table = from_ledger(out)
    elif decided.get("uri_parameters") != [*recipe.uri_parameters]:
        pass  # the ledger has fewer parameters of addresses, or more, than it is to have now
    elif decided.get("scan") == table.scan and decided.get("files") == ledger.versions(out):
        table = from_ledger(out, table.scan)
    missing = set(measure_fields(recipe.ledger_entries)) - set(measure_fields(table.measures))
    if missing:
        raise LedgerError(f"{out.url}: {', '.join(sorted(missing))} was never measured here; run build or scan")
    return table


def from_scan(out: Folder) -> ScanTable | None:
    """Return the rows as the chunks of the current scan hold them; None where `.work` was removed."""
    index = out.read_json(INDEX)
    if index is None:
        return None
    units = (*index["units"], *([VANISHED_ROWS] if index["vanished"] else []))
    return ScanTable(out, units, tuple(index["measures"]), index["vanished"], digest(index))


def from_ledger(out: Folder, scan: str = "") -> ScanTable:
    """Return the rows as the ledger holds them, whatever scan it was decided from.

    Raises:
        LedgerError: there is none.
    """
    files = ledger.files(out)
    measures = ledger.check_version(out.read_schema(files[0]), files[0])
    vanished = sum(int(pc.sum(out.read_table(name, ["vanished"])["vanished"]).as_py() or 0) for name in files)
    return ScanTable(out, tuple(files), measures, vanished, scan)
