"""A gate: one column, a lower and an upper limit, and a reason.

`Gate.judge` says what a gate means for one value; `million_ird.decide.gates` does so for a whole column (a test
compares the two).
"""

from collections.abc import Callable, Mapping, Sequence

from pydantic import BaseModel, ConfigDict, model_validator

from million_ird.candidate import Drop, Keep


class Gate(BaseModel):
    """Keeps values within [min, max]; a null passes unless `required`."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    field: str
    """The ledger column."""
    min: float | None = None
    max: float | None = None
    reason: str = ""
    """The reason that funnel and ledger show for an image that it drops; by default the column's name."""
    required: bool = False
    """Whether a null, which is a measure that does not apply to the image, drops it."""

    @model_validator(mode="after")
    def _has_a_limit(self) -> "Gate":
        if self.min is None and self.max is None and not self.required:
            raise ValueError(f"gate on {self.field!r} has neither min nor max")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"gate on {self.field!r}: min {self.min:g} is over max {self.max:g}")
        return self

    @property
    def drop_reason(self) -> str:
        """The reason that funnel and ledger show."""
        return self.reason or self.field

    def limits(self, number: Callable[[float], str] = "{:g}".format) -> str:
        """Return the limits in words: `at least 3 and at most 9.5`, `at most 1 and known`."""
        asked = [f"at least {number(self.min)}"] if self.min is not None else []
        asked += [f"at most {number(self.max)}"] if self.max is not None else []
        asked += ["known"] if self.required else []
        return " and ".join(asked)

    def judge(self, row: Mapping[str, float | None]) -> Keep | Drop:
        """Return the verdict on one row; NaN counts as null."""
        value = row.get(self.field)
        if value is None or value != value:
            return Drop(self.drop_reason, None, None) if self.required else Keep()
        if self.min is not None and value < self.min:
            return Drop(self.drop_reason, value, self.min)
        if self.max is not None and value > self.max:
            return Drop(self.drop_reason, value, self.max)
        return Keep()


def first_drop(gates: Sequence[Gate], row: Mapping[str, float | None]) -> Drop | None:
    """Return the drop by the first gate that drops the row, in the order given; None if all keep it."""
    for gate in gates:
        match gate.judge(row):
            case Drop() as drop:
                return drop
            case Keep():
                pass
    return None
