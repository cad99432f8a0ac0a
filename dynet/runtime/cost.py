"""The cost of restoring one image: time and peak memory, measured around a call.

Time runs from an image on the device to the restored image there. The device's queue is empty at both ends.

Memory on a GPU is that of torch's tensors: the weights, the image, and the peak of what the call allocated in addition.
A CPU has no such count. There it is the largest resident set of the process during the call, which also contains
Python, torch, and all that was in memory before.
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
    """The cost of one call."""

    seconds: float
    peak_bytes: int | None  # None where this machine cannot measure it


class CostMeter:
    """A meter for calls on one device.

    Attributes:
        memory: What `peak_bytes` means on this device, in words.
    """

    memory: str

    def __init__(self, device: torch.device, model: nn.Module) -> None:
        self._device = device
        tensors = [*model.parameters(), *model.buffers()]
        self._weights = sum(tensor.nbytes for tensor in tensors)
        if device.type == "cuda":
            self.memory = "weights, image and the peak of all else that torch allocated on the GPU"
        elif device.type != "cpu":
            self.memory = f"not measured on {device.type}"
        elif self._reset_resident_peak():
            self.memory = "largest resident set of the whole process while restoring"
        else:
            self.memory = "largest resident set of the whole process since it began"

    def measure(self, call: Callable[[Tensor], Tensor], image: Tensor) -> tuple[Tensor, Cost]:
        """Call the function on an image that is on the device, and return its result and the cost."""
        already_allocated = self._begin()
        start = time.perf_counter()
        result = call(image)
        self._synchronise()
        seconds = time.perf_counter() - start
        return result, Cost(seconds, self._peak(already_allocated, image))

    def _begin(self) -> int:
        """Wait for the queue, reset the peak, and return how many bytes are allocated already."""
        self._synchronise()
        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._device)
            return torch.cuda.memory_allocated(self._device)
        self._reset_resident_peak()
        return 0

    def _peak(self, already_allocated: int, image: Tensor) -> int | None:
        if self._device.type == "cuda":
            # Networks of other metrics may be on the GPU; they are no part of restoring.
            extra = torch.cuda.max_memory_allocated(self._device) - already_allocated
            return self._weights + image.nbytes + extra
        return _resident_peak() if self._device.type == "cpu" else None

    def _synchronise(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        elif self._device.type == "mps":
            torch.mps.synchronize()

    @staticmethod
    def _reset_resident_peak() -> bool:
        """Reset the peak and return True, or return False where the system cannot (only Linux can)."""
        try:
            _CLEAR_REFS.write_text(_RESET_PEAK)
        except OSError:
            return False
        return True


def _resident_peak() -> int:
    """Return the largest resident set in bytes since the last reset, or since the process started."""
    try:
        # getrusage ignores the reset.
        line = next(line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 2**10
    except (OSError, StopIteration):
        return peak_resident_bytes()
