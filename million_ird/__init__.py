"""Build image-restoration datasets: read images from anywhere, measure, decide, write.

The names below are the public surface. They are loaded on first use, so that `million-ird --help` and reading a recipe
do not wait for OpenCV, pyarrow or numba.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from million_ird.api import explain, plan, publish, score, verify
    from million_ird.build_result import Result
    from million_ird.config.loading import load
    from million_ird.config.recipe import Recipe
    from million_ird.config.source_spec import SourceSpec
    from million_ird.workflow import Options, build

    __version__: str

__all__ = [
    "Options",
    "Recipe",
    "Result",
    "SourceSpec",
    "__version__",
    "build",
    "explain",
    "load",
    "plan",
    "publish",
    "score",
    "verify",
]

_MODULES = {
    "Options": "million_ird.workflow",
    "build": "million_ird.workflow",
    "Result": "million_ird.build_result",
    "Recipe": "million_ird.config.recipe",
    "load": "million_ird.config.loading",
    "SourceSpec": "million_ird.config.source_spec",
    "explain": "million_ird.api",
    "plan": "million_ird.api",
    "publish": "million_ird.api",
    "score": "million_ird.api",
    "verify": "million_ird.api",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return import_module("importlib.metadata").version("million-ird")
    if name not in _MODULES:
        raise AttributeError(f"module 'million_ird' has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
