"""DyNet: one network for image restoration whose depth is chosen per call.

The names below are the whole public surface. They are loaded on first use, so that `dynet --help` and reading a
recipe do not wait for torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from dynet.version import __version__

if TYPE_CHECKING:
    from dynet.model.network import DyNet
    from dynet.model.variants import LARGE, SMALL, ReuseSchedule, Variant
    from dynet.spandrel.foreign_network import load_spandrel

__all__ = ["LARGE", "SMALL", "DyNet", "ReuseSchedule", "Variant", "__version__", "load_spandrel"]

_HOMES = {
    "DyNet": "dynet.model.network",
    "LARGE": "dynet.model.variants",
    "SMALL": "dynet.model.variants",
    "ReuseSchedule": "dynet.model.variants",
    "Variant": "dynet.model.variants",
    "load_spandrel": "dynet.spandrel.foreign_network",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'dynet' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
