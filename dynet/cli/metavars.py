"""Names of the values of options in `--help`, the same in both programs: `--out DIR`, `--workers N`."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, get_args, get_type_hints

import typer
from typer.models import OptionInfo, ParameterInfo

METAVARS: Mapping[str, str] = MappingProxyType(
    {
        "--data": "[TASK:]SOURCE[=WEIGHT]",
        "--out": "PATH",
        "--recipe": "RECIPE",
        "--config": "RECIPE",
        "--init": "WEIGHTS",
        "--weights": "WEIGHTS",
        "weights": "WEIGHTS",
        "released": "CHECKPOINT",
        "out": "FILE",
        "inputs": "IMAGE",
        "run": "RUN",
        "--benchmark": "NAME=DIR",
        "--variants": "NAME,NAME",
        "--sigma": "X,X",
        "--metrics": "NAME,NAME",
        "--format": "FORMAT",
        "--host": "ADDRESS",
        "--licence": "ID",
        "--license": "ID",
        "--repo-id": "USER/NAME",
        "--evaluation": "DIR",
        "--revision": "BRANCH",
        "--openmodeldb": "FILE",
        "--author": "ID",
        "--tag": "TAG",
        "--description": "TEXT",
        "--resource": "FILE=URL",
        "--image": "URL,URL",
        "--date": "YYYY-MM-DD",
    }
)
"""By option; the type decides for all others."""
BY_TYPE: Mapping[type, str] = MappingProxyType({int: "N", float: "X", str: "NAME", Path: "PATH"})


def name_values(app: typer.Typer) -> None:
    """Name the values of the options of all commands of an app; a choice keeps its list of values, a flag has none."""
    for group in app.registered_groups:
        for command in group.typer_instance.registered_commands if group.typer_instance else ():
            hints = get_type_hints(command.callback, include_extras=True)
            for name, hint in hints.items():
                for option in (extra for extra in get_args(hint)[1:] if isinstance(extra, ParameterInfo)):
                    _name_value(option, name, get_args(hint)[0])


def _name_value(option: ParameterInfo, name: str, annotation: Any) -> None:
    kinds = {annotation, *get_args(annotation)} | {part for kind in get_args(annotation) for part in get_args(kind)}
    value = next((text for kind, text in BY_TYPE.items() if kind in kinds), None)
    if option.metavar is None and value is not None:
        declared = [text for text in option.param_decls or () if text.startswith("--")]
        is_option = isinstance(option, OptionInfo)
        spelled = next(iter(declared), f"--{name.replace('_', '-')}") if is_option else name
        option.metavar = METAVARS.get(spelled, value)
