"""The recipe's limits as sliders, with all that the page needs to count what other thresholds would keep.

A slider has `STOPS` positions along the axis of its measure; one of them is the recipe's own limit. For each candidate
the page holds one byte per slider: how many of the stops its number reaches (a lower limit) or exceeds (an upper
limit). So at every stop the page decides exactly as `Gate.judge` would, whatever the number.
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from million_ird.config.gates import Gate
from million_ird.config.recipe import Recipe
from million_ird.decide.gate_order import in_cost_order
from million_ird.ledger import Funnel
from million_ird.reporting.formatting import DIGITS, number
from million_ird.reporting.histograms import FigureAxis
from million_ird.reporting.rows import LedgerBatch, Mask
from million_ird.reporting.smallest import SmallestOf
from million_ird.schema import NOT_MEASURED, REPLACED

STOPS = 201
"""Their numbers and the code for null must fit in a byte."""
MAX_ROWS = 100_000
"""Of more candidates the page holds a sample: those with the smallest keys."""
_NULL_UNDER_MIN, _NULL_OVER_MAX = 255, 0
"""Codes of null, which passes wherever the slider is."""


@dataclass(frozen=True, slots=True)
class GateLimit:
    """One side of a gate."""

    gate: Gate
    side: str
    """`min` or `max`."""
    value: float

    @property
    def text(self) -> str:
        """The limit as a formula: `short_side ≥ 1,024`."""
        return f"{self.gate.field} {'≥' if self.side == 'min' else '≤'} {number(self.value)}"

    def breaks(self, values: NDArray[np.float64]) -> Mask:
        """Return which values are beyond the limit; a null is not."""
        return values < self.value if self.side == "min" else values > self.value


def gate_limits(recipe: Recipe) -> list[GateLimit]:
    """Return all limits of a recipe, in the order in which gates are judged."""
    gates = in_cost_order(recipe.gates, recipe.tiers)
    sides = [(gate, side, getattr(gate, side)) for gate in gates for side in ("min", "max")]
    return [GateLimit(gate, side, value) for gate, side, value in sides if value is not None]


def stops_along(axis: FigureAxis, limit: float) -> NDArray[np.float64]:
    """Return the values that a slider can take: even steps along the axis, rounded, ascending, `limit` among them.

    Rounding may repeat a number: the slider's thumb has to stay below its place on the axis.
    """
    places = np.linspace(0.0, 1.0, STOPS)
    even = axis.value(places)
    even[0] = min(axis.least, axis.low)
    rounded = np.rint(even) if axis.whole else np.array([float(f"{value:.{DIGITS}g}") for value in even])
    # At either end everything must pass: the ends are rounded outwards.
    rounded[0], rounded[-1] = min(rounded[0], even[0]), max(rounded[-1], even[-1])
    rounded[np.argmin(np.abs(places - axis.place(np.array([limit]))[0]))] = limit
    return np.sort(rounded)


def stop_codes(values: NDArray[np.float64], stops: NDArray[np.float64], side: str) -> NDArray[np.uint8]:
    """Return one byte per value: it passes stop k exactly when code > k (`min`) or code ≤ k (`max`).

    Args:
        values: (n,) float64, NaN for null.
        stops: Ascending, fewer than 255.
        side: `min` or `max`.
    """
    reached = np.searchsorted(stops, values, side="right" if side == "min" else "left")
    null = _NULL_UNDER_MIN if side == "min" else _NULL_OVER_MAX
    return np.where(np.isnan(values), null, reached).astype(np.uint8)


@dataclass(frozen=True, slots=True)
class Slider:
    """One limit that the reader can move."""

    limit: GateLimit
    stops: NDArray[np.float64]
    places: NDArray[np.float64]
    """Places of the stops on the histogram's axis, in per cent."""

    @classmethod
    def along(cls, axis: FigureAxis, limit: GateLimit) -> "Slider":
        """Make a slider along a histogram's axis."""
        stops = stops_along(axis, limit.value)
        return cls(limit, stops, np.round(100 * axis.place(stops), 2))

    @property
    def start(self) -> int:
        """Index of the stop that is the recipe's own limit."""
        return int(np.searchsorted(self.stops, self.limit.value))

    def codes(self, rows: LedgerBatch) -> NDArray[np.uint8]:
        """Return the codes of some rows; see `stop_codes`."""
        return stop_codes(rows.values(self.limit.gate.field), self.stops, self.limit.side)

    @property
    def last(self) -> int:
        """Index of the last stop."""
        return len(self.stops) - 1


class SliderSample:
    """A fold: the candidates that the page counts, of a large ledger a sample."""

    def __init__(self, recipe: Recipe) -> None:
        """Expect rows that were decided by this recipe."""
        self._fields = list(dict.fromkeys(gate.field for gate in recipe.gates))
        holds = ["verdict", "reason", "phash", "cluster", "id", *self._fields]
        self._all = SmallestOf(MAX_ROWS, lambda batch: np.ones(batch.count, bool), holds=holds)
        self.columns: Sequence[str] = self._all.columns

    def add(self, batch: LedgerBatch) -> None:
        """Take in some rows."""
        self._all.add(batch)

    def rows(self) -> LedgerBatch | None:
        """Return the rows in the order of the ledger, or None if it has none."""
        table = self._all.found.in_order()
        return None if table is None else LedgerBatch(table)


def slider_data(
    sample: LedgerBatch | None, counted: Funnel, recipe: Recipe, sliders: Sequence[Slider]
) -> dict[str, object]:
    """Return what the page counts from, ready for JSON.

    Rows that no threshold can bring back are left out: failed, vanished, without a required number, or dropped by a
    rule of another kind.

    Args:
        sample: What `SliderSample` found.
        counted: Of the whole ledger.
        recipe: The recipe that it was decided with.
        sliders: Those of the page.
    """
    movable = np.empty(0, np.int64) if sample is None else np.flatnonzero(_depends_on_thresholds(sample, recipe))
    rows = None if sample is None else LedgerBatch(sample.table.take(pa.array(movable)))
    members, group = (movable, movable) if rows is None else _duplicate_groups(rows, recipe)
    return {
        "candidates": counted.candidates,
        "sampled": 0 if sample is None else sample.count,
        "kept": counted.kept,
        "rows": len(movable),
        "whole": "" if rows is None else _base64(rows.fully_measured.astype(np.uint8)),
        "members": members.tolist(),
        "groups": group.tolist(),
        "gates": [gate.model_dump(mode="json", exclude_defaults=True) for gate in recipe.gates],
        "sliders": [
            {
                "gate": next(i for i, gate in enumerate(recipe.gates) if gate is slider.limit.gate),
                "side": slider.limit.side,
                "start": slider.start,
                "stops": slider.stops.tolist(),
                "labels": [number(value) for value in slider.stops.tolist()],
                "places": slider.places.tolist(),
                "codes": "" if rows is None else _base64(slider.codes(rows)),
            }
            for slider in sliders
        ],
    }


def _depends_on_thresholds(rows: LedgerBatch, recipe: Recipe) -> Mask:
    """Return which rows are kept or dropped by thresholds and the search for duplicates alone."""
    movable = {gate.drop_reason for gate in recipe.gates} | {*REPLACED, NOT_MEASURED}
    mask = ~rows.failed
    for reason in rows.different("reason"):
        if reason not in movable:
            mask &= ~rows.dropped_for(reason)
    for gate in recipe.gates:
        if gate.required:
            mask &= ~np.isnan(rows.values(gate.field))
    return mask


def _duplicate_groups(rows: LedgerBatch, recipe: Recipe) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows that are duplicates of each other, and the number of the group of each.

    Images that an earlier gate dropped were not searched for near-duplicates: they are grouped by their bytes alone.
    """
    names = np.array(rows.table["cluster"].to_pylist(), object)
    if recipe.duplicates.exact:
        ids = np.array(rows.table["id"].to_pylist(), object)
        names = np.where(names == None, ids, names)  # noqa: E711 — element by element
    named = np.flatnonzero(names != None)  # noqa: E711
    _, group, size = np.unique(names[named].astype(str), return_inverse=True, return_counts=True)
    several = size[group] > 1
    _, short = np.unique(group[several], return_inverse=True)
    return named[several], short


def _base64(column: NDArray[np.uint8]) -> str:
    return base64.b64encode(column.tobytes()).decode()
