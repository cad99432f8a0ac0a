"""Decide: a verdict for every scanned row. Reads numbers only, never a picture.

The order of the rules: failed → vanished → gates in the order of their cost → not measured (it passes every gate, but
its later tiers were never measured because a stricter gate stood there; the next scan measures it) → exact duplicate
→ near duplicate. The first that applies is recorded.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from million_ird.cascade import in_cost_order
from million_ird.decide.clusters import best_of_each
from million_ird.decide.exact import first_of_same
from million_ird.decide.gates import as_floats
from million_ird.decide.near import pairs_within, parse
from million_ird.ledger import DROPPED, FAILED, KEPT, NOT_MEASURED, VANISHED, decided_schema
from million_ird.recipe import Recipe

EXACT, NEAR = "duplicate_exact", "duplicate_near"


@dataclass(slots=True)
class _Columns:
    """The columns that deciding fills, as arrays over all rows."""

    open: NDArray[np.bool_]
    verdict: NDArray[np.object_]
    reason: NDArray[np.object_]
    measured: NDArray[np.float64]
    limit: NDArray[np.float64]
    cluster: NDArray[np.object_]
    duplicate_of: NDArray[np.object_]

    @classmethod
    def of(cls, rows: int) -> "_Columns":
        nothing = [np.full(rows, None, object) for _ in range(3)]
        numbers = [np.full(rows, np.nan) for _ in range(2)]
        return cls(np.ones(rows, bool), np.full(rows, KEPT, object), nothing[0], *numbers, *nothing[1:])

    def close(self, rows: NDArray[np.bool_], verdict: str, reason: str | None) -> NDArray[np.bool_]:
        """Settles those of `rows` that are still open; returns which they were."""
        settled = rows & self.open
        self.verdict[settled] = verdict
        self.reason[settled] = reason
        self.open &= ~settled
        return settled


def needed_columns(recipe: Recipe) -> list[str]:
    """The scanned columns that deciding reads."""
    fixed = ["key", "id", "bytes", "width", "height", "phash", "failure_class"]
    return fixed + sorted({gate.field for gate in recipe.gates} - set(fixed))


def decide(scanned: pa.Table, recipe: Recipe, vanished: int = 0) -> pa.Table:
    """A verdict for every scanned row.

    Args:
        scanned: at least the columns `needed_columns` of rows of `ledger.scanned_schema`.
        recipe: its gates and duplicate rules decide.
        vanished: how many rows at the end are of files that are gone.

    Returns:
        A table of `ledger.decided_schema`, a row for each row in the same order.
    """
    columns = _Columns.of(scanned.num_rows)
    gone = np.arange(scanned.num_rows) >= scanned.num_rows - vanished
    columns.close(gone, DROPPED, VANISHED)
    columns.close(_not_null(scanned["failure_class"]), FAILED, None)
    for gate in in_cost_order(recipe.gates):
        values = as_floats(scanned[gate.field])
        failing, limits = gate.failures(scanned[gate.field])
        settled = columns.close(failing, DROPPED, gate.called)
        columns.measured[settled], columns.limit[settled] = values[settled], limits[settled]
    columns.close(~_not_null(scanned["phash"]), DROPPED, NOT_MEASURED)
    _drop_duplicates(scanned, recipe, columns)
    return _assemble(columns, gone)


def _drop_duplicates(scanned: pa.Table, recipe: Recipe, columns: _Columns) -> None:
    keys = np.asarray(scanned["key"].to_pylist(), object)
    if recipe.duplicates.exact:
        at = np.flatnonzero(columns.open)
        first = at[first_of_same(scanned["id"].take(pa.array(at)).to_pylist())]
        _settle_copies(columns, at, first, keys, EXACT)
    if recipe.duplicates.radius is not None:
        at = np.flatnonzero(columns.open)
        rows = scanned.select(["phash", "width", "height", "bytes"]).take(pa.array(at))
        pixels = rows["width"].to_numpy().astype(np.int64) * rows["height"].to_numpy()
        pairs = pairs_within(parse(rows["phash"].to_pylist()), recipe.duplicates.radius)
        best = at[best_of_each(pairs, pixels, rows["bytes"].to_numpy())]
        _settle_copies(columns, at, best, keys, NEAR)
        _follow_to_kept(columns, keys)


def _settle_copies(
    columns: _Columns, at: NDArray[np.int64], kept: NDArray[np.int64], keys: NDArray[np.object_], reason: str
) -> None:
    copies = at != kept
    mask = np.zeros(len(keys), bool)
    mask[at[copies]] = True
    columns.close(mask, DROPPED, reason)
    columns.duplicate_of[at[copies]] = keys[kept[copies]]
    columns.cluster[at[copies]] = keys[kept[copies]]
    columns.cluster[kept[copies]] = keys[kept[copies]]


def _follow_to_kept(columns: _Columns, keys: NDArray[np.object_]) -> None:
    """An exact copy of a picture that fell to a better near copy is a copy of that better one."""
    fell = {keys[i]: columns.duplicate_of[i] for i in np.flatnonzero(columns.reason == NEAR)}
    for i in np.flatnonzero(columns.reason == EXACT):
        kept = fell.get(columns.duplicate_of[i])
        if kept is not None:
            columns.duplicate_of[i] = columns.cluster[i] = kept


def _assemble(columns: _Columns, gone: NDArray[np.bool_]) -> pa.Table:
    decided = {
        "verdict": columns.verdict,
        "reason": columns.reason,
        "measured": columns.measured,
        "limit": columns.limit,
        "cluster": columns.cluster,
        "duplicate_of": columns.duplicate_of,
        "vanished": gone,
    }
    schema = decided_schema()
    return pa.table({f.name: pa.array(decided[f.name], f.type, from_pandas=True) for f in schema}, schema=schema)


def _not_null(column: pa.ChunkedArray) -> NDArray[np.bool_]:
    return np.asarray(pc.is_valid(column).to_numpy(zero_copy_only=False), bool)
