"""YAML of the pages as recipes: what a page shows in part is laid over the recipe that it is a part of."""

from pathlib import Path
from typing import Any

import yaml

from dynet.config.recipe import load_recipe
from million_ird.config.loading import parse
from tests.docs_pages import ROOT, Block

FOREIGN = {"datasets": "BasicSR's"}
"""Top keys of what is no recipe of ours, and whose it is."""
TRAINING = frozenset({"stage", "tasks", "variants", "policy", "network", "corruption", "mask", "crop", "validation"})
BASE = "dynet_finetune_3task.yaml"


def is_training(content: dict[str, Any]) -> bool:
    """Whether it is of `dynet train`."""
    return bool(content.keys() & (TRAINING - {"validation"}))


def laid_over(content: dict[str, Any], base: dict[str, Any]) -> dict[str, Any]:
    """A whole recipe of training from a part of one: the base's lists of exclusions are the base's own."""
    return base | {"exclude": []} | content if "stage" not in content else content


def whole_recipe(block: Block, folder: Path) -> None:
    """Read the block as its program would.

    Raises:
        RecipeError: of one of the two packages: the page shows what the program refuses.
    """
    content = yaml.safe_load(block.text)
    if not is_training(content):
        parse(content, origin=f"{block.page}:{block.line}")
        return
    base = yaml.safe_load((ROOT / "pipelines" / BASE).read_text(encoding="utf-8"))
    file = folder / "recipe.yaml"
    file.write_text(yaml.safe_dump(laid_over(content, base)), encoding="utf-8")
    load_recipe(file, laid_over(content, base)["stage"], None)
