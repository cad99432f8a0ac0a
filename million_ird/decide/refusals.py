"""Refusals: what is decided of a row by its own numbers alone, whatever other rows there are.

An outcome is a small number: `PASSES`, one of the fixed rules, or a gate. The gates come last, the cheap ones first, so
that the numbers of the fixed outcomes are the same for every recipe. Value and limit of a gate are not stored with an
outcome: they are read off the row again when its verdict is written.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from million_ird.config.gates import Gate
from million_ird.config.recipe import Recipe
from million_ird.config.rules import LicenceRules
from million_ird.decide.gate_order import in_cost_order
from million_ird.decide.gates import as_floats, failures
from million_ird.schema import (
    DROPPED,
    EXACT,
    FAILED,
    KEPT,
    LEAK,
    LICENCE,
    NEAR,
    NOT_MEASURED,
    PIXELS,
    REMOVED,
    SCENE,
    SHARED_MARK,
    VANISHED,
)

Codes = NDArray[np.int16]
"""(n,) outcome of each row."""
PASSES = 0
"""Outcome of a row that nothing drops."""
_FIXED = (
    (KEPT, None),
    (DROPPED, REMOVED),
    (DROPPED, VANISHED),
    (FAILED, None),
    (DROPPED, LICENCE),
    (DROPPED, NOT_MEASURED),
    (DROPPED, LEAK),
    (DROPPED, SHARED_MARK),
    (DROPPED, EXACT),
    (DROPPED, PIXELS),
    (DROPPED, NEAR),
    (DROPPED, SCENE),
)
_HASHES = ("id", "pixels_id")


@dataclass(frozen=True, slots=True)
class Outcomes:
    """All outcomes that a recipe knows; an outcome is a position in `verdicts` and `reasons`."""

    verdicts: tuple[str, ...]
    reasons: tuple[str | None, ...]
    gates: tuple[Gate, ...]
    """The gates in the order in which they are judged; they have the last outcomes, in this order."""

    @classmethod
    def of(cls, recipe: Recipe) -> "Outcomes":
        """Return the outcomes of a recipe."""
        gates = tuple(in_cost_order(recipe.gates, recipe.tiers))
        every = (*_FIXED, *((DROPPED, gate.drop_reason) for gate in gates))
        return cls(tuple(verdict for verdict, _ in every), tuple(reason for _, reason in every), gates)

    def gate_outcomes(self) -> list[tuple[int, Gate]]:
        """Return each gate with the outcome that stands for it."""
        return [*enumerate(self.gates, len(_FIXED))]


def outcome_of(reason: str) -> int:
    """Return the outcome of a fixed rule: one of `million_ird.schema.RULES`."""
    return _FIXED.index((DROPPED, reason))


_FAILS = _FIXED.index((FAILED, None))


def refuse(rows: pa.Table, recipe: Recipe, removed: pa.Table | None, gone: NDArray[np.bool_]) -> Codes:
    """Return the outcome of each row by its own numbers: (n,) int16, `PASSES` where no rule drops it.

    Args:
        rows: n scanned rows with the columns of `refusal_columns`.
        recipe: Gates and licences.
        removed: Columns `id` and `pixels_id` of the removed images, if there are any.
        gone: (n,) whether the file of a row is gone.
    """
    codes = np.zeros(rows.num_rows, np.int16)

    def decide(which: NDArray[np.bool_], outcome: int) -> None:
        codes[which & (codes == PASSES)] = outcome

    decide(_is_removed(rows, removed), outcome_of(REMOVED))
    decide(gone, outcome_of(VANISHED))
    decide(not_null(rows["failure_class"]), _FAILS)
    if recipe.licences.is_active:
        decide(_is_refused(rows["licence"], recipe.licences), outcome_of(LICENCE))
    for outcome, gate in Outcomes.of(recipe).gate_outcomes():
        failing, _ = failures(gate, rows[gate.field])
        if gate.required:  # a null in a tier that was never measured does not count
            failing &= as_floats(rows["tier"]) >= recipe.tiers[gate.field]
        decide(failing, outcome)
    decide(~not_null(rows["phash"]), outcome_of(NOT_MEASURED))
    return codes


def refusal_columns(recipe: Recipe, *, removed: bool) -> list[str]:
    """Return the columns that `refuse` reads; `removed` tells whether any image was removed."""
    names = ["phash", "failure_class", *(_HASHES if removed else ())]
    if any(gate.required for gate in recipe.gates):
        names.append("tier")
    if recipe.licences.is_active:
        names.append("licence")
    return names + sorted({gate.field for gate in recipe.gates} - {*names})


def broken_limits(rows: pa.Table, codes: Codes, outcomes: Outcomes) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the value that each gate dropped and the limit that it broke, NaN elsewhere: (n,) float64 each.

    Args:
        rows: n rows with the columns of the gates.
        codes: (n,) outcomes.
        outcomes: Of the recipe.
    """
    measured, limits = np.full(len(codes), np.nan), np.full(len(codes), np.nan)
    for outcome, gate in outcomes.gate_outcomes():
        dropped = np.flatnonzero(codes == outcome)
        if len(dropped):
            column = rows[gate.field].take(pa.array(dropped))
            measured[dropped] = as_floats(column)
            limits[dropped] = failures(gate, column)[1]
    return measured, limits


def _is_removed(rows: pa.Table, removed: pa.Table | None) -> NDArray[np.bool_]:
    """Return the mask of rows with the bytes or pixels of a removed image, and of rows whose bytes were erased."""
    found = flags(pc.fill_null(pc.equal(rows["failure_class"], REMOVED), False)).copy()
    if removed is None:
        return found
    for column in _HASHES:
        found |= flags(pc.is_in(rows[column], value_set=removed[column], skip_nulls=True))
    return found


def _is_refused(licences: pa.ChunkedArray, rules: LicenceRules) -> NDArray[np.bool_]:
    """Ask the rules once for each distinct licence."""
    coded = licences.combine_chunks().dictionary_encode(null_encoding="encode")
    refused = np.array([rules.refuses(licence) for licence in coded.dictionary.to_pylist()], bool)
    return np.asarray(refused[coded.indices.to_numpy(zero_copy_only=False)], bool)


def flags(column: pa.ChunkedArray | pa.Array) -> NDArray[np.bool_]:
    """Return a column of booleans without nulls as (n,) bool."""
    return np.asarray(column.to_numpy(zero_copy_only=False), bool)


def not_null(column: pa.ChunkedArray) -> NDArray[np.bool_]:
    """Return which values are not null: (n,) bool."""
    return flags(pc.is_valid(column))


def texts_of(codes: Codes, texts: Sequence[str | None]) -> pa.Array:
    """Return the text of each outcome: (n,) texts."""
    return pa.array(texts, pa.string()).take(pa.array(codes))
