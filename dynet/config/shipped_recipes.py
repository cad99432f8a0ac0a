"""The training recipes that come with the package, in `pipelines/`: what each is for, and where its file is."""

import difflib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from dynet.errors import RecipeError

SHIPPED_RECIPES: Mapping[str, str] = MappingProxyType(
    {
        "demo_pretrain": "pre-training, a minute on two cores; not for real use",
        "demo_finetune": "noise, at the width of demo_pretrain; a minute on two cores",
        "dynet_laptop": "noise, JPEG and rain, blind: a small network for a machine without a GPU",
        "dynet_pretrain": "pre-training as in the paper: a million steps, needs a GPU",
        "dynet_finetune_noise": "Gaussian noise of three strengths, the protocol of PromptIR",
        "dynet_finetune_3task": "noise, rain and haze in one network, as published",
        "dynet_finetune_3task_strict": "the same, without training images that are in test sets",
        "dynet_finetune_5task": "noise, rain, haze, motion blur and low light, as published",
        "dynet_finetune_5task_strict": "the same, without training images that are in test sets",
    }
)
"""By the name that `--recipe` takes, without `.yaml`."""


def find_recipe(name: str | Path) -> Path:
    """Return the file at this path, or else the shipped recipe of this name.

    Raises:
        RecipeError: There is neither.
    """
    path = Path(name)
    if path.is_file():
        return path
    if path.is_dir():
        raise RecipeError(f"{path} is a folder, not a recipe file")
    shipped = _find_shipped(path)
    if shipped is None:
        close = difflib.get_close_matches(path.name.removesuffix(".yaml"), SHIPPED_RECIPES, n=1, cutoff=0.5)
        raise RecipeError(f"{name}: no such recipe file" + (f" (did you mean {close[0]!r}?)" if close else ""))
    return shipped


def find_exclude_list(name: str, recipe: Path) -> str:
    """Return the path of a list that a recipe names: in the folder of the recipe, or else a shipped one.

    Raises:
        RecipeError: There is neither.
    """
    neighbour = recipe.parent / name
    file = neighbour if neighbour.is_file() else _find_shipped(Path(name))
    if file is None:
        raise RecipeError(f"{recipe}: exclude: {name}: no such file beside the recipe, and none is shipped")
    return str(file.resolve())


def _find_shipped(path: Path) -> Path | None:
    """Return the file of this name that comes with the package: inside it in a wheel, next to it in a checkout."""
    package = Path(__file__).parents[1]
    names = (path.name, f"{path.name}.yaml")
    files = [folder / name for folder in (package / "pipelines", package.parent / "pipelines") for name in names]
    return next((file for file in files if file.is_file()), None) if path.parent == Path() else None
