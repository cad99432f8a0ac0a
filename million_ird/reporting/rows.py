"""A batch of ledger rows as the report reads it, and the folds that go through all batches."""

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from million_ird.decide.gates import as_floats
from million_ird.ledger_stream import LedgerStream
from million_ird.schema import FAILED, KEPT

Mask = NDArray[np.bool_]
Floats = NDArray[np.float64]
Positions = NDArray[np.int64]


class LedgerBatch:
    """Some rows of a decided ledger: masks and numbers, each made once."""

    def __init__(self, table: pa.Table, start: int = 0) -> None:
        """Take the rows of `table`, of which the first is row number `start` of the ledger."""
        self.table = table
        self.start = start
        self.count: int = table.num_rows
        self._values: dict[str, Floats] = {}
        self._codes: dict[str, tuple[NDArray[np.int32], list[str]]] = {}

    @cached_property
    def kept(self) -> Mask:
        """Which rows are kept, (n,)."""
        return self.where("verdict", KEPT)

    @cached_property
    def failed(self) -> Mask:
        """Which rows failed, (n,)."""
        return self.where("verdict", FAILED)

    @cached_property
    def fully_measured(self) -> Mask:
        """Which rows were measured through all tiers, (n,)."""
        return np.asarray(pc.is_valid(self.table["phash"]).to_numpy(zero_copy_only=False), bool)

    def dropped_for(self, reason: str) -> Mask:
        """Return which rows were dropped for this reason."""
        return self.where("reason", reason)

    def where(self, column: str, text: str) -> Mask:
        """Return which rows have this text in a column of few different texts."""
        codes, texts = self._coded(column)
        return codes == texts.index(text) if text in texts else np.zeros(self.count, bool)

    def different(self, column: str) -> list[str]:
        """Return the different texts in a column of few of them, nulls left out."""
        return self._coded(column)[1]

    def values(self, field: str) -> Floats:
        """Return a numeric column, (n,), with NaN for null."""
        if field not in self._values:
            self._values[field] = as_floats(self.table[field])
        return self._values[field]

    def texts(self, column: str, rows: Positions) -> list[str | None]:
        """Return a text column at these rows of the batch."""
        texts: list[str | None] = self.table[column].take(pa.array(rows)).to_pylist()
        return texts

    def _coded(self, column: str) -> tuple[NDArray[np.int32], list[str]]:
        if column not in self._codes:
            coded = self.table[column].combine_chunks().dictionary_encode()
            codes = pc.fill_null(coded.indices, -1).to_numpy(zero_copy_only=False)
            self._codes[column] = np.asarray(codes, np.int32), coded.dictionary.to_pylist()
        return self._codes[column]


class Fold(Protocol):
    """A result that is computed from all rows, batch by batch, and does not depend on how they are divided."""

    @property
    def columns(self) -> Sequence[str]:
        """The columns that it reads."""

    def add(self, batch: LedgerBatch) -> None:
        """Take in some rows, those after the rows of the call before."""


def fold(rows: LedgerStream, folds: Iterable[Fold]) -> None:
    """Pass all rows to some folds, reading each of their columns once."""
    chosen = list(folds)
    columns = [name for one in chosen for name in one.columns]
    start = 0
    for table in rows.batches(columns) if columns else ():
        batch = LedgerBatch(table, start)
        for one in chosen:
            one.add(batch)
        start += batch.count
