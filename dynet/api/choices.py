"""The types and choices that arguments of several functions share."""

import os
from typing import Literal, TypeAlias, cast, get_args

from dynet.arguments import as_choice, as_count

PathLike: TypeAlias = str | os.PathLike[str]
DeviceChoice: TypeAlias = Literal["auto", "cpu", "cuda", "mps"]
MIN_TILE = 32
"""Side in pixels of the smallest tile that a user can choose; `dynet.inference.memory` chooses none under 64."""
MIN_WINDOW = 64
"""Side in pixels of the smallest window of attention (`local_statistics`)."""


def as_device(device: object) -> DeviceChoice:
    """Return the name of a kind of device.

    Raises:
        UsageError: It is no such name; whether this machine has one is checked where it is used.
    """
    return cast(DeviceChoice, as_choice("device", device, get_args(DeviceChoice)))


def optional_count(name: str, value: object, *, at_least: int) -> int | None:
    """Return a whole number or None.

    Raises:
        UsageError: It is neither, or smaller than `at_least`.
    """
    return None if value is None else as_count(name, value, at_least=at_least)
