"""What restoring one picture costs: time and peak memory, measured around a call.

Time is from a picture on the device to its restoration there, with the device's queue empty at both ends.

Memory is on a GPU that of torch's tensors: weights, picture, and the most that the call held beside them at a time.
On a CPU there is no such count; it is the process's largest resident set during the call, which also holds Python,
torch, and whatever was in memory before.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from dynet.runtime.memory import peak_resident_bytes

MB = 2**20
_CLEAR_REFS, _STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")
_RESET_PEAK = "5"  # man 5 proc: resets the peak resident set size to the current one


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one call."""

    seconds: float
    peak_bytes: int | None  # None where this machine cannot tell


class CostMeter:
    """Measures calls on one device; `memory` says in words what its `peak_bytes` is."""

    memory: str

    def __init__(self, device: torch.device, model: nn.Module) -> None:
        self._device = device
        tensors = [*model.parameters(), *model.buffers()]
        self._weights = sum(tensor.nbytes for tensor in tensors)
        if device.type == "cuda":
            self.memory = "weights, picture and the most that torch held beside them on the GPU"
        elif device.type != "cpu":
            self.memory = f"not measured on {device.type}"
        elif self._reset_resident_peak():
            self.memory = "largest resident set of the whole process while restoring"
        else:
            self.memory = "largest resident set of the whole process since it began"

    def measure(self, call: Callable[[Tensor], Tensor], picture: Tensor) -> tuple[Tensor, Cost]:
        """The call's result for a picture that is on the device, and what it cost."""
        before = self._begin()
        began = time.perf_counter()
        result = call(picture)
        self._synchronise()
        seconds = time.perf_counter() - began
        return result, Cost(seconds, self._peak(before, picture))

    def _begin(self) -> int:
        """Empty the queue and forget the last peak; returns what is allocated already."""
        self._synchronise()
        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._device)
            return torch.cuda.memory_allocated(self._device)
        self._reset_resident_peak()
        return 0

    def _peak(self, before: int, picture: Tensor) -> int | None:
        if self._device.type == "cuda":
            # Networks of other metrics may lie on the GPU; they are not part of restoring.
            beside = torch.cuda.max_memory_allocated(self._device) - before
            return self._weights + picture.nbytes + beside
        return _resident_peak() if self._device.type == "cpu" else None

    def _synchronise(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        elif self._device.type == "mps":
            torch.mps.synchronize()

    @staticmethod
    def _reset_resident_peak() -> bool:
        """Only Linux can, and not in every sandbox; True if it did."""
        try:
            _CLEAR_REFS.write_text(_RESET_PEAK)
        except OSError:
            return False
        return True


def _resident_peak() -> int:
    """The largest resident set in bytes since the last reset, or since the process began."""
    try:
        # Resetting does not reach what getrusage says.
        line = next(line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 2**10
    except (OSError, StopIteration):
        return peak_resident_bytes()
