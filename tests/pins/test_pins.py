"""What a refactoring must leave as it is: keys, schemas, files of weights, and the bytes of a build and of a run.

Numbers are compared within rounding on every machine; bytes only where the versions and the processor are those of
pins.json, since other libraries may encode the same content otherwise.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.pins import collect

PINS: dict[str, Any] = json.loads(collect.FILE.read_text())
SAME_MACHINE = collect.environment() == PINS["environment"]


def plain(value: object) -> Any:
    return json.loads(json.dumps(value, default=collect._plain))


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for name, item in value.items():
            yield from leaves(item, f"{path}/{name}")
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from leaves(item, f"{path}/{number}")
    else:
        yield path, value


def assert_equal_within_rounding(value: Any, pinned: Any, rel: float) -> None:
    now, then = dict(leaves(value)), dict(leaves(pinned))
    assert now.keys() == then.keys()
    for path, number in then.items():
        expected = pytest.approx(number, rel=rel, abs=1e-9) if isinstance(number, float) else number
        assert now[path] == expected, path


@pytest.mark.parametrize("key", PINS["work keys"])
def test_an_interrupted_build_finds_its_work_again(key: str) -> None:
    assert collect.work_keys()[key] == PINS["work keys"][key]


def test_schemas() -> None:
    assert collect.schemas() == PINS["schemas"]


def test_recipes_mean_what_they_meant() -> None:
    assert collect.recipes() == PINS["recipes"]


def test_bytes_of_a_small_build(tmp_path: Path) -> None:
    made = plain(collect.build(tmp_path))
    assert_equal_within_rounding(made["ledger"], PINS["build"]["ledger"], rel=1e-6)
    assert made["card"] == PINS["build"]["card"]
    assert made["files"].keys() == PINS["build"]["files"].keys()
    if SAME_MACHINE:
        assert made["files"] == PINS["build"]["files"]


def test_weights_of_twelve_steps(tmp_path: Path) -> None:
    made, pinned = plain(collect.training(tmp_path)), PINS["training"]
    assert json.dumps(made["header"], sort_keys=True) == json.dumps(pinned["header"], sort_keys=True)
    assert_equal_within_rounding(made["losses"], pinned["losses"], rel=1e-4)
    assert_equal_within_rounding(made["norms"], pinned["norms"], rel=1e-4)
    if SAME_MACHINE:
        assert made["hash"] == pinned["hash"]
