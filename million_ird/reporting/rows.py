"""The ledger as the report reads it: masks and numbers by row position, in an order that depends on keys alone."""

from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from million_ird.decide.gates import as_floats
from million_ird.ledger import Row
from million_ird.schema import FAILED, KEPT

Mask = NDArray[np.bool_]
Positions = NDArray[np.int64]


class LedgerRows:
    """All rows of a decided ledger."""

    def __init__(self, ledger: pa.Table) -> None:
        self.ledger = ledger
        self.count: int = ledger.num_rows

    @cached_property
    def kept(self) -> Mask:
        """Which rows are kept, (n,)."""
        return _mask(pc.equal(self.ledger["verdict"], KEPT))

    @cached_property
    def failed(self) -> Mask:
        """Which rows failed, (n,)."""
        return _mask(pc.equal(self.ledger["verdict"], FAILED))

    @cached_property
    def fully_measured(self) -> Mask:
        """Which rows were measured through all tiers, (n,)."""
        return _mask(pc.is_valid(self.ledger["phash"]))

    @cached_property
    def by_key(self) -> Positions:
        """All positions sorted by key. Keys are hashes: the order is as good as random, and always the same."""
        return np.asarray(pc.sort_indices(self.ledger["key"]).to_numpy(), np.int64)

    @cached_property
    def rank(self) -> Positions:
        """The place of each row in `by_key`."""
        rank = np.empty(self.count, np.int64)
        rank[self.by_key] = np.arange(self.count)
        return rank

    def dropped_for(self, reason: str) -> Mask:
        """Return which rows were dropped for this reason."""
        return self.where("reason", reason)

    def where(self, column: str, text: str) -> Mask:
        """Return which rows have this text in a column."""
        return _mask(pc.equal(self.ledger[column], text))

    def values(self, field: str) -> NDArray[np.float64]:
        """Return a numeric column, (n,), with NaN for null."""
        return as_floats(self.ledger[field])

    def texts(self, column: str, positions: Positions) -> list[str | None]:
        """Return a text column at these positions."""
        texts: list[str | None] = self.ledger[column].take(pa.array(positions)).to_pylist()
        return texts

    def identity(self, position: int) -> Row:
        """Return the columns that say which image a row is."""
        names = ["key", "source", "uri", "licence", "attribution", "id", "format", "width", "height", "failure_detail"]
        row: Row = self.ledger.select(names).slice(position, 1).to_pylist()[0]
        return row

    def first_by_key(self, mask: Mask, count: int) -> list[int]:
        """Return the positions of the first `count` rows of `mask` in the order of their keys."""
        positions = np.flatnonzero(mask)
        return [int(i) for i in positions[np.argsort(self.rank[positions], kind="stable")][:count]]

    def nearest(self, mask: Mask, values: NDArray[np.float64], limit: float, count: int) -> list[int]:
        """Return the `count` positions of `mask` whose value is nearest to `limit`: nearest first, then by key."""
        positions = np.flatnonzero(mask & ~np.isnan(values))
        order = np.lexsort((self.rank[positions], np.abs(values[positions] - limit)))
        return [int(i) for i in positions[order][:count]]


def _mask(column: pa.ChunkedArray) -> Mask:
    return np.asarray(pc.fill_null(column, False).to_numpy(zero_copy_only=False), bool)
