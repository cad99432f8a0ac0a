"""Weights that come with the package, by the names that `--weights` and `DyNet.from_pretrained` take."""

import difflib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

SHIPPED: Mapping[str, str] = MappingProxyType({"laptop": "dynet-laptop"})
"""The name of each, and its folder: `dynet/weights/FOLDER` in a wheel, `weights/FOLDER` in a checkout."""


def find_shipped(name: str) -> Path | None:
    """Return the folder of the shipped weights of this name; None if this installation has none."""
    folders = [place / SHIPPED[name] for place in _places()] if name in SHIPPED else []
    return next((folder for folder in folders if any(folder.glob("*.safetensors"))), None)


def shipped_names() -> tuple[str, ...]:
    """Return the names of the weights that this installation has."""
    return tuple(name for name in SHIPPED if find_shipped(name) is not None)


def naming_hint(name: str) -> str:
    """Return what to add to the refusal of a name: the nearest shipped one, or how weights are named."""
    names = shipped_names()
    if near := difflib.get_close_matches(name, names, n=1):
        return f" (did you mean {near[0]!r}, which comes with the package?)"
    return f"; a model on the Hub is named user/name{', shipped weights ' if names else ''}{' or '.join(names)}"


def _places() -> tuple[Path, ...]:
    """Return the folders that may hold shipped weights: inside the package, and next to it in a checkout."""
    package = Path(__file__).parents[1]
    return package / "weights", package.parent / "weights"
