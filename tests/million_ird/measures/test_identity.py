"""A column of the ledger that nothing fills is refused before the first image, wherever measuring happens."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import pytest
import yaml

from million_ird.candidate import Candidate
from million_ird.config.loading import parse
from million_ird.config.recipe import Recipe
from million_ird.config.user_measures import UserMeasure
from million_ird.errors import MeasureFault, RecipeError, VersionMismatch
from million_ird.measure_specs import MEASURE_SPECS
from million_ird.measure_types import Tier
from million_ird.measures import identity, registry
from million_ird.measures.identity import MeasuringIdentity
from million_ird.measures.registry import MEASURES
from million_ird.scan.cascade import Cascade
from million_ird.scan.isolated_measuring import IsolatedMeasurer
from million_ird.schema import MEASURES_REVISION, columns_of, null_reason
from tests.million_ird import scenes

NOISE = '''
import numpy as np
from million_ird.schema import Tier

class Spread:
    """Standard deviation of the luma; none for an image of a single level."""
    fields = ("spread", "levels")
    tier = Tier.PIXELS
    descriptions = {"spread": "Standard deviation of the luma.", "levels": "Number of different levels."}

    def measure(self, image):
        levels = len(np.unique(image.luma))
        return {"spread": float(image.luma.std()) if levels > 1 else None, "levels": float(levels)}

class Short(Spread):
    def measure(self, image):
        return {"spread": 1.0}

class Text(Spread):
    def measure(self, image):
        return {"spread": "wide", "levels": 2.0}

class NoFields:
    tier = Tier.PIXELS
    def measure(self, image):
        return {}

class NoTier:
    fields = ("spread",)
    def measure(self, image):
        return {}

class Taken(Spread):
    fields = ("sharpest_blocks",)

class Twice(Spread):
    fields = ("spread", "spread")

class Neural(Spread):
    tier = Tier.NEURAL

class Raising:
    def __init__(self):
        raise RuntimeError("no\\nmodel")
'''


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Create an importable module with measures, good and bad, and return its name."""
    name = f"measures_of_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(NOISE)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield name  # type: ignore[misc]
    sys.modules.pop(name, None)


def recipe_with(*references: str, **changes: object) -> Recipe:
    return parse({**scenes.RECIPE, "measures": [*references], **changes}, origin="test")


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.full
def test_a_users_measure_is_measured_in_every_process(module: str, tmp_path: Path, workers: int) -> None:
    gates = [*scenes.RECIPE["gates"], {"field": "levels", "min": 40, "reason": "few_levels"}]  # type: ignore[misc]
    recipe = recipe_with(f"{module}:Spread", gates=gates)
    source = scenes.lay_out(tmp_path / "images")
    scenes.make(source, tmp_path / "out", recipe, workers=workers)
    rows = scenes.ledger_rows(tmp_path / "out")
    reached = {uri: row for uri, row in rows.items() if row["tier"] >= Tier.PIXELS}
    assert reached
    assert all(row["spread"] > 0 and row["levels"] > 1 for row in reached.values())
    assert all(row["spread"] is None for uri, row in rows.items() if uri not in reached)
    kept = [row for row in rows.values() if row["verdict"] == "kept"]
    assert kept
    assert all(row["levels"] >= 40 for row in kept)


def test_a_resolved_recipe_is_read_without_the_module(module: str) -> None:
    recipe = recipe_with(f"{module}:Spread")
    text = recipe.dump()
    sys.modules.pop(module, None)
    content = yaml.safe_load(text)
    content["measures"][0]["measure"] = "not.installed:Spread"
    again = parse(content, origin="resolved")
    assert again.tiers["spread"] is Tier.PIXELS
    assert again.description("levels") == "Number of different levels."
    assert again.ledger_entries[-1] == "not.installed:Spread@1[spread|levels]"
    assert columns_of(again.ledger_entries[-1]) == ("spread", "levels")
    with pytest.raises(VersionMismatch, match=r"^not\.installed:Spread: cannot be imported"):
        MeasuringIdentity.here(again.measures)


def test_a_recipe_without_measures_of_a_users_own_is_what_it_was() -> None:
    assert "measures" not in Recipe().model_dump(mode="json")
    assert "measures:" not in Recipe().dump()


@pytest.mark.parametrize(
    ("reference", "reason"),
    [
        ("Spread", "is not of the form package.module:Class"),
        ("a b:Spread", "is not of the form package.module:Class"),
        ("{module}:", "is not of the form package.module:Class"),
        ("no_such_module_here:Spread", "cannot be imported; is it installed or on PYTHONPATH?"),
        ("{module}:Missing", "cannot be imported"),
        ("{module}:Raising", r"RuntimeError: no model"),
        ("{module}:NoFields", "`fields` must be a tuple"),
        ("{module}:NoTier", "`tier` must be"),
        ("{module}:Neural", "`tier` must be"),
        ("{module}:Twice", "use each name once"),
        ("{module}:Taken", "'sharpest_blocks' is already the name of a ledger column"),
    ],
)
def test_what_is_no_measure_is_refused_in_one_line(module: str, reference: str, reason: str) -> None:
    with pytest.raises(RecipeError) as error:
        recipe_with(reference.format(module=module))
    assert reason in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("Short", "returned the columns spread, its fields are spread, levels"),
        ("Text", "spread is str, not a Python float"),
    ],
)
def test_a_measure_that_leaves_a_column_out_stops_the_build(
    module: str, name: str, reason: str, tmp_path: Path
) -> None:
    source = scenes.lay_out(tmp_path / "images")
    with pytest.raises(MeasureFault, match=reason):
        scenes.make(source, tmp_path / "out", recipe_with(f"{module}:{name}"))


class _Extra:
    fields = ("extra",)
    tier = Tier.PIXELS

    def measure(self, image: object) -> Mapping[str, float | None]:
        return {"extra": 1.0}


def test_the_tables_of_measures_cannot_be_changed_from_outside() -> None:
    for table in (MEASURES, MEASURE_SPECS):
        with pytest.raises(TypeError, match="does not support item assignment"):
            table["extra"] = _Extra()  # type: ignore[index]


def _more(measures: dict[str, object]) -> None:
    measures["extra"] = _Extra()


def _fewer(measures: dict[str, object]) -> None:
    del measures["nss"]


def _other(measures: dict[str, object]) -> None:
    measures["nss"] = _Extra()


@pytest.mark.parametrize("change", [_more, _fewer, _other])
def test_other_measures_than_the_ledgers_are_refused_before_anything_is_read(
    change: Callable[[dict[str, object]], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed: dict[str, object] = {**MEASURES}
    change(changed)
    for owner in (registry, identity):
        monkeypatch.setattr(owner, "MEASURES", MappingProxyType(changed))
    source = scenes.lay_out(tmp_path / "images")
    with pytest.raises(VersionMismatch, match=r"^the table of measures in this process has other code than this"):
        scenes.make(source, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("version", "9.9", "million-ird version .* instead of 9.9"),
        ("revision", 99, f"million-ird revision {MEASURES_REVISION} instead of 99"),
        (
            "measures",
            {"nss": (4, ("niqe_ird", "extra"))},
            "measure nss is of tier 4 with the columns niqe_ird there",
        ),
    ],
)
def test_a_measuring_process_of_another_version_refuses_in_one_line(field: str, value: object, reason: str) -> None:
    expected = replace(MeasuringIdentity.expected(()), **{field: value})  # type: ignore[arg-type]
    candidate = Candidate(key="0" * 32, source="s", uri="a", version="1")
    with pytest.raises(VersionMismatch, match=f"^the measuring process has other code than this program: {reason}"):
        list(IsolatedMeasurer(Recipe(), expected=expected).rows([candidate], lambda _: b"bytes"))


def test_a_users_measure_of_another_revision_is_refused(module: str) -> None:
    measure = UserMeasure.model_validate(f"{module}:Spread").model_copy(update={"revision": 2})
    with pytest.raises(VersionMismatch, match="is of revision 1, the recipe was read with 2"):
        Cascade(Recipe(measures=(measure,)))


def test_the_two_meanings_of_a_null() -> None:
    assert null_reason(Tier.HEADER, Tier.PIXELS) == "not measured"
    assert null_reason(Tier.PIXELS, Tier.PIXELS) == "does not apply"
    assert null_reason(Tier.QUALITY, Tier.HEADER) == "does not apply"
