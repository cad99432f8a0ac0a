"""The names of pyiqa's metrics, read from its source: importing it takes up to half a minute."""

import ast
import difflib
import functools
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType

from dynet.errors import UsageError
from dynet.extras import require

OVER_SETS = frozenset({"fid", "sfid", "fid_dinov2", "inception_score"})
"""Metrics of pyiqa that measure a set of images; they have no value per image."""


def check_names(names: str) -> tuple[str, ...]:
    """Return the names of a comma-separated list of metrics.

    Raises:
        UsageError: pyiqa has no metric of a name, a name is given twice, or the metric measures sets.
        MissingExtra: pyiqa, or a package that a metric needs, is not installed.
    """
    require("pyiqa")
    chosen = [name.strip() for name in names.split(",")]
    known = pyiqa_modes().keys() - OVER_SETS
    for name in chosen:
        if name.startswith("topiq"):
            require("facexlib")
        if name in OVER_SETS:
            raise UsageError(f"--metrics {name}: measures a whole set of images, not one")
        if name not in known:
            close = difflib.get_close_matches(name, sorted(known), n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise UsageError(f"--metrics {name}: pyiqa has no such metric{hint}")
    if len(set(chosen)) < len(chosen):
        raise UsageError(f"--metrics {names}: a metric is given twice")
    return tuple(chosen)


@functools.cache
def pyiqa_modes() -> Mapping[str, str]:
    """Return all metrics of the installed pyiqa with their mode: FR compares with the clean image, NR does not."""
    spec = find_spec("pyiqa")
    folders = (spec.submodule_search_locations or ()) if spec else ()
    files = [Path(folder) / "default_model_configs.py" for folder in folders]
    found = {}
    for file in filter(Path.is_file, files):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Dict):
                for key, value in zip(node.keys, node.values, strict=True):
                    mode = _mode(value)
                    if isinstance(key, ast.Constant) and mode is not None:
                        found[str(key.value)] = mode
    return MappingProxyType(found)


def _mode(node: ast.expr) -> str | None:
    if isinstance(node, ast.Dict):
        for key, value in zip(node.keys, node.values, strict=True):
            if isinstance(key, ast.Constant) and key.value == "metric_mode" and isinstance(value, ast.Constant):
                return str(value.value)
    return None
