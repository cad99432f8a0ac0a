"""Options that several commands share."""

from enum import StrEnum
from typing import Annotated

import typer


class Device(StrEnum):
    """Where to compute; auto takes a GPU where there is one."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"
    mps = "mps"


DeviceOption = Annotated[Device, typer.Option(help="Where to compute; auto takes a GPU if there is one.")]
WeightsOption = Annotated[
    str,
    typer.Option(help="A weights file, a folder that holds one, the name of shipped weights, or a Hub repository."),
]
DEFAULT_WEIGHTS = "laptop"
"""What `restore` and `demo` take without `--weights`: weights that come with the package."""
