"""Rows of parquet tables: only the columns that are asked for, refused by name where their type cannot be read.

Types are checked before the first row is read, so before anything is fetched. Texts that are not UTF-8 are damaged
cells, which parquet lets through: they fail their rows.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.types as types

from million_ird.errors import ReadError, one_line
from million_ird.sources.cells import bad_row
from million_ird.sources.table_text import Cells, NumberedRow

BATCH_ROWS = 4096
MAX_SLICES = 16
"""Pieces of one row group at most."""
_NO_VALUE = (ValueError, OverflowError, LookupError)
"""What Python raises where it has no such value: a text that is not UTF-8, a year beyond 9999, an unknown time zone."""
Use: TypeAlias = Literal["address", "name", "number", "text"]
"""What a column is read as: see `million_ird.sources.cells`."""


def refused_type(field: pa.Field, use: Use) -> str:
    """Return what a column holds that cannot be read as this; empty if it can be."""
    kind = plain_type(field.type)
    if types.is_struct(kind) or types.is_map(kind):
        return "" if use == "text" else f"structures ({kind})"
    if is_list(kind):
        inner = plain_type(kind.value_type)
        readable = use == "text" or (use == "name" and not (is_list(inner) or types.is_nested(inner)))
        return "" if readable else f"lists ({kind})"
    if types.is_union(kind):
        return f"values of several types ({kind})"
    if use == "number" and not (is_text(kind) or is_number(kind) or types.is_null(kind)):
        return f"no numbers ({kind})"
    return ""


def plain_type(kind: pa.DataType) -> pa.DataType:
    """Return the type of a column's values, without how they are stored: dictionaries, runs and extensions."""
    while True:
        if isinstance(kind, pa.BaseExtensionType):
            kind = kind.storage_type
        elif types.is_dictionary(kind) or types.is_run_end_encoded(kind):
            kind = kind.value_type
        else:
            return kind


def is_list(kind: pa.DataType) -> bool:
    """Return whether values are lists of any of arrow's forms."""
    views = types.is_list_view(kind) or types.is_large_list_view(kind)
    return bool(views or types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))


def is_text(kind: pa.DataType) -> bool:
    """Return whether values are text, or bytes that may be."""
    strings = types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)
    return bool(strings or is_bytes(kind))


def is_bytes(kind: pa.DataType) -> bool:
    """Return whether values are bytes."""
    plain = types.is_binary(kind) or types.is_large_binary(kind) or types.is_binary_view(kind)
    return bool(plain or types.is_fixed_size_binary(kind))


def is_number(kind: pa.DataType) -> bool:
    """Return whether values are numbers or booleans."""
    return bool(types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind) or types.is_boolean(kind))


@dataclass(frozen=True, slots=True)
class TablePiece:
    """Some consecutive rows of a table; by default all of them."""

    table: str
    """Its name in the folder of tables."""
    groups: tuple[int, int] | None = None
    """The first row group of a parquet file, and the one after the last; None for all."""
    skipped: int = 0
    """Rows of these groups that are not in the piece, at the beginning."""
    rows: int | None = None
    """Rows of the piece; None for all that follow."""
    before: int = 0
    """Rows of the table that are before the piece."""


def pieces_of_parquet(table: str, metadata: pq.FileMetaData, rows: int) -> Iterator[TablePiece]:
    """Cut a table into pieces of about this many rows, in order.

    Small row groups are joined. Large ones are split, into at most `MAX_SLICES`: whoever reads a slice has to decode
    what is before it in the row group, too.
    """
    start = before = waiting = 0
    for group in range(metadata.num_row_groups):
        count = metadata.row_group(group).num_rows
        if waiting and waiting + count > rows:
            yield TablePiece(table, (start, group), 0, waiting, before)
            start, before, waiting = group, before + waiting, 0
        waiting += count
        if waiting > rows:
            size = max(rows, -(-count // MAX_SLICES))
            for first in range(0, count, size):
                yield TablePiece(table, (group, group + 1), first, min(size, count - first), before + first)
            start, before, waiting = group + 1, before + count, 0
    if waiting:
        yield TablePiece(table, (start, metadata.num_row_groups), 0, waiting, before)


def read_parquet(
    file: pq.ParquetFile, columns: Sequence[str], piece: TablePiece | None = None
) -> Iterator[NumberedRow]:
    """Yield some columns of all rows, or of those of a piece, numbered from 1 in the whole table.

    Only a batch of rows is in memory.
    """
    piece = piece or TablePiece("")
    groups = None if piece.groups is None else range(*piece.groups)
    number, skipped, last = piece.before, piece.skipped, piece.before + (piece.rows or 0)
    for batch in file.iter_batches(BATCH_ROWS, row_groups=groups, columns=list(columns)):
        fresh = batch.slice(skipped)
        skipped = max(0, skipped - batch.num_rows)
        if piece.rows is not None:
            fresh = fresh.slice(0, last - number)
        for row in rows_of_batch(fresh):
            number += 1
            yield number, row
        if piece.rows is not None and number == last:
            return


def rows_of_batch(batch: pa.RecordBatch | pa.Table) -> Iterator[Cells | ReadError]:
    """Yield the rows of a batch as Python values; a row with one that Python cannot hold fails."""
    try:
        rows: list[Cells] = batch.to_pylist()
    except pa.ArrowException:
        raise
    except _NO_VALUE:
        for number in range(batch.num_rows):
            yield _row(batch.slice(number, 1))
    else:
        yield from rows


def _row(one: pa.RecordBatch | pa.Table) -> Cells | ReadError:
    cells: Cells = {}
    for name, column in zip(one.schema.names, one.columns, strict=True):
        try:
            cells[name] = column.to_pylist()[0]
        except UnicodeDecodeError as error:
            return bad_row(f"byte 0x{error.object[error.start]:02x} is not UTF-8", name)
        except pa.ArrowException:
            raise
        except _NO_VALUE as error:
            return bad_row(f"holds a value that cannot be read: {one_line(error)}", name)
    return cells
