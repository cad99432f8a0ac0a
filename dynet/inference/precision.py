"""What restoring computes in: float32, or bfloat16 on processors that multiply it faster."""

from collections.abc import Mapping
from typing import Literal

import torch

PrecisionName = Literal["auto", "fp32", "bf16"]


def choose_kind(name: PrecisionName, device: torch.device) -> torch.dtype:
    """The type for a `--precision` argument.

    `auto` takes bfloat16 on processors that gain by it: measured on photographs, what it costs stays far below 0.02 dB
    (`docs/restoring.md`). On a GPU, where it gains a sixth, `auto` takes float32.
    """
    if name == "auto":
        return torch.bfloat16 if device.type == "cpu" and gains_by_bf16(torch.cpu.get_capabilities()) else torch.float32
    return {"fp32": torch.float32, "bf16": torch.bfloat16}[name]


def gains_by_bf16(capabilities: Mapping[str, object]) -> bool:
    """Whether a processor of these capabilities, as torch names them, multiplies bfloat16 faster than float32.

    AMX does, and so does AVX-512 BF16 on AMD's processors. On Intel's, where AMX is missing or hidden by a virtual
    machine, the same instructions were measured to take 1.4 times as long as float32; elsewhere bfloat16 is emulated.
    """
    if capabilities.get("amx_bf16") is True:
        return True
    return capabilities.get("avx512_bf16") is True and "intel" not in str(capabilities.get("cpu_name", "")).lower()
