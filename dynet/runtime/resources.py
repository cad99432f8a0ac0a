"""Memory that a run takes, for its log, and running out of it."""

import resource
import sys

import torch

from dynet.errors import OutOfMemory


def peak_memory_mb(device: torch.device) -> dict[str, float]:
    """The most that this process has held so far: `cpu_mb`, resident, and on a GPU `gpu_mb`, allocated by torch."""
    peak = {"cpu_mb": round(peak_resident_bytes() / 2**20, 1)}
    if device.type == "cuda":
        peak["gpu_mb"] = round(torch.cuda.max_memory_allocated(device) / 2**20, 1)
    return peak


def peak_resident_bytes() -> int:
    """The largest resident set of this process since it began."""
    unit = 1 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def is_out_of_memory(error: RuntimeError) -> bool:
    """True for what torch raises when a device, or the machine, has no memory left."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def out_of_memory(step: int, crop: int, batch: int, *, checkpointing: bool) -> OutOfMemory:
    """What to tell a user: which settings to lower, and which of them a resumed run may change."""
    saver = "" if checkpointing else "gradient_checkpointing: true (also with --resume), or "
    return OutOfMemory(
        f"out of memory in step {step} with batch: {batch} and crop: {crop}; set {saver}a lower batch, a lower crop "
        "or precision: bf16 in a new run"
    )
