"""The JSON schemas that editors check recipes by, against the models and the shipped recipes."""

import functools
import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import jsonschema
import pytest
import yaml

from dynet.degradations.registry import DEGRADATIONS
from tests.environments import ROOT

PIPELINES = ROOT / "pipelines"
RECIPES = sorted(PIPELINES.glob("*.yaml"))
SCHEMAS = ("million_ird.json", "dynet.json")
TRAINING = yaml.safe_load((PIPELINES / "dynet_laptop.yaml").read_text())


@functools.cache
def _script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("schemas", PIPELINES / "schemas.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@functools.cache
def _validator(name: str) -> Any:
    schema = json.loads((PIPELINES / "schemas" / name).read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def _errors(name: str, recipe: dict[str, Any]) -> list[str]:
    return [error.message for error in _validator(name).iter_errors(recipe)]


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_schemas_are_current(name: str) -> None:
    assert (PIPELINES / "schemas" / name).read_text() == _script().render(name), "run `make schemas`"


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_every_shipped_recipe_names_its_schema_and_validates(recipe: Path) -> None:
    text = recipe.read_text()
    content = yaml.safe_load(text)
    name = "dynet.json" if "stage" in content else "million_ird.json"
    assert text.splitlines()[0] == f"# yaml-language-server: $schema=schemas/{name}"
    assert not _errors(name, content)


@pytest.mark.parametrize(
    "changes",
    [
        {"sources": ["photos", "dataset:user/name", {"uri": "urls.parquet", "names": {"url": "link"}}]},
        {"measures": ["mypackage.noise:Noise"]},
        {"gates": [{"field": "my_column", "min": 1}], "columns": ["my_column"]},
        {"duplicates": {"radius": None}, "benchmarks": ["set5=folder"]},
    ],
)
def test_what_a_dataset_recipe_may_hold_validates(changes: dict[str, Any]) -> None:
    assert not _errors("million_ird.json", changes)


@pytest.mark.parametrize("kind", DEGRADATIONS)
def test_each_degradation_validates_with_numbers_and_with_ranges(kind: str) -> None:
    limits = DEGRADATIONS[kind].LIMITS
    for values in (
        {name: low for name, (low, _) in limits.items()},
        {name: list(pair) for name, pair in limits.items()},
    ):
        tasks = {"task": {"degradations": [{"kind": kind, **values}]}}
        assert not _errors("dynet.json", TRAINING | {"tasks": tasks})


@pytest.mark.parametrize(
    ("name", "recipe"),
    [
        ("million_ird.json", {"gate": []}),
        ("million_ird.json", {"gates": [{"feild": "aspect", "max": 4}]}),
        ("million_ird.json", {"sources": [{"url": "photos"}]}),
        ("million_ird.json", {"validation": 1.5}),
        ("dynet.json", TRAINING | {"stage": "train"}),
        ("dynet.json", TRAINING | {"lerning_rate": 1e-3}),
        ("dynet.json", TRAINING | {"tasks": {"a": {"degradations": [{"kind": "gausian_noise", "sigma": 15}]}}}),
        ("dynet.json", TRAINING | {"tasks": {"a": {"degradations": [{"kind": "jpeg", "quality": [10, 20, 30]}]}}}),
    ],
)
def test_mistakes_are_found(name: str, recipe: dict[str, Any]) -> None:
    assert _errors(name, recipe)


def test_fields_have_descriptions_for_completion() -> None:
    schema = json.loads((PIPELINES / "schemas" / "million_ird.json").read_text())
    assert "description" in schema["properties"]["validation"]
    assert "description" in schema["$defs"]["BuildLimits"]["properties"]["max_pixels"]
