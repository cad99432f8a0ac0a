"""Which device a `--device` argument names on this machine."""

import torch

from dynet.errors import UsageError
from dynet.training.run_options import DeviceName


def resolve_device(name: DeviceName) -> torch.device:
    """The named device, or for `auto` the fastest kind there is; one that is not there is refused in one line."""
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return torch.device(next(kind for kind, available in there.items() if available))
    if not there[name]:
        raise UsageError(f"--device {name}: this machine has no such device that torch can use")
    return torch.device(name)
