"""The names of measures and scores, known without importing what computes them."""

import ast
import functools
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType

from million_ird.config.recipe import nearest
from million_ird.errors import UsageError
from million_ird.measure_specs import MEASURE_SPECS, OFFICIAL_SCORES, OVERLAID_CHARACTERS

_OFFICIAL = MappingProxyType({"niqe": "official NIQE: lower is better", "brisque": "official BRISQUE: lower is better"})
_READ = "letters and digits that can be read over the image, by rapidocr: lower is better"


def known_metrics() -> dict[str, str]:
    """Return each number that can be measured, and what it is: measures, official scores, text, scores of pyiqa."""
    fields = (field for spec in MEASURE_SPECS.values() for field in spec.columns if field.name in spec.fields)
    own = {field.name: field.description for field in fields}
    official = {name: _OFFICIAL[name] for name in OFFICIAL_SCORES}
    neural = {name: "score of pyiqa (non-commercial)" for name in pyiqa_scores() if name not in official}
    return own | official | {OVERLAID_CHARACTERS: _READ} | neural


def check_metrics(names: Sequence[str], own: Sequence[str] = (), option: str = "--metrics") -> None:
    """Check the names that `--metrics` gives; without pyiqa, names that could be its own pass.

    Args:
        names: What is asked for.
        own: Columns of the user's measures.
        option: What messages name.

    Raises:
        UsageError: There are no names, or nothing has this one.
    """
    if not names:
        raise UsageError(f"{option}: name at least one")
    known = [*own, *known_metrics()]
    for name in names:
        if name not in known and pyiqa_scores():
            hint = nearest(name, known) or "; million-ird metrics lists them"
            raise UsageError(f"{option} {name}: unknown{hint}")


@functools.cache
def pyiqa_scores() -> tuple[str, ...]:
    """Return the scores without reference that the installed pyiqa has, sorted; none if it is not installed.

    They are read from its source: importing it takes up to half a minute.
    """
    spec = find_spec("pyiqa")
    folders = (spec.submodule_search_locations or ()) if spec else ()
    places = [Path(folder) / "default_model_configs.py" for folder in folders]
    names = {name for place in places if place.is_file() for name in _without_reference(ast.parse(place.read_text()))}
    return tuple(sorted(names))


def _without_reference(tree: ast.Module) -> list[str]:
    """Return the keys of all dicts whose values say `'metric_mode': 'NR'`."""
    pairs = [
        (key, value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Dict)
        for key, value in zip(node.keys, node.values, strict=True)
    ]
    return [
        str(key.value)
        for key, value in pairs
        if isinstance(key, ast.Constant) and isinstance(value, ast.Dict) and _entry(value, "metric_mode") == "NR"
    ]


def _entry(node: ast.Dict, name: str) -> object:
    for key, value in zip(node.keys, node.values, strict=True):
        if isinstance(key, ast.Constant) and key.value == name and isinstance(value, ast.Constant):
            return value.value
    return None
