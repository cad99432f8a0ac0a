"""Valid JSON: no number in it is infinite or NaN, wherever in a value it was."""

import json
import math
from typing import Any, NoReturn

import numpy as np
import pytest

from million_ird.config.source_spec import SourceSpec
from million_ird.errors import SourceError
from million_ird.printable import printable_json
from million_ird.strict_json import json_values, to_json

NON_FINITE = (math.inf, -math.inf, math.nan, np.float64("inf"), np.float64("nan"))


def strictly(text: str) -> Any:
    """Parse JSON as RFC 8259 has it, without Python's `Infinity` and `NaN`."""

    def refuse(name: str) -> NoReturn:
        raise AssertionError(f"{name} is not JSON")

    return json.loads(text, parse_constant=refuse)


@pytest.mark.parametrize("number", NON_FINITE)
def test_a_number_that_json_does_not_have_is_null_at_any_depth(number: float) -> None:
    around: list[tuple[Any, Any]] = [
        (number, None),
        ([number, 1.5], [None, 1.5]),
        ((number,), [None]),
        ({"a": {"b": [{"c": number}], "d": "NaN"}}, {"a": {"b": [{"c": None}], "d": "NaN"}}),
        ({number: 1}, {str(number): 1}),
    ]
    for value, expected in around:
        for text in (to_json(value), to_json(value, indent=1, ensure_ascii=True), printable_json(value)):
            assert strictly(text) == expected
        assert json_values(value) == expected


def test_all_other_values_are_written_as_json_dumps_writes_them() -> None:
    value: dict[str, Any] = {"b": [1, 2.5, None, True, "é\u2028", {}], "a": (1e308, -0.0, 10**30)}
    assert to_json(value) == json.dumps(value, ensure_ascii=False)
    options: dict[str, Any] = {"indent": 1, "sort_keys": True, "separators": (",", ":"), "ensure_ascii": True}
    assert to_json(value, **options) == json.dumps(value, **options)
    assert to_json({"a": 1j, "b": math.inf}, default=str) == '{"a": "1j", "b": null}'
    with pytest.raises(TypeError):
        to_json({"a": 1j, "b": math.inf})


@pytest.mark.parametrize("number", NON_FINITE)
def test_an_option_that_could_not_be_saved_is_refused_by_name(number: float) -> None:
    with pytest.raises(SourceError, match="storage: a number is infinite or NaN"):
        SourceSpec.named({"uri": "a", "storage": {"client_kwargs": [{"timeout": number}]}})  # type: ignore[arg-type]
