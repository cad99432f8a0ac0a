"""Rows of parquet tables: only the columns that are asked for, refused by name where their type cannot be read.

Types are checked before the first row is read, so before anything is fetched. Texts that are not UTF-8 are damaged
cells, which parquet lets through: they fail their rows.
"""

from collections.abc import Iterator, Sequence
from typing import Literal, TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.types as types

from million_ird.errors import ReadError
from million_ird.sources.cells import bad_row
from million_ird.sources.table_text import Cells, NumberedRow

BATCH_ROWS = 4096
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


def read_parquet(file: pq.ParquetFile, columns: Sequence[str]) -> Iterator[NumberedRow]:
    """Yield some columns of all rows, numbered from 1; only a batch of rows is in memory."""
    number = 0
    for batch in file.iter_batches(BATCH_ROWS, columns=list(columns)):
        for row in rows_of_batch(batch):
            number += 1
            yield number, row


def rows_of_batch(batch: pa.RecordBatch | pa.Table) -> Iterator[Cells | ReadError]:
    """Yield the rows of a batch as Python values; a row with a text that is not UTF-8 fails."""
    try:
        rows: list[Cells] = batch.to_pylist()
    except UnicodeDecodeError:
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
    return cells
