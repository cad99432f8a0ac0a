"""Which device a `--device` argument names on this machine."""

from typing import Literal

import torch

from dynet.errors import UsageError

DeviceName = Literal["auto", "cpu", "cuda", "mps"]


def resolve_device(name: DeviceName) -> torch.device:
    """Return the named device, or for `auto` the fastest kind that is available.

    Raises:
        UsageError: The machine has no such device.
    """
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return torch.device(next(kind for kind, is_available in available.items() if is_available))
    if not available[name]:
        raise UsageError(f"--device {name}: this machine has no such device that torch can use")
    return torch.device(name)
