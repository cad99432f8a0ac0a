"""The first rows of a ledger in some order, found batch by batch: bounded samples that are always the same.

Keys are hashes: their order is as good as random, and does not depend on the order of the sources.
"""

from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from million_ird.reporting.rows import Floats, LedgerBatch, Mask, Positions

_SLACK = 1000
"""Rows beyond those wanted that are held before the largest are dropped."""


class SmallestRows:
    """The rows with the smallest gaps; of equal gaps, those with the smallest keys."""

    def __init__(self, count: int, columns: Sequence[str] = ()) -> None:
        """Look for `count` rows and hold these columns of them."""
        self._count = count
        self._columns = list(dict.fromkeys(["key", *columns]))
        self._held: list[pa.Table] = []
        self._rows = 0
        self._worst: tuple[float, str] | None = None

    def add(self, batch: LedgerBatch, mask: Mask, gaps: Floats | None = None) -> None:
        """Take in those rows of a batch that are in `mask`.

        Args:
            batch: The rows.
            mask: (n,) bool.
            gaps: (n,) float64, without NaN where `mask` is set; all equal if None.
        """
        rows = np.flatnonzero(mask)
        own = np.zeros(len(rows)) if gaps is None else gaps[rows]
        if self._worst is not None and len(rows):
            better = self._is_better(batch, rows, own, *self._worst)
            rows, own = rows[better], own[better]
        if len(rows) > self._count:
            near = own <= np.partition(own, self._count - 1)[self._count - 1]
            rows, own = rows[near], own[near]
        if len(rows):
            table = batch.table.select(self._columns).take(pa.array(rows))
            table = table.append_column(_GAP, pa.array(own, pa.float64()))
            self._held.append(table.append_column(_POSITION, pa.array(rows + batch.start, pa.int64())))
            self._rows += len(rows)
        if self._rows > self._count + max(self._count, _SLACK) or (self._worst is None and self._rows >= self._count):
            self._shrink()

    def _is_better(self, batch: LedgerBatch, rows: Positions, gaps: Floats, gap: float, key: str) -> Mask:
        better = gaps < gap
        equal = np.flatnonzero(gaps == gap)
        if len(equal):
            keys = batch.table["key"].take(pa.array(rows[equal]))
            better[equal] = pc.less(keys, key).to_numpy(zero_copy_only=False)
        return better

    def _shrink(self) -> None:
        if not self._held:
            return
        table = pa.concat_tables(self._held)
        order = pc.sort_indices(table, sort_keys=[(_GAP, "ascending"), ("key", "ascending")])
        table = table.take(order[: self._count]).combine_chunks()
        self._held, self._rows = [table], table.num_rows
        if table.num_rows == self._count:
            self._worst = table[_GAP][-1].as_py(), table["key"][-1].as_py()

    def table(self) -> pa.Table | None:
        """Return the columns of the rows found, smallest first, or None if there are none."""
        self._shrink()
        return self._held[0].drop_columns([_GAP, _POSITION]) if self._held else None

    @property
    def positions(self) -> list[int]:
        """The numbers of the rows in the ledger, smallest first."""
        self._shrink()
        found: list[int] = self._held[0][_POSITION].to_pylist() if self._held else []
        return found

    def with_values(self, column: str) -> list[tuple[int, float]]:
        """Return the number of each row, smallest first, and its value in a numeric column that is held."""
        table = self.table()
        return [] if table is None else list(zip(self.positions, table[column].to_pylist(), strict=True))

    def in_order(self) -> pa.Table | None:
        """Return the columns of the rows found in the order of the ledger, or None if there are none."""
        table = self.table()
        return None if table is None else table.take(pa.array(np.argsort(self.positions, kind="stable")))


_GAP, _POSITION = " gap", " position"
"""Names that no column of a ledger has."""


class SmallestOf:
    """A fold: the rows of the smallest keys among those that a mask chooses."""

    def __init__(
        self, count: int, choose: Callable[[LedgerBatch], Mask], *, reads: Sequence[str] = (), holds: Sequence[str] = ()
    ) -> None:
        """Look for `count` rows of those that `choose` returns, which reads the columns `reads`; hold `holds`."""
        self.columns: Sequence[str] = ("key", *reads, *holds)
        self.found = SmallestRows(count, holds)
        self._choose = choose

    def add(self, batch: LedgerBatch) -> None:
        """Take in some rows."""
        self.found.add(batch, self._choose(batch))


class SmallestByText:
    """A fold: for each text in a column of few different ones, the rows of the smallest keys."""

    def __init__(self, count: int, column: str) -> None:
        """Look for `count` rows of each text in a column."""
        self.columns: Sequence[str] = ("key", column)
        self.found: dict[str, SmallestRows] = {}
        self._count, self._column = count, column

    def add(self, batch: LedgerBatch) -> None:
        """Take in some rows."""
        for text in batch.different(self._column):
            rows = self.found.setdefault(text, SmallestRows(self._count))
            rows.add(batch, batch.where(self._column, text))
