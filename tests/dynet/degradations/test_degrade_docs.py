"""docs/degradations.md says what the code does, and its example works; so does the contact sheet's script."""

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


def parameters_told() -> dict[str, dict[str, tuple[tuple[float, float], tuple[float, float]]]]:
    """By kind and parameter, limits and recommended range as the page has them."""
    told: dict[str, dict[str, tuple[tuple[float, float], tuple[float, float]]]] = {}
    kind = ""
    row = re.compile(rf"^\| (?:`(\w+)` )?\| `(\w+)` \|.*\| {NUMBERS} \| {NUMBERS} \|", re.MULTILINE)
    for named, parameter, *numbers in row.findall(PAGE):
        kind = named or kind
        low, high, least, most = map(float, numbers)
        told.setdefault(kind, {})[parameter] = ((low, high), (least, most))
    return told


def test_the_page_tells_of_every_parameter_its_limits_and_default() -> None:
    told = parameters_told()
    assert list(told) == list(DEGRADATIONS)
    for kind, chosen in DEGRADATIONS.items():
        assert {name: limits for name, (limits, _) in told[kind].items()} == chosen.LIMITS
        for name, ((low, high), (least, most)) in told[kind].items():
            assert low <= least < most <= high
            default = chosen.model_fields[name]
            assert default.is_required() or default.default == (least, most), (kind, name)


def test_the_page_tells_every_kinds_source() -> None:
    sources = PAGE[PAGE.index("## Models") :]
    assert all(f"`{kind}`" in sources for kind in DEGRADATIONS)


def test_the_pages_recipe_is_read() -> None:
    tasks = yaml.safe_load(re.findall(r"```yaml\n(tasks:.*?)```", PAGE, re.DOTALL)[0])["tasks"]
    choices = [entry for task in tasks.values() for entry in task["degradations"]]
    assert len([TypeAdapter(DegradationChoice).validate_python(entry) for entry in choices]) == 7


def test_the_pages_example_is_a_degradation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, photographs: list[np.ndarray]
) -> None:
    file = tmp_path / "posterise.py"
    file.write_text(re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)[0])
    spec = importlib.util.spec_from_file_location("posterise", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setitem(DEGRADATIONS, "posterise", module.Posterise)
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
        assert sheet.height > len(DEGRADATIONS) * 400
