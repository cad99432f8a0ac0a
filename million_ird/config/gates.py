"""A gate: one field, a lower and an upper limit, a reason.

`Gate.judge` says what a gate means for one value; `failures` says the same for a whole column at once (a test holds
the two against each other).
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, model_validator

from million_ird.candidate import Drop, Keep


class Gate(BaseModel):
    """Keeps values within [min, max]; a null passes unless `required`."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    field: str
    """The ledger column that it looks at."""
    min: float | None = None
    max: float | None = None
    reason: str = ""
    """What the funnel calls a picture that it drops; by default the field's name."""
    required: bool = False
    """Whether a null, a number that could not be measured, drops the picture."""

    @model_validator(mode="after")
    def _has_a_limit(self) -> "Gate":
        if self.min is None and self.max is None and not self.required:
            raise ValueError(f"gate on {self.field!r} has neither min nor max")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"gate on {self.field!r}: min {self.min:g} is over max {self.max:g}")
        return self

    @property
    def called(self) -> str:
        """The reason that the funnel and the ledger show."""
        return self.reason or self.field

    def limits(self, number: Callable[[float], str] = "{:g}".format) -> str:
        """What it asks for, in words: `at least 3 and at most 9.5`, `at most 1 and known`."""
        asked = [f"at least {number(self.min)}"] if self.min is not None else []
        asked += [f"at most {number(self.max)}"] if self.max is not None else []
        asked += ["known"] if self.required else []
        return " and ".join(asked)

    def judge(self, row: Mapping[str, float | None]) -> Keep | Drop:
        """The verdict on one row; NaN counts as null."""
        value = row.get(self.field)
        if value is None or value != value:
            return Drop(self.called, None, None) if self.required else Keep()
        if self.min is not None and value < self.min:
            return Drop(self.called, value, self.min)
        if self.max is not None and value > self.max:
            return Drop(self.called, value, self.max)
        return Keep()

    def failures(self, column: pa.ChunkedArray) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
        """Which rows the gate drops, and the limit that each of those broke (NaN elsewhere)."""
        values = as_floats(column)
        missing = np.isnan(values)
        low = values < self.min if self.min is not None else np.zeros(len(values), bool)
        high = values > self.max if self.max is not None else np.zeros(len(values), bool)
        limits = np.full(len(values), np.nan)
        limits[low] = self.min
        limits[high] = self.max
        dropped = low | high
        return (dropped | missing if self.required else dropped), limits


def as_floats(column: pa.ChunkedArray) -> NDArray[np.float64]:
    """A numeric column as float64 with NaN for null."""
    return np.asarray(pc.fill_null(column.cast(pa.float64()), np.nan).to_numpy(zero_copy_only=False))


def first_drop(gates: Sequence[Gate], row: Mapping[str, float | None]) -> Drop | None:
    """The first gate that drops the row, in the order given."""
    for gate in gates:
        match gate.judge(row):
            case Drop() as drop:
                return drop
            case Keep():
                pass
    return None
