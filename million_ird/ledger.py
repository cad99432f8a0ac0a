"""The ledger: one row per candidate, kept, dropped or failed, with every number that was measured.

Two shapes of it exist. *Scanned* rows (`.work/scan/*.parquet`) hold what was found and measured. The *ledger*
(`ledger/*.parquet`) adds the verdict to each and is what the data set publishes. Deciding reads either.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from million_ird.errors import LedgerError
from million_ird.measures.registry import MEASURES
from million_ird.runtime.storage import Folder

SCHEMA_VERSION = 2
FOLDER = "ledger"
ROWS_PER_FILE = 1_000_000
HEADER_COLUMNS = ("bytes", "width", "height")
"""Numbers that every readable candidate has, whatever is measured."""
Row: TypeAlias = dict[str, object]

_IDENTITY = (
    pa.field("key", pa.string(), nullable=False),
    pa.field("source", pa.string(), nullable=False),
    pa.field("uri", pa.string(), nullable=False),
    pa.field("licence", pa.string()),
    pa.field("attribution", pa.string()),
    pa.field("id", pa.string()),
    pa.field("bytes", pa.int64()),
    pa.field("format", pa.string()),
    pa.field("mode", pa.string()),
    pa.field("bits", pa.int8()),
    pa.field("orientation", pa.int8()),
    pa.field("icc", pa.string()),
    pa.field("width", pa.int32()),
    pa.field("height", pa.int32()),
    pa.field("phash", pa.string()),
    pa.field("pixels_id", pa.string()),
    pa.field("frame", pa.binary()),
    pa.field("points", pa.binary()),
)
_FOUND = (pa.field("version", pa.string(), nullable=False),)
_MEASURED = (
    pa.field("tier", pa.int8(), nullable=False),
    pa.field("failure_class", pa.string()),
    pa.field("failure_detail", pa.string()),
)
_DECIDED = (
    pa.field("verdict", pa.string(), nullable=False),
    pa.field("reason", pa.string()),
    pa.field("measured", pa.float64()),
    pa.field("limit", pa.float64()),
    pa.field("cluster", pa.string()),
    pa.field("duplicate_of", pa.string()),
    pa.field("leak_of", pa.string()),
    pa.field("split", pa.string()),
    pa.field("vanished", pa.bool_(), nullable=False),
)
_REPEATING = (
    *("source", "licence", "attribution", "format", "mode", "icc", "failure_class", "verdict", "reason", "split"),
)
"""Columns of few different texts: a dictionary pays for these, and costs time for the others."""
SIGNATURE = ("frame", "points")
"""Columns of a picture's signature: some 4 kB a row, read some rows at a time."""
RESERVED = frozenset(field.name for field in (*_IDENTITY, *_FOUND, *_MEASURED, *_DECIDED)) | {"image"}
"""Column names that no score and no column of a table may take."""
KEPT, DROPPED, FAILED = "kept", "dropped", "failed"
TRAIN, VALIDATION = "train", "validation"
"""Splits of what is kept."""
VANISHED, NOT_MEASURED, LICENCE = "vanished", "not_measured", "licence"
REMOVED, LEAK = "removed", "benchmark_leak"
EXACT, PIXELS, NEAR = "duplicate_exact", "duplicate_pixels", "duplicate_near"
RULES = frozenset({VANISHED, NOT_MEASURED, LICENCE, REMOVED, LEAK, EXACT, PIXELS, NEAR})
"""Reasons that are no gate's."""


TEXT = ":text"
"""Ends the name of a passed-through column that holds text, where measures are listed."""


def measure_fields(measures: Iterable[str]) -> list[str]:
    """The numeric columns that the named measures fill, in order; a score fills the column of its name."""
    numeric = [name for name in measures if not name.endswith(TEXT)]
    return [field for name in numeric for field in (MEASURES[name].fields if name in MEASURES else (name,))]


def numeric_fields(measures: Iterable[str]) -> set[str]:
    """The columns that a gate can look at."""
    return {*measure_fields(measures), *HEADER_COLUMNS}


def scanned_schema(measures: Sequence[str]) -> pa.Schema:
    """Schema of scanned rows: the ledger's columns before the verdict, and the `version` of the file."""
    return _schema([*_columns(measures), *_FOUND], measures)


def measured_schema(measures: Sequence[str]) -> pa.Schema:
    """Schema of the ledger before the verdict."""
    return _schema(_columns(measures), measures)


def ledger_schema(measures: Sequence[str]) -> pa.Schema:
    """Schema of the published ledger: the scanned columns but `version`, and the verdict."""
    return _schema([*_columns(measures), *_DECIDED], measures)


def _columns(measures: Sequence[str]) -> list[pa.Field]:
    texts = [pa.field(name.removesuffix(TEXT), pa.string()) for name in measures if name.endswith(TEXT)]
    return [*_IDENTITY, *texts, *(pa.field(name, pa.float64()) for name in measure_fields(measures)), *_MEASURED]


def _schema(fields: list[pa.Field], measures: Sequence[str]) -> pa.Schema:
    return pa.schema(
        fields, metadata={"million_ird.schema": str(SCHEMA_VERSION), "million_ird.measures": ",".join(measures)}
    )


def decided_schema() -> pa.Schema:
    """The columns that deciding adds."""
    return pa.schema(_DECIDED)


def check_version(schema: pa.Schema, where: str) -> tuple[str, ...]:
    """The measures named in a schema's metadata.

    Raises:
        LedgerError: `where` is not a ledger, one of another schema version, or of a program that has other measures.
    """
    metadata = {k.decode(): v.decode() for k, v in (schema.metadata or {}).items()}
    version = metadata.get("million_ird.schema")
    if version is None:
        raise LedgerError(f"{where}: not a million-ird ledger")
    if version != str(SCHEMA_VERSION):
        raise LedgerError(f"{where}: ledger of schema version {version}, this program reads {SCHEMA_VERSION}")
    measures = tuple(filter(None, metadata["million_ird.measures"].split(",")))
    unknown = [name for name in measures if not {*measure_fields([name])} <= {*schema.names}]
    if unknown:
        raise LedgerError(f"{where}: measured by a program that knows {', '.join(unknown)}; run build with this one")
    return measures


def to_table(rows: Sequence[Mapping[str, object]], schema: pa.Schema) -> pa.Table:
    """Rows to a table of exactly this schema; a key that a row lacks is null, and so is NaN."""
    columns = [pa.array([row.get(field.name) for row in rows], field.type, from_pandas=True) for field in schema]
    return pa.Table.from_arrays(columns, schema=schema)


def save(out: Folder, batches: Iterable[pa.Table], rows: int, schema: pa.Schema) -> None:
    """Writes `rows` rows of `schema` under `ledger/`, a file per `ROWS_PER_FILE`; at most a batch is in memory."""
    files = max(1, -(-rows // ROWS_PER_FILE))
    wanted = [f"train-{i:05d}-of-{files:05d}.parquet" for i in range(files)]
    parts = _sliced(batches, [min(ROWS_PER_FILE, rows - i * ROWS_PER_FILE) for i in range(files)])
    for name, part in zip(wanted, parts, strict=True):
        with (
            out.writing(f"{FOLDER}/{name}") as file,
            pq.ParquetWriter(file, schema, compression="zstd", use_dictionary=[*_REPEATING]) as writer,
        ):
            for table in part:
                writer.write_table(table.cast(schema))
    for name in set(out.names(FOLDER)) - set(wanted):
        out.remove(f"{FOLDER}/{name}")


def _sliced(batches: Iterable[pa.Table], sizes: Iterable[int]) -> Iterator[Iterator[pa.Table]]:
    """Deals the rows of `batches` into runs of the given sizes, in order."""
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
    """Reads the ledger of a build, or some of its columns; if none is named, all but the bulky signatures.

    Raises:
        LedgerError: there is none, or one of another schema version.
    """
    found = files(out)
    names = out.read_schema(found[0]).names if columns is None else columns
    wanted = [name for name in names if columns is not None or name not in SIGNATURE]
    return pa.concat_tables([out.read_table(name, wanted) for name in found])


def versions(out: Folder) -> dict[str, str]:
    """The files of the ledger as they are now: another value when anyone has changed, added or removed one."""
    return {name: out.version(f"{FOLDER}/{name}") for name in out.names(FOLDER)}


def files(out: Folder) -> list[str]:
    """The files of a build's ledger, in order.

    Raises:
        LedgerError: there is none, or one of another schema version.
    """
    names = [f"{FOLDER}/{name}" for name in out.names(FOLDER) if name.endswith(".parquet")]
    if not names:
        raise LedgerError(f"{out.url}: holds no ledger; nothing was decided yet")
    for name in names:
        check_version(out.read_schema(name), f"{out.url}/{name}")
    return names


@dataclass(frozen=True, slots=True, kw_only=True)
class Funnel:
    """How many candidates went where; `kept + dropped + failed = candidates` is checked when it is made."""

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
    """Counts the verdicts of a decided ledger."""
    verdicts = _counts(ledger["verdict"])
    return Funnel(
        candidates=ledger.num_rows,
        kept=verdicts.get(KEPT, 0),
        dropped=_counts(ledger.filter(pc.equal(ledger["verdict"], DROPPED))["reason"]),
        failures=_counts(ledger.filter(pc.equal(ledger["verdict"], FAILED))["failure_class"]),
    )


def _counts(column: pa.ChunkedArray) -> dict[str, int]:
    counted = {str(e["values"]): int(e["counts"]) for e in pc.value_counts(column).to_pylist()}
    return dict(sorted(counted.items(), key=lambda item: (-item[1], item[0])))
