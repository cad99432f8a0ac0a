"""DyNet: one network for image restoration whose depth is chosen per call.

The names below are the whole public surface. They are loaded on first use, so that `dynet --help` and reading a
recipe do not wait for torch.
"""

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from dynet.extras import missing_extra
from dynet.version import __version__

if TYPE_CHECKING:
    from dynet.api.exporting import export
    from dynet.api.restoring import restore
    from dynet.api.training import evaluate, train
    from dynet.model.network import DyNet
    from dynet.model.variants import LARGE, SMALL, ReuseSchedule, Variant
    from dynet.spandrel.foreign_network import load_spandrel

__all__ = [
    "LARGE",
    "SMALL",
    "DyNet",
    "ReuseSchedule",
    "Variant",
    "__version__",
    "evaluate",
    "export",
    "load_spandrel",
    "restore",
    "train",
]

_HOMES = {
    "DyNet": "dynet.model.network",
    "LARGE": "dynet.model.variants",
    "SMALL": "dynet.model.variants",
    "ReuseSchedule": "dynet.model.variants",
    "Variant": "dynet.model.variants",
    "evaluate": "dynet.api.training",
    "export": "dynet.api.exporting",
    "load_spandrel": "dynet.spandrel.foreign_network",
    "restore": "dynet.api.restoring",
    "train": "dynet.api.training",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        other = "; CMU's toolkit of the same name needs an environment of its own" if find_spec("_dynet") else ""
        raise AttributeError(f"module 'dynet' of million-ird has no attribute {name!r}{other}")
    try:
        return getattr(import_module(_HOMES[name]), name)
    except ModuleNotFoundError as error:
        if (missing := missing_extra(error)) is None:
            raise
        raise missing from error


def __dir__() -> list[str]:
    return sorted(__all__)
