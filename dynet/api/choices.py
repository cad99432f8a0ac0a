"""The types and choices that arguments of several functions share."""

import os
from numbers import Integral
from typing import Literal, TypeAlias, cast, get_args

from dynet.arguments import as_choice, as_count, shown
from dynet.errors import UsageError

PathLike: TypeAlias = str | os.PathLike[str]
DeviceChoice: TypeAlias = Literal["auto", "cpu", "cuda", "mps"]
SelfEnsemble: TypeAlias = Literal[1, 2, 4, 8]
"""In how many orientations an image is restored, see `dynet.inference.self_ensemble`."""
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


def as_self_ensemble(value: object) -> SelfEnsemble:
    """Return a number of orientations.

    Raises:
        UsageError: It is none of 1, 2, 4 and 8.
    """
    choices = get_args(SelfEnsemble)
    if isinstance(value, bool) or not isinstance(value, Integral) or value not in choices:  # numpy's are Integral, too
        raise UsageError(f"self_ensemble: {shown(value)} is none of {', '.join(map(str, choices))}")
    return cast(SelfEnsemble, int(value))


def optional_count(name: str, value: object, *, at_least: int) -> int | None:
    """Return a whole number or None.

    Raises:
        UsageError: It is neither, or smaller than `at_least`.
    """
    return None if value is None else as_count(name, value, at_least=at_least)
