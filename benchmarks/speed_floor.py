"""Lower bound for the time of a pass on this device: its arithmetic and bytes, divided by measured rates."""

import math
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from dynet import DyNet, Variant

# Operations that read and write memory even if everything else is fused into them.
PRODUCTS = {"mm", "bmm", "addmm", "convolution"}


class _Traffic(TorchDispatchMode):
    """Counts the bytes of all operands and results of convolutions and matrix products."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size, self.bytes = size, 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if func.overloadpacket.__name__ in PRODUCTS:
            self.bytes += sum(leaf.numel() * self.size for leaf in tree_leaves((args, out)) if isinstance(leaf, Tensor))
        return out


def work(variant: Variant, shape: tuple[int, ...], dtype: torch.dtype, *, training: bool) -> tuple[float, float]:
    """Return (floating-point operations, bytes) of the products in one pass over a batch, without computing them.

    A training step counts as three forward passes, since torch counts grouped convolutions of a backward pass as dense.
    """
    with torch.device("meta"):
        model, x = DyNet(), torch.empty(shape)
    with torch.no_grad(), FlopCounterMode(display=False) as counter, _Traffic(dtype.itemsize) as moved:
        model(x, variant)
    passes = 3 if training else 1
    return float(passes * counter.get_total_flops()), float(passes * moved.bytes)


def _best(function: Callable[[], object], device: torch.device, repeats: int = 5) -> float:
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        function()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - start)
    return min(times[1:])


def rates(device: torch.device, dtype: torch.dtype) -> tuple[float, float]:
    """Return (floating-point operations per second of a large matrix product, bytes per second of a large copy)."""
    side = 8192 if device.type == "cuda" else 2048
    a = torch.rand(side, side, device=device).to(dtype)
    out = torch.empty_like(a)
    flops = 2 * side**3 / _best(lambda: torch.mm(a, a, out=out), device)
    source = torch.rand(2**30 if device.type == "cuda" else 2**26, device=device)
    target = torch.empty_like(source)
    moved = 2 * source.numel() * source.itemsize / _best(lambda: target.copy_(source), device)
    return flops, moved


def floor(variant: Variant, shape: tuple[int, ...], device: torch.device, *, training: bool) -> dict[str, Any]:
    """Return milliseconds of one pass by number format, for its arithmetic and for its bytes, and the rates."""
    by_dtype: dict[str, Any] = {}
    for name, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
        flops, moved = work(variant, shape, dtype, training=training)
        per_second, bandwidth = rates(device, dtype)
        by_dtype[name] = {
            "gflop": round(flops / 1e9, 1),
            "gb": round(moved / 1e9, 2),
            "gflop_per_s": round(per_second / 1e9),
            "gb_per_s": round(bandwidth / 1e9, 1),
            "arithmetic_ms": _ms(flops / per_second),
            "bytes_ms": _ms(moved / bandwidth),
        }
    return by_dtype


def _ms(seconds: float) -> float:
    return round(seconds * 1e3, max(0, 2 - math.floor(math.log10(seconds * 1e3))))
