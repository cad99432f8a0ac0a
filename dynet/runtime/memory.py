"""Memory of this process and of its device: how much it has used, how to keep it, and errors when none is left."""

import ctypes
import platform
import resource
import sys

import torch

from dynet.errors import OutOfMemory

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # mallopt(3)
_NEVER = 2**31 - 1


def peak_memory_mb(device: torch.device) -> dict[str, float]:
    """Return the peak memory so far: `cpu_mb`, resident in this process, and on a GPU `gpu_mb`, allocated by torch."""
    peak = {"cpu_mb": round(peak_resident_bytes() / 2**20, 1)}
    if device.type == "cuda":
        peak["gpu_mb"] = round(torch.cuda.max_memory_allocated(device) / 2**20, 1)
    return peak


def peak_resident_bytes() -> int:
    """Return the largest resident set of this process since it started."""
    unit = 1 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def keep_freed_memory() -> bool:
    """Make this process reuse the memory that it frees; its resident memory then stays at its peak.

    glibc returns large blocks to the system at once and requests new ones, and the system clears each page when it is
    first used. For a network whose features take tens of megabytes, that takes longer than the arithmetic. The setting
    holds for the whole process, so programs should call this, not libraries.

    Returns:
        Whether it took effect, which is so with glibc only.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return bool(mallopt(_MMAP_MAX, 0)) and bool(mallopt(_TRIM_THRESHOLD, _NEVER))


def is_out_of_memory(error: RuntimeError) -> bool:
    """Return whether torch raised the error because a device, or this machine, has no memory left."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def out_of_memory(step: int, crop: int, batch: int, *, checkpointing: bool) -> OutOfMemory:
    """Return the error for a training step: which settings to lower, and which of them a resumed run may change."""
    saver = "" if checkpointing else "gradient_checkpointing: true (also with --resume), or "
    return OutOfMemory(
        f"out of memory in step {step} with batch: {batch} and crop: {crop}; set {saver}a lower batch, a lower crop "
        "or precision: bf16 in a new run"
    )
