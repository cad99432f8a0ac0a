"""Gates: one value and a whole column get the same verdict."""

import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from million_ird.candidate import Drop, Keep
from million_ird.config.gates import Gate, first_drop
from million_ird.decide.gates import as_floats, failures

NUMBERS = st.floats(allow_nan=False, allow_infinity=False, width=32)
VALUES = st.one_of(st.none(), st.just(math.nan), st.just(math.inf), st.just(-math.inf), NUMBERS)


@st.composite
def gates(draw: st.DrawFn) -> Gate:
    low, high = draw(st.none() | NUMBERS), draw(st.none() | NUMBERS)
    if low is not None and high is not None:
        low, high = sorted((low, high))
    required = draw(st.booleans()) or (low is None and high is None)
    return Gate(field="x", min=low, max=high, required=required)


@given(gate=gates(), values=st.lists(VALUES, max_size=30))
def test_a_column_gets_the_verdicts_of_its_values(gate: Gate, values: list[float | None]) -> None:
    dropped, limits = failures(gate, pa.chunked_array([pa.array(values, pa.float64())]))
    for value, drops, limit in zip(values, dropped, limits, strict=True):
        verdict = gate.judge({"x": value})
        assert drops == isinstance(verdict, Drop)
        if isinstance(verdict, Drop):
            assert verdict.limit == (None if math.isnan(limit) else limit)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (9.999, Drop("x", 9.999, 10)),
        (10, Keep()),
        (20, Keep()),
        (20.001, Drop("x", 20.001, 20)),
        (None, Keep()),
        (math.nan, Keep()),
    ],
)
def test_limits_are_inclusive_and_a_null_passes(value: float | None, expected: Keep | Drop) -> None:
    assert Gate(field="x", min=10, max=20).judge({"x": value}) == expected


def test_a_required_null_is_dropped_without_numbers() -> None:
    gate = Gate(field="x", min=10, required=True, reason="unknown")
    assert gate.judge({}) == gate.judge({"x": math.nan}) == Drop("unknown", None, None)


def test_the_first_gate_that_drops_is_the_reason() -> None:
    row = {"x": 1.0, "y": 1.0}
    strict = [Gate(field="x", min=0), Gate(field="y", min=5, reason="b"), Gate(field="x", min=5, reason="c")]
    assert first_drop(strict, row) == Drop("b", 1.0, 5)
    assert first_drop(strict[:1], row) is None
    assert first_drop([], row) is None


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"min": 1024}, "at least 1024"),
        ({"min": 0.5, "max": 9.5}, "at least 0.5 and at most 9.5"),
        ({"required": True}, "known"),
        ({"max": 1, "required": True}, "at most 1 and known"),
    ],
)
def test_what_a_gate_asks_for_is_told_in_words(asked: dict[str, float], told: str) -> None:
    assert Gate(field="x", **asked).limits() == told


@pytest.mark.parametrize("limits", [{}, {"min": math.nan}, {"max": math.inf}, {"min": 2, "max": 1}, {"minimum": 3}])
def test_a_gate_that_says_nothing_is_refused(limits: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        Gate(field="x", **limits)


@pytest.mark.parametrize("kind", [pa.int64(), pa.int32(), pa.float64()])
def test_integers_and_nulls_become_floats_and_nan(kind: pa.DataType) -> None:
    np.testing.assert_array_equal(as_floats(pa.chunked_array([pa.array([1, None, 3], kind)])), [1, np.nan, 3])
    assert as_floats(pa.chunked_array([], kind)).shape == (0,)
