"""What another threshold would keep: the recipe's limits as sliders, with all that the page needs to count by itself.

A slider stands at one of `STOPS` values of its measure's axis, the recipe's own limit among them. For each
candidate the page holds one byte per slider: how many of the stops its number reaches (a lower limit) or exceeds (an
upper one). At every stop the page therefore decides exactly as `Gate.judge` would, whatever the number.
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from million_ird.config.gates import Gate, as_floats
from million_ird.config.recipe import Recipe
from million_ird.decide.gate_order import in_cost_order
from million_ird.ledger import EXACT, NEAR, NOT_MEASURED, PIXELS
from million_ird.reporting.figures import Axis
from million_ird.reporting.formatting import DIGITS, number
from million_ird.reporting.rows import Mask, Positions, Rows

STOPS = 201
"""With null they must fit a byte."""
MOST_ROWS = 100_000
"""Of more candidates the page holds a sample: those with the smallest keys."""
_NULL_UNDER_MIN, _NULL_OVER_MAX = 255, 0
"""A null passes wherever the slider stands."""


@dataclass(frozen=True, slots=True)
class Limit:
    """One side of a gate."""

    gate: Gate
    side: str
    """`min` or `max`."""
    value: float

    @property
    def text(self) -> str:
        """As a reader would write it: `short_side ≥ 1,024`."""
        return f"{self.gate.field} {'≥' if self.side == 'min' else '≤'} {number(self.value)}"

    def breaks(self, values: NDArray[np.float64]) -> Mask:
        """Which values are beyond the limit; a null is not."""
        return values < self.value if self.side == "min" else values > self.value


def limits_of(recipe: Recipe) -> list[Limit]:
    """All limits, in the order in which gates are judged."""
    gates = in_cost_order(recipe.gates, recipe.columns)
    sides = [(gate, side, getattr(gate, side)) for gate in gates for side in ("min", "max")]
    return [Limit(gate, side, value) for gate, side, value in sides if value is not None]


def stops(axis: Axis, limit: float) -> NDArray[np.float64]:
    """Where a slider can stand: even steps along the axis, rounded, never falling, `limit` among them.

    Rounding may repeat a number, so that a slider's thumb stays below its place on the axis.
    """
    places = np.linspace(0.0, 1.0, STOPS)
    even = axis.value(places)
    even[0] = min(axis.least, axis.low)
    rounded = np.rint(even) if axis.whole else np.array([float(f"{value:.{DIGITS}g}") for value in even])
    # The ends must let everything pass: they are rounded outwards.
    rounded[0], rounded[-1] = min(rounded[0], even[0]), max(rounded[-1], even[-1])
    rounded[np.argmin(np.abs(places - axis.place(np.array([limit]))[0]))] = limit
    return np.sort(rounded)


def codes(values: NDArray[np.float64], at: NDArray[np.float64], side: str) -> NDArray[np.uint8]:
    """One byte per value: it passes stop k exactly when code > k (`min`) or code ≤ k (`max`).

    values: (n,) float64, NaN for null; at: ascending stops, fewer than 255.
    """
    reached = np.searchsorted(at, values, side="right" if side == "min" else "left")
    null = _NULL_UNDER_MIN if side == "min" else _NULL_OVER_MAX
    return np.where(np.isnan(values), null, reached).astype(np.uint8)


@dataclass(frozen=True, slots=True)
class Slider:
    """One limit, as the page moves it."""

    limit: Limit
    stops: NDArray[np.float64]
    places: NDArray[np.float64]
    """Of the stops on the histogram's axis, in per cent."""

    @classmethod
    def on(cls, axis: Axis, limit: Limit) -> "Slider":
        """A slider along a histogram's axis."""
        at = stops(axis, limit.value)
        return cls(limit, at, np.round(100 * axis.place(at), 2))

    @property
    def start(self) -> int:
        """The stop of the recipe's own limit."""
        return int(np.searchsorted(self.stops, self.limit.value))

    @property
    def last(self) -> int:
        """The last stop."""
        return len(self.stops) - 1


def payload(rows: Rows, recipe: Recipe, sliders: Sequence[Slider]) -> dict[str, object]:
    """What the page counts from, ready for JSON.

    Rows that no threshold can bring back (failed, vanished, a required number missing, dropped by another kind of
    rule) are not in it.
    """
    sample = np.sort(rows.by_key[:MOST_ROWS])
    at = sample[_within_reach(rows, recipe)[sample]]
    members, group = _copies(rows, recipe, at)
    return {
        "candidates": rows.count,
        "sampled": len(sample),
        "kept": int(rows.kept.sum()),
        "rows": len(at),
        "whole": _packed(rows.whole[at].astype(np.uint8)),
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
                "codes": _packed(codes(rows.values(slider.limit.gate.field)[at], slider.stops, slider.limit.side)),
            }
            for slider in sliders
        ],
    }


def _within_reach(rows: Rows, recipe: Recipe) -> Mask:
    """Rows whose fate hangs on thresholds and copies alone."""
    settled_by = {gate.called for gate in recipe.gates} | {EXACT, PIXELS, NEAR, NOT_MEASURED}
    reach = ~rows.failed
    for reason in rows.ledger["reason"].unique().to_pylist():
        if reason is not None and reason not in settled_by:
            reach &= ~rows.because(reason)
    for gate in recipe.gates:
        if gate.required:
            reach &= ~np.isnan(as_floats(rows.ledger[gate.field]))
    return reach


def _copies(rows: Rows, recipe: Recipe, at: Positions) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Positions within `at` of pictures that are copies of each other, and a number for each such group.

    Pictures that no gate has let through so far are grouped by their bytes alone.
    """
    names = np.array(rows.texts("cluster", at), object)
    if recipe.duplicates.exact:
        ids = np.array(rows.texts("id", at), object)
        names = np.where(names == None, ids, names)  # noqa: E711 — element by element
    named = np.flatnonzero(names != None)  # noqa: E711
    _, group, size = np.unique(names[named].astype(str), return_inverse=True, return_counts=True)
    several = size[group] > 1
    _, short = np.unique(group[several], return_inverse=True)
    return named[several], short


def _packed(column: NDArray[np.uint8]) -> str:
    return base64.b64encode(column.tobytes()).decode()
