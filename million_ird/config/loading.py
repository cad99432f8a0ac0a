"""Reading recipes: YAML in, a frozen `Recipe` out. An unknown or misspelt key is an error that names it."""

import os
from collections.abc import Hashable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from million_ird.arguments import as_path
from million_ird.config.recipe import Recipe, nearest
from million_ird.errors import RecipeError, one_line

SHIPPED: Mapping[str, str] = MappingProxyType(
    {
        "million_ird.yaml": "the default: drops the worst images and keeps the rest",
        "demo.yaml": "the default's gates for the small images that come with scikit-image",
        "4klsdb.yaml": "the published thresholds of 4KLSDB",
        "bhi.yaml": "the published thresholds of BHI; needs the extra `scores`",
        "pd12m.yaml": "for the tables of PD12M: public-domain photographs by the default's gates",
        "laion_hr.yaml": "for the tables of LAION's high-resolution subset, by the default's gates",
        "strict.yaml": "for camera originals, large and hardly compressed; keeps almost nothing from the web",
    }
)
"""The recipes in `pipelines/`, beside those of `dynet`, and what each is for."""


def shipped() -> dict[str, Path]:
    """Return the recipes that are part of the package: file name to path."""
    installed = Path(str(resources.files("million_ird") / "pipelines"))
    folder = installed if installed.is_dir() else Path(__file__).parents[2] / "pipelines"
    return {name: folder / name for name in SHIPPED}


class _Loader(yaml.SafeLoader):
    """A YAML loader that rejects a repeated key, and names the line of a value that is not valid.

    PyYAML would silently use the last value of a repeated key. `dynet.config.yaml_reading` says the same in the same
    words; a test compares them.
    """

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            value = super().construct_object(node, deep)
            if isinstance(value, str):
                value.encode()  # an escape may write half of a surrogate pair, which no file can hold
        except (ValueError, LookupError, AttributeError, TypeError, ArithmeticError) as error:
            # `2024-02-30` looks like a date, `0x_` like a number: PyYAML passes on any error of its parsers.
            reason = f"a value cannot be read: {one_line(error)}"
            raise yaml.constructor.ConstructorError(None, None, reason, node.start_mark) from error
        return value

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(None, None, "a key is not a string", key.start_mark)
            if key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key {key.value!r} is repeated", key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def load(path: str | os.PathLike[str]) -> Recipe:
    """Read a recipe file; a bare name such as `demo` or `demo.yaml` may also be one of the shipped recipes.

    Raises:
        RecipeError: no such file, not YAML, an unknown key (with the nearest valid one) or a value that is wrong.
        UsageError: it is no path.
    """
    path = as_path("recipe", path)
    ours = shipped()
    named = ours.get(str(path)) or ours.get(f"{path}.yaml")
    file = Path(path) if os.path.isfile(path) or (named is None and os.path.exists(path)) else named
    if file is None:
        names = [name.removesuffix(".yaml") for name in ours]
        stem = str(path).removesuffix(".yaml").removesuffix(".yml")
        hint = nearest(stem, names) or f"; recipes of the package are {', '.join(names)}"
        raise RecipeError(f"recipe {path}: no such file{hint}")
    try:
        return parse_text(file.read_bytes(), origin=str(path))
    except OSError as error:
        raise RecipeError(f"recipe {path}: cannot be read: {error.strerror}") from error


def parse_text(text: bytes, *, origin: str) -> Recipe:
    """Read a recipe from YAML.

    Raises:
        RecipeError: as `load`.
    """
    try:
        content = yaml.load(text.decode(), _Loader)
    except UnicodeDecodeError as error:
        raise RecipeError(f"recipe {origin}: not UTF-8") from error
    except yaml.YAMLError as error:
        raise RecipeError(f"recipe {origin}: not YAML: {' '.join(str(error).split())}") from error
    except RecursionError as error:
        raise RecipeError(f"recipe {origin}: is nested too deeply") from error
    if not isinstance(content, dict):
        raise RecipeError(f"recipe {origin}: has no keys")
    return parse(content, origin=origin)


def parse(content: Mapping[str, object], *, origin: str) -> Recipe:
    """Validate plain YAML content.

    Raises:
        RecipeError: one line that names `origin`, the key, and the nearest valid key or the reason.
    """
    try:
        return Recipe.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = [str(part) for part in first["loc"]]
        if first["type"] == "extra_forbidden":
            known = _known_keys(Recipe, place[:-1])
            message = f"unknown key {'.'.join(place)!r}{nearest(place[-1], known)}"
        else:
            reason = first["msg"].removeprefix("Value error, ")
            message = f"{'.'.join(place)}: {reason}" if place else reason
        raise RecipeError(f"recipe {origin}: {message}") from error


def with_patch_scales(recipe: Recipe, scales: str) -> Recipe:
    """Return the recipe with other patch scales, given as `1,.75,.5`.

    Raises:
        RecipeError: not numbers in (0, 1], or one twice.
    """
    content = recipe.model_dump(mode="json") | {"sources": recipe.sources, "benchmarks": recipe.benchmarks}
    content["patches"]["scales"] = [part.strip() for part in scales.split(",") if part.strip()]
    return parse(content, origin="--patch-scales")


def _known_keys(model: type[BaseModel], place: Sequence[str]) -> list[str]:
    for part in place:
        if part.isdigit():
            continue
        annotation = model.model_fields[part].annotation
        nested = [t for t in (annotation, *get_args(annotation)) if isinstance(t, type) and issubclass(t, BaseModel)]
        if not nested:
            return []
        model = nested[0]
    return list(model.model_fields)
