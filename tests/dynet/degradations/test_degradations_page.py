"""docs/degradations.md matches the code, and its example works; so does the script for the contact sheet."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from pydantic import TypeAdapter

from dynet.config.recipe import DegradationChoice
from dynet.degradations.degradation import draw_degradation
from dynet.degradations.registry import DEGRADATIONS
from dynet.runtime.rng import generator

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "degradations.md").read_text(encoding="utf-8")
NUMBERS = r"(-?[\d.]+)–(-?[\d.]+)"


def documented_parameters() -> dict[str, dict[str, tuple[tuple[float, float], tuple[float, float]]]]:
    """Limits and recommended range on the page, by kind and parameter."""
    documented: dict[str, dict[str, tuple[tuple[float, float], tuple[float, float]]]] = {}
    kind = ""
    row = re.compile(rf"^\| (?:`(\w+)` )?\| `(\w+)` \|.*\| {NUMBERS} \| {NUMBERS} \|", re.MULTILINE)
    for named_kind, parameter, *numbers in row.findall(PAGE):
        kind = named_kind or kind
        low, high, recommended_low, recommended_high = map(float, numbers)
        documented.setdefault(kind, {})[parameter] = ((low, high), (recommended_low, recommended_high))
    return documented


def test_the_page_has_limits_and_default_of_every_parameter() -> None:
    documented = documented_parameters()
    with_parameters = {kind: chosen for kind, chosen in DEGRADATIONS.items() if chosen.LIMITS}
    assert list(documented) == list(with_parameters)
    for kind, chosen in with_parameters.items():
        assert {name: limits for name, (limits, _) in documented[kind].items()} == chosen.LIMITS
        for name, ((low, high), recommended) in documented[kind].items():
            assert low <= recommended[0] < recommended[1] <= high
            default = chosen.model_fields[name]
            assert default.is_required() or default.default == recommended, (kind, name)


def test_the_page_has_a_row_for_every_kind() -> None:
    parameters = PAGE[PAGE.index("## Parameters") : PAGE.index("## Models")]
    assert re.findall(r"^\| `(\w+)` \|", parameters, re.MULTILINE) == list(DEGRADATIONS)


def test_the_page_has_the_source_of_every_kind() -> None:
    sources = PAGE[PAGE.index("## Models") :]
    assert all(f"`{kind}`" in sources for kind in DEGRADATIONS)


def test_the_recipe_on_the_page_is_valid() -> None:
    tasks = yaml.safe_load(re.findall(r"```yaml\n(tasks:.*?)```", PAGE, re.DOTALL)[0])["tasks"]
    choices = [entry for task in tasks.values() for entry in task["degradations"]]
    assert len([TypeAdapter(DegradationChoice).validate_python(entry) for entry in choices]) == 8


def test_the_example_on_the_page_is_a_degradation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, photographs: list[np.ndarray]
) -> None:
    file = tmp_path / "posterise.py"
    file.write_text(re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)[0])
    spec = importlib.util.spec_from_file_location("posterise", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr("dynet.config.recipe.DEGRADATIONS", {**DEGRADATIONS, "posterise": module.Posterise})
    crop = photographs[0][:50, :60]
    chosen = TypeAdapter(DegradationChoice).validate_python({"kind": "posterise", "shades": [4, 4]})
    assert len(np.unique(draw_degradation([chosen], crop, generator(0, "test")))) == 4
    assert np.array_equal(module.posterise(crop, generator(0, "test"), shades=256), crop)


def test_the_contact_sheet_shows_every_kind(tmp_path: Path) -> None:
    script = ROOT / "benchmarks" / "degradations.py"
    out = tmp_path / "sheet.png"
    arguments = ["--out", str(out), "--crop", "32", "--pictures", "1"]
    environment = {"MILLION_IRD_SHARED_DATA": str(tmp_path), "PYTHONPATH": str(ROOT)}  # scikit-image's photographs
    subprocess.run([sys.executable, script, *arguments], env=environment, check=True, capture_output=True)
    with Image.open(out) as sheet:
        assert sheet.width > 4 * 400
        assert sheet.height > (len(DEGRADATIONS) - 1) * 400  # all but none
