"""Options that several commands share."""

from enum import StrEnum
from typing import Annotated, Literal

import typer


class Device(StrEnum):
    """Where to compute; auto takes a GPU where there is one."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"
    mps = "mps"


DeviceOption = Annotated[Device, typer.Option(help="Where to compute; auto takes a GPU if there is one.")]
SelfEnsembleOption = Annotated[
    Literal["1", "2", "4", "8"],
    typer.Option(help="Restore so many times, turned and mirrored, and average; takes as many times as long."),
]
WeightsOption = Annotated[
    str,
    typer.Option(help="A weights file, a folder that holds one, the name of shipped weights, or a Hub repository."),
]
DEFAULT_WEIGHTS = "laptop"
"""What `restore` and `demo` take without `--weights`: weights that come with the package."""
