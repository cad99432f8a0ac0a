"""Refusals of some files of rows, found by a worker and stored as a verdict part.

A part is two files. `verdicts-NAME.parquet` has the outcome of each row, some bits for a row that is refused.
`passing-NAME.parquet` has those rows that pass: their place in the files, their hashes, and the numbers that rank
copies; signatures stay where they are. The second is written first, so that the first one completes the part. It
names the versions of the files that it was decided from: a part of other versions is decided again.
"""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from million_ird.config.recipe import Recipe, digest
from million_ird.decide.passing import PASSING_NUMBERS, PASSING_TEXTS
from million_ird.decide.refusals import PASSES, Codes, Outcomes, refusal_columns, refuse
from million_ird.ledger import scanned_schema
from million_ird.runtime.storage import Folder
from million_ird.scan.row_index import RowSpan
from million_ird.scan.scan_table import read_group, span_groups
from million_ird.schema import FAILED
from million_ird.strict_json import to_json

FOLDER = ".work/decide"
PLACE = ("span", "group", "index")
"""Where a passing row is: number of its span in the part, of the row group in the file, of the row in the group."""
_SUMMARY = b"million_ird.verdicts"
_BLOCK_ROWS = 50_000
"""Rows that are decided at once: files of few rows are joined, since each call of a gate has a fixed cost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusalTask:
    """All that a worker needs to decide on some rows of a scan."""

    out: Folder
    number: int
    """Position of the part in the scan."""
    spans: tuple[RowSpan, ...]
    measures: tuple[str, ...]
    gone_from: int | None
    """Row of these spans from which on the images are gone; None if none is."""
    recipe: Recipe
    removed: str | None
    """The file of fingerprints of removed images."""
    rules: str
    """Digest of all that the outcomes depend on beside the rows."""

    @property
    def name(self) -> str:
        """The name of the part: changes with its spans and with the rules, and not with what the files contain."""
        return digest([*(span.identity for span in self.spans), self.gone_from, self.rules])


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictPart:
    """The summary of a part that a worker returns."""

    number: int
    name: str
    stamp: str
    """Digest of the versions of the files."""
    span_rows: tuple[int, ...]
    """Number of rows of each span."""
    passing: int
    """Number of rows that pass."""
    dropped: dict[str, int]
    """Number of rows by the reason that drops them."""
    failures: dict[str, int]
    """Number of rows by the class of their failure."""

    @property
    def rows(self) -> int:
        """Number of rows of all spans."""
        return sum(self.span_rows)


def verdicts_file(name: str) -> str:
    """Return the file of outcomes of a part."""
    return f"{FOLDER}/verdicts-{name}.parquet"


def passing_file(name: str) -> str:
    """Return the file of passing rows of a part."""
    return f"{FOLDER}/passing-{name}.parquet"


def refuse_files(task: RefusalTask) -> VerdictPart:
    """Decide on the rows of some files, unless an earlier run has done so, and store the part."""
    stamp = digest([task.out.version(name) for name in dict.fromkeys(span.file for span in task.spans)])
    return _finished(task, stamp) or _Refusing(task).run(stamp)


def _finished(task: RefusalTask, stamp: str) -> VerdictPart | None:
    """Return the summary of a stored part, or None if there is none from these versions of the files."""
    if not task.out.exists(verdicts_file(task.name)):
        return None
    metadata = task.out.read_schema(verdicts_file(task.name)).metadata or {}
    fields = json.loads(metadata[_SUMMARY])
    if fields["stamp"] != stamp:
        return None
    return VerdictPart(**{**fields, "number": task.number, "span_rows": tuple(fields["span_rows"])})


class _Refusing:
    """The rows of some files on their way to verdicts."""

    def __init__(self, task: RefusalTask) -> None:
        self._task = task
        self._outcomes = Outcomes.of(task.recipe)
        self._removed = _hashes_of_removed(task)
        names = (*PASSING_TEXTS, *PASSING_NUMBERS, *refusal_columns(task.recipe, removed=task.removed is not None))
        scanned = scanned_schema(task.measures)
        self._schema = pa.schema([scanned.field(name) for name in dict.fromkeys(names)])
        self._span_rows: list[int] = []
        self._rows = 0
        self._codes: list[Codes] = []
        self._dropped: Counter[str] = Counter()
        self._failures: Counter[str] = Counter()

    def run(self, stamp: str) -> VerdictPart:
        """Write both files of the part."""
        task = self._task
        numbers = [pa.field(name, pa.int32()) for name in PLACE]
        own = [self._schema.field(name) for name in (*PASSING_TEXTS, *PASSING_NUMBERS)]
        schema = pa.schema([*numbers, pa.field("row", pa.int64()), *own])
        passing = 0
        with (
            task.out.writing(passing_file(task.name)) as file,
            pq.ParquetWriter(file, schema, compression="zstd", use_dictionary=False) as writer,
        ):
            for table in self._passing_rows():
                writer.write_table(table.cast(schema))
                passing += table.num_rows
        part = VerdictPart(
            number=task.number,
            name=task.name,
            stamp=stamp,
            span_rows=tuple(self._span_rows),
            passing=passing,
            dropped=dict(self._dropped),
            failures=dict(self._failures),
        )
        codes = pa.table({"outcome": np.concatenate([np.empty(0, np.int16), *self._codes])})
        task.out.write_table(
            verdicts_file(task.name),
            codes.replace_schema_metadata({_SUMMARY: to_json(asdict(part), ensure_ascii=True).encode()}),
        )
        return part

    def _passing_rows(self) -> Iterator[pa.Table]:
        """Decide block by block; yield the rows that pass, with their places."""
        held: list[pa.Table] = []
        for table in self._placed_batches():
            held.append(table)
            if sum(one.num_rows for one in held) >= _BLOCK_ROWS:
                yield self._decide(pa.concat_tables(held))
                held = []
        if held:
            yield self._decide(pa.concat_tables(held))

    def _placed_batches(self) -> Iterator[pa.Table]:
        for number, span in enumerate(self._task.spans):
            with self._task.out.parquet(span.file) as file:
                pieces = list(span_groups(file, span))
                self._span_rows.append(sum(piece.rows for piece in pieces))
                for piece in pieces:
                    for table, start in read_group(file, piece, self._schema):
                        place = (number, piece.group, np.arange(start, start + table.num_rows))
                        for column, value in zip(PLACE, place, strict=True):
                            table = table.append_column(column, pa.array(np.full(table.num_rows, value, np.int32)))
                        yield table

    def _decide(self, rows: pa.Table) -> pa.Table:
        numbers = np.arange(self._rows, self._rows + rows.num_rows)
        gone_from = self._task.gone_from
        gone = np.zeros(rows.num_rows, bool) if gone_from is None else numbers >= gone_from
        codes = refuse(rows, self._task.recipe, self._removed, gone)
        self._rows += rows.num_rows
        self._codes.append(codes)
        self._count(rows, codes)
        passing = np.flatnonzero(codes == PASSES)
        chosen = rows.select([*PLACE, *PASSING_TEXTS, *PASSING_NUMBERS]).take(pa.array(passing))
        return chosen.add_column(len(PLACE), "row", pa.array(numbers[passing]))

    def _count(self, rows: pa.Table, codes: Codes) -> None:
        for outcome, count in enumerate(np.bincount(codes, minlength=len(self._outcomes.verdicts)).tolist()):
            reason = self._outcomes.reasons[outcome]
            if count and reason is not None:
                self._dropped[reason] += count
            elif count and self._outcomes.verdicts[outcome] == FAILED:
                classes = rows["failure_class"].filter(pa.array(codes == outcome)).value_counts()
                for one in classes.to_pylist():
                    self._failures[one["values"]] += one["counts"]


def _hashes_of_removed(task: RefusalTask) -> pa.Table | None:
    """Return the columns `id` and `pixels_id` of the removed images."""
    if task.removed is None:
        return None
    table = task.out.read_table(task.removed)
    missing = pa.nulls(table.num_rows, pa.string())
    columns = [table[name] if name in table.column_names else missing for name in ("id", "pixels_id")]
    return pa.table(columns, names=["id", "pixels_id"])


def read_codes(out: Folder, parts: Sequence[str], skip: int, count: int) -> NDArray[np.int16]:
    """Return the outcomes of `count` rows of consecutive parts, from row `skip` of the first one on: (count,) int16."""
    codes = [out.read_table(verdicts_file(name))["outcome"].to_numpy() for name in parts]
    return np.asarray(np.concatenate([np.empty(0, np.int16), *codes])[skip : skip + count], np.int16)
