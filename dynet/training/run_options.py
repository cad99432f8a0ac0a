"""The options of `dynet train` beside the recipe."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dynet.data.sources import DataSource

if TYPE_CHECKING:  # the module imports torch, which a run that is already finished does not wait for
    from dynet.runtime.devices import DeviceName


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """Data, paths and device of a run: everything that a recipe does not say."""

    sources: tuple[DataSource, ...]
    out: Path
    init: Path | None
    """The weights file to start from; None starts from random weights."""
    resume: bool
    device: "DeviceName"
    stream: bool = False
    """Read built datasets as they are needed instead of downloading them first."""
    available: Callable[[], int] | None = None
    """Returns the bytes that a step on the CPU may take; None for no limit."""
