"""The ledger: one row per candidate, kept, dropped or failed, with every number that was measured.

It has two forms. *Scanned* rows (`.work/scan/*.parquet`) hold what was measured. The *ledger*
(`ledger/*.parquet`) adds the verdict to each row and is published with the dataset. Deciding reads either.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from million_ird.errors import LedgerError
from million_ird.runtime.storage import Folder
from million_ird.schema import (
    DROPPED,
    FAILED,
    IDENTITY_COLUMNS,
    KEPT,
    OUTCOME_COLUMNS,
    SCHEMA_VERSION,
    TEXT,
    VERDICT_COLUMNS,
    VERSION_COLUMNS,
    Column,
    measure_fields,
)

FOLDER = "ledger"
ROWS_PER_FILE = 1_000_000
ROWS_PER_GROUP = 20_000
"""Rows of each row group but the last of a file: about 80 MB if all have signatures."""
Row: TypeAlias = dict[str, object]

_TYPES = {
    "string": pa.string(),
    "binary": pa.binary(),
    "bool": pa.bool_(),
    "int8": pa.int8(),
    "int32": pa.int32(),
    "int64": pa.int64(),
    "float64": pa.float64(),
}
REPEATING = (
    *("source", "licence", "attribution", "format", "mode", "icc", "failure_class", "verdict", "reason", "split"),
)
"""Columns of few distinct texts: dictionary encoding pays for these, and costs time for the others."""
SIGNATURE = ("frame", "points", "view")
"""Columns of an image's signature and of its small view: some 7 kB a row, read in batches, erased by a takedown."""


def scanned_schema(measures: Sequence[str]) -> pa.Schema:
    """Return the schema of scanned rows: the ledger's columns before the verdict, and the file's `version`."""
    return _schema([*_columns(measures), *_arrow(VERSION_COLUMNS)], measures)


def measured_schema(measures: Sequence[str]) -> pa.Schema:
    """Return the schema of the ledger before the verdict."""
    return _schema(_columns(measures), measures)


def ledger_schema(measures: Sequence[str]) -> pa.Schema:
    """Return the schema of the published ledger: the scanned columns without `version`, and the verdict."""
    return _schema([*_columns(measures), *_arrow(VERDICT_COLUMNS)], measures)


def decided_schema() -> pa.Schema:
    """Return the columns that deciding adds."""
    return pa.schema(_arrow(VERDICT_COLUMNS))


def _columns(measures: Sequence[str]) -> list[pa.Field]:
    texts = [pa.field(name.removesuffix(TEXT), pa.string()) for name in measures if name.endswith(TEXT)]
    numbers = [pa.field(name, pa.float64()) for name in measure_fields(measures)]
    return [*_arrow(IDENTITY_COLUMNS), *texts, *numbers, *_arrow(OUTCOME_COLUMNS)]


def _arrow(columns: Iterable[Column]) -> list[pa.Field]:
    return [pa.field(column.name, _TYPES[column.type], nullable=not column.required) for column in columns]


def _schema(fields: list[pa.Field], measures: Sequence[str]) -> pa.Schema:
    return pa.schema(
        fields, metadata={"million_ird.schema": str(SCHEMA_VERSION), "million_ird.measures": ",".join(measures)}
    )


def check_version(schema: pa.Schema, where: str) -> tuple[str, ...]:
    """Return the measures that a schema's metadata lists.

    Args:
        schema: of a ledger file.
        where: names the file in errors.

    Raises:
        LedgerError: not a ledger, one of another schema version, or of a program that has other measures.
    """
    metadata = {k.decode(): v.decode() for k, v in (schema.metadata or {}).items()}
    version = metadata.get("million_ird.schema")
    if version is None:
        raise LedgerError(f"{where}: not a million-ird ledger")
    if version != str(SCHEMA_VERSION):
        reads = f"this program reads {SCHEMA_VERSION}; run build with this one"
        raise LedgerError(f"{where}: ledger of schema version {version}, {reads}")
    measures = tuple(filter(None, metadata["million_ird.measures"].split(",")))
    missing = [name for name in measure_fields(measures) if name not in schema.names]
    if missing:
        differ = f"{missing[0]} and {len(missing) - 1} more differ" if len(missing) > 1 else f"{missing[0]} differs"
        raise LedgerError(f"{where}: measured by another version of this program: {differ}; run build with this one")
    return measures


def to_table(rows: Sequence[Mapping[str, object]], schema: pa.Schema) -> pa.Table:
    """Convert rows to a table of exactly this schema; a missing key becomes null, and so does NaN."""
    columns = [pa.array([row.get(field.name) for row in rows], field.type, from_pandas=True) for field in schema]
    return pa.Table.from_arrays(columns, schema=schema)


def save(out: Folder, batches: Iterable[pa.Table], rows: int, schema: pa.Schema) -> None:
    """Write `rows` rows of `schema` under `ledger/`, a file per `ROWS_PER_FILE`; one row group is in memory."""
    wanted = part_names(rows)
    parts = _sliced(batches, [min(ROWS_PER_FILE, rows - i * ROWS_PER_FILE) for i in range(len(wanted))])
    for name, part in zip(wanted, parts, strict=True):
        write_part(out, f"{FOLDER}/{name}", part, schema)
    for name in set(out.names(FOLDER)) - set(wanted):
        out.remove(f"{FOLDER}/{name}")


def part_names(rows: int) -> list[str]:
    """Return the names of the files of a ledger with this number of rows, in order; a file per `ROWS_PER_FILE`."""
    files = max(1, -(-rows // ROWS_PER_FILE))
    return [f"train-{i:05d}-of-{files:05d}.parquet" for i in range(files)]


def write_part(out: Folder, name: str, batches: Iterable[pa.Table], schema: pa.Schema) -> None:
    """Write one file of a ledger. Its bytes depend on the rows alone; one row group and one batch are in memory."""
    with (
        out.writing(name) as file,
        pq.ParquetWriter(file, schema, compression="zstd", use_dictionary=[*REPEATING]) as writer,
    ):
        for group in _row_groups(table.cast(schema) for table in batches):
            writer.write_table(group)


def _row_groups(batches: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Yield the rows in tables of `ROWS_PER_GROUP`, in one piece each: the borders of pieces would show in the file."""
    held: list[pa.Table] = []
    for table in batches:
        held.append(table)
        while (count := sum(one.num_rows for one in held)) >= ROWS_PER_GROUP:
            rest = held[-1].num_rows - (count - ROWS_PER_GROUP)
            group = pa.concat_tables([*held[:-1], held[-1].slice(0, rest)]).combine_chunks()
            held = [held[-1].slice(rest)]
            yield group
    if sum(one.num_rows for one in held):
        yield pa.concat_tables(held).combine_chunks()


def _sliced(batches: Iterable[pa.Table], sizes: Iterable[int]) -> Iterator[Iterator[pa.Table]]:
    """Split the rows of `batches` into runs of the given sizes, in order."""
    source = iter(batches)
    held: list[pa.Table] = []

    def take(count: int) -> Iterator[pa.Table]:
        while count:
            table = held.pop() if held else next(source)
            if table.num_rows > count:
                held.append(table.slice(count))
            part = table.slice(0, count)
            count -= part.num_rows
            yield part

    return map(take, sizes)


def load(out: Folder, columns: Sequence[str] | None = None) -> pa.Table:
    """Read the ledger of a build, or some of its columns; by default all but the large signatures.

    Raises:
        LedgerError: there is none, or one of another schema version.
    """
    paths = files(out)
    names = out.read_schema(paths[0]).names if columns is None else columns
    wanted = [name for name in names if columns is not None or name not in SIGNATURE]
    return pa.concat_tables([out.read_table(name, wanted) for name in paths])


def versions(out: Folder) -> dict[str, str]:
    """Return the versions of the ledger's files, to detect whether one was changed, added or removed."""
    return {name: out.version(f"{FOLDER}/{name}") for name in out.names(FOLDER)}


def files(out: Folder) -> list[str]:
    """Return the files of a build's ledger, in order.

    Raises:
        LedgerError: there is none, or one of another schema version.
    """
    names = [f"{FOLDER}/{name}" for name in out.names(FOLDER) if name.endswith(".parquet")]
    if not names:
        raise LedgerError(f"{out.url}: contains no ledger; nothing was decided yet")
    for name in names:
        check_version(out.read_schema(name), f"{out.url}/{name}")
    return names


@dataclass(frozen=True, slots=True, kw_only=True)
class Funnel:
    """How many candidates were kept, dropped and failed; their sum is checked against the number of candidates."""

    candidates: int
    kept: int
    dropped: dict[str, int]
    """By reason, largest first."""
    failures: dict[str, int]
    """By failure class, largest first."""

    def __post_init__(self) -> None:
        total = self.kept + sum(self.dropped.values()) + self.failed
        if total != self.candidates:
            raise LedgerError(
                f"{self.candidates} candidates, but {self.kept} kept + {sum(self.dropped.values())} dropped"
                f" + {self.failed} failed = {total}"
            )

    @property
    def failed(self) -> int:
        """Candidates that could not be read or decoded."""
        return sum(self.failures.values())

    @property
    def failed_share(self) -> float:
        """Of the candidates, 0 to 1."""
        return self.failed / max(1, self.candidates)


def funnel(ledger: pa.Table) -> Funnel:
    """Count the verdicts of a decided ledger."""
    verdicts = _counts(ledger["verdict"])
    dropped = _counts(ledger.filter(pc.equal(ledger["verdict"], DROPPED))["reason"])
    failures = _counts(ledger.filter(pc.equal(ledger["verdict"], FAILED))["failure_class"])
    return Funnel(
        candidates=sum(verdicts.values()),
        kept=verdicts.get(KEPT, 0),
        dropped=in_order(dropped),
        failures=in_order(failures),
    )


def in_order(counts: Mapping[str, int]) -> dict[str, int]:
    """Return counts, the largest first."""
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _counts(column: pa.ChunkedArray) -> dict[str, int]:
    return {str(e["values"]): int(e["counts"]) for e in pc.value_counts(column).to_pylist()}
