"""The decided ledger as a stream: some columns, a batch of rows at a time, however many rows there are.

This is the one place that reads whole ledgers. What needs all rows folds the batches; what needs a few rows takes them
by their positions, which are their numbers in the order of the files.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate, groupby

import pyarrow as pa
import pyarrow.compute as pc

from million_ird import ledger
from million_ird.ledger import Funnel, Row
from million_ird.runtime.storage import Folder
from million_ird.schema import DROPPED, FAILED, KEPT

BATCH_ROWS = 20_000
"""The size of a row group of the ledger; a batch of all columns but the signatures takes some 20 MB."""
_GroupReader = Callable[[Sequence[int], list[str]], Iterator[Iterator[pa.Table]]]
"""Reads some columns of row groups: for each group its tables, in order."""


class LedgerStream:
    """All rows of a decided ledger, in order; at most one batch of them is in memory."""

    def __init__(self, schema: pa.Schema, sizes: Sequence[int], read: _GroupReader) -> None:
        """Describe the rows.

        Args:
            schema: Of all columns.
            sizes: Rows of each row group.
            read: Reads row groups, by number.
        """
        self.schema = schema
        self._ends = list(accumulate(sizes))
        self._read = read

    @classmethod
    def of_build(cls, out: Folder) -> "LedgerStream":
        """Open the ledger of a build.

        Raises:
            LedgerError: There is none, or one of another schema version.
        """
        places: list[tuple[str, int]] = []
        sizes: list[int] = []
        names = ledger.files(out)
        for name in names:
            with out.parquet(name) as file:
                places += [(name, group) for group in range(file.num_row_groups)]
                sizes += [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]

        def read(numbers: Sequence[int], columns: list[str]) -> Iterator[Iterator[pa.Table]]:
            for name, some in groupby((places[number] for number in numbers), key=lambda place: place[0]):
                with out.parquet(name) as file:
                    for _, group in some:  # of several groups at once, pyarrow would hold them all
                        batches = file.iter_batches(BATCH_ROWS, row_groups=[group], columns=columns, use_threads=False)
                        yield (pa.Table.from_batches([batch]).select(columns) for batch in batches)

        return cls(out.read_schema(names[0]), sizes, read)

    @classmethod
    def of_table(cls, table: pa.Table, batch_rows: int = BATCH_ROWS) -> "LedgerStream":
        """Stream rows that are in memory, in batches of `batch_rows`."""
        starts = range(0, table.num_rows, batch_rows)

        def read(numbers: Sequence[int], columns: list[str]) -> Iterator[Iterator[pa.Table]]:
            chosen = table.select(columns)
            return (iter([chosen.slice(starts[number], batch_rows)]) for number in numbers)

        return cls(table.schema, [min(batch_rows, table.num_rows - start) for start in starts], read)

    @property
    def num_rows(self) -> int:
        """Number of rows."""
        return self._ends[-1] if self._ends else 0

    @property
    def column_names(self) -> list[str]:
        """Names of all columns."""
        names: list[str] = self.schema.names
        return names

    def batches(self, columns: Iterable[str]) -> Iterator[pa.Table]:
        """Yield some columns of all rows, in batches."""
        names = list(dict.fromkeys(columns))
        for group in self._read(range(len(self._ends)), names):
            yield from group

    def kept(self, columns: Sequence[str]) -> Iterator[pa.Table]:
        """Yield some columns of the kept rows, in batches."""
        for table in self.batches([*columns, "verdict"]):
            yield table.filter(pc.equal(table["verdict"], KEPT)).select(columns)

    def kept_table(self, columns: Sequence[str]) -> pa.Table:
        """Return some columns of all kept rows, which are then in memory."""
        return self._joined(self.kept(columns), columns)

    def keyed_table(self, keys: pa.Array | pa.ChunkedArray, columns: Sequence[str]) -> pa.Table:
        """Return some columns, `key` among them, of the rows with one of these keys, which are then in memory."""
        tables = self.batches(columns)
        return self._joined((table.filter(pc.is_in(table["key"], value_set=keys)) for table in tables), columns)

    def _joined(self, tables: Iterable[pa.Table], columns: Sequence[str]) -> pa.Table:
        schema = pa.schema([self.schema.field(name) for name in columns], self.schema.metadata)
        return pa.concat_tables([schema.empty_table(), *(table.cast(schema) for table in tables)])

    def take(self, positions: Iterable[int], columns: Sequence[str]) -> dict[int, Row]:
        """Return some columns of a few rows, by position; only the row groups that hold them are read."""
        groups: dict[int, list[int]] = {}
        for position in sorted(set(positions)):
            groups.setdefault(bisect_right(self._ends, position), []).append(position)
        rows: dict[int, Row] = {}
        for number, tables in zip(groups, self._read(list(groups), list(columns)), strict=True):
            start = self._ends[number - 1] if number else 0
            for table in tables:
                here = [one for one in groups[number] if start <= one < start + table.num_rows]
                found = table.take(pa.array([one - start for one in here], pa.int64())).to_pylist()
                rows |= dict(zip(here, found, strict=True))
                start += table.num_rows
        return rows


class VerdictCounts:
    """Counts verdicts, batch by batch."""

    columns: Sequence[str] = ("verdict", "reason", "failure_class")

    def __init__(self) -> None:
        self._verdicts, self._dropped, self._failed = Counter[str](), Counter[str](), Counter[str]()

    def count(self, table: pa.Table) -> None:
        """Add some rows."""
        self._verdicts.update(_counts(table["verdict"]))
        self._dropped.update(_counts(table["reason"].filter(pc.equal(table["verdict"], DROPPED))))
        self._failed.update(_counts(table["failure_class"].filter(pc.equal(table["verdict"], FAILED))))

    def funnel(self) -> Funnel:
        """Return the counts of all rows that were added.

        Raises:
            LedgerError: A row has another verdict than the three.
        """
        return Funnel(
            candidates=self._verdicts.total(),
            kept=self._verdicts[KEPT],
            dropped=_largest_first(self._dropped),
            failures=_largest_first(self._failed),
        )


def count_verdicts(rows: LedgerStream) -> Funnel:
    """Count the verdicts of a ledger.

    Raises:
        LedgerError: A row has another verdict than the three.
    """
    counts = VerdictCounts()
    for table in rows.batches(counts.columns):
        counts.count(table)
    return counts.funnel()


def _counts(column: pa.ChunkedArray) -> dict[str, int]:
    return {str(entry["values"]): int(entry["counts"]) for entry in pc.value_counts(column).to_pylist()}


def _largest_first(counts: Counter[str]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
