"""Decide: a verdict for every scanned row. Reads numbers only, never a picture.

The order of the rules: vanished → failed → licence → gates in the order of their cost → not measured (it passes every
gate, but its later tiers were never measured because a stricter gate stood there; the next scan measures it) → exact
duplicate → near duplicate. The first that applies is recorded.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from million_ird.cascade import gate_tier, in_cost_order
from million_ird.decide.clusters import best_of_each
from million_ird.decide.exact import first_of_same
from million_ird.decide.gates import as_floats
from million_ird.decide.near import pairs_within, parse
from million_ird.ledger import DROPPED, EXACT, FAILED, KEPT, LICENCE, NEAR, NOT_MEASURED, VANISHED, decided_schema
from million_ird.recipe import Recipe

VERDICTS = (KEPT, DROPPED, FAILED)


@dataclass(slots=True)
class _Columns:
    """The columns that deciding fills, as compact arrays over all rows: texts are codes, other rows positions."""

    open: NDArray[np.bool_]
    verdict: NDArray[np.int8]
    reason: NDArray[np.int16]
    measured: NDArray[np.float64]
    limit: NDArray[np.float64]
    kept_copy: NDArray[np.int64]
    """Position of the picture that stays where this is a copy of it, its own where copies of it fell; else -1."""
    reasons: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, rows: int) -> "_Columns":
        return cls(
            open=np.ones(rows, bool),
            verdict=np.full(rows, VERDICTS.index(KEPT), np.int8),
            reason=np.full(rows, -1, np.int16),
            measured=np.full(rows, np.nan),
            limit=np.full(rows, np.nan),
            kept_copy=np.full(rows, -1, np.int64),
        )

    def close(self, rows: NDArray[np.bool_], verdict: str, reason: str | None) -> NDArray[np.bool_]:
        """Settles those of `rows` that are still open; returns which they were."""
        settled = rows & self.open
        self.verdict[settled] = VERDICTS.index(verdict)
        if reason is not None:
            self.reason[settled] = self._code(reason)
        self.open &= ~settled
        return settled

    def drop_copies(self, at: NDArray[np.int64], kept: NDArray[np.int64], reason: str) -> None:
        """Drops the rows `at` whose `kept` is another row."""
        copies = at != kept
        mask = np.zeros(len(self.open), bool)
        mask[at[copies]] = True
        self.close(mask, DROPPED, reason)
        self.kept_copy[at[copies]] = kept[copies]
        self.kept_copy[kept[copies]] = kept[copies]

    def _code(self, reason: str) -> int:
        if reason not in self.reasons:
            self.reasons.append(reason)
        return self.reasons.index(reason)


def needed_columns(recipe: Recipe) -> list[str]:
    """The scanned columns that deciding reads."""
    fixed = ["key", "phash", "failure_class"]
    if any(gate.required for gate in recipe.gates):
        fixed.append("tier")
    if recipe.licences.rule_something:
        fixed.append("licence")
    if recipe.duplicates.exact:
        fixed.append("id")
    if recipe.duplicates.radius is not None:
        fixed += ["bytes", "width", "height"]
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
    if recipe.licences.rule_something:
        licences = scanned["licence"].to_pylist()
        refused = np.fromiter((recipe.licences.refuse_one(one) for one in licences), bool, len(licences))
        columns.close(refused, DROPPED, LICENCE)
    for gate in in_cost_order(recipe.gates, recipe.columns):
        values = as_floats(scanned[gate.field])
        failing, limits = gate.failures(scanned[gate.field])
        if gate.required:  # a null of a tier that was never reached says nothing
            failing &= as_floats(scanned["tier"]) >= gate_tier(gate, recipe.columns)
        settled = columns.close(failing, DROPPED, gate.called)
        columns.measured[settled], columns.limit[settled] = values[settled], limits[settled]
    columns.close(~_not_null(scanned["phash"]), DROPPED, NOT_MEASURED)
    _drop_duplicates(scanned, recipe, columns)
    return _assemble(scanned["key"], columns, gone)


def _drop_duplicates(scanned: pa.Table, recipe: Recipe, columns: _Columns) -> None:
    if recipe.duplicates.exact:
        at = np.flatnonzero(columns.open)
        first = first_of_same(scanned["id"].take(pa.array(at)).to_pylist())
        columns.drop_copies(at, at[first], EXACT)
    if recipe.duplicates.radius is not None:
        at = np.flatnonzero(columns.open)
        rows = scanned.select(["phash", "width", "height", "bytes"]).take(pa.array(at))
        pixels = rows["width"].to_numpy().astype(np.int64) * rows["height"].to_numpy()
        pairs = pairs_within(parse(rows["phash"].to_pylist()), recipe.duplicates.radius)
        best = best_of_each(pairs, pixels, rows["bytes"].to_numpy())
        columns.drop_copies(at, at[best], NEAR)
        # An exact copy of a picture that then fell to a better near copy is a copy of that better one.
        copies = columns.kept_copy >= 0
        columns.kept_copy[copies] = columns.kept_copy[columns.kept_copy[copies]]


def _assemble(keys: pa.ChunkedArray, columns: _Columns, gone: NDArray[np.bool_]) -> pa.Table:
    itself = columns.kept_copy == np.arange(len(gone))
    arrays = {
        "verdict": _texts(columns.verdict, VERDICTS),
        "reason": _texts(columns.reason, columns.reasons),
        "measured": pa.array(columns.measured, from_pandas=True),
        "limit": pa.array(columns.limit, from_pandas=True),
        "cluster": _taken(keys, columns.kept_copy),
        "duplicate_of": _taken(keys, np.where(itself, -1, columns.kept_copy)),
        "vanished": pa.array(gone),
    }
    return pa.table(arrays, schema=decided_schema())


def _texts(codes: NDArray[np.int8] | NDArray[np.int16], texts: Sequence[str]) -> pa.Array:
    return pa.array(texts, pa.string()).take(pa.array(codes, mask=codes < 0))


def _taken(keys: pa.ChunkedArray, positions: NDArray[np.int64]) -> pa.ChunkedArray:
    return keys.take(pa.array(positions, mask=positions < 0))


def _not_null(column: pa.ChunkedArray) -> NDArray[np.bool_]:
    return np.asarray(pc.is_valid(column).to_numpy(zero_copy_only=False), bool)
