"""What restoring computes in: float32, or bfloat16 on processors that multiply it natively."""

from collections.abc import Mapping
from typing import Literal

import torch

PrecisionName = Literal["auto", "fp32", "bf16"]

_NATIVE = ("avx512_bf16", "amx_bf16")
"""What torch calls the instructions; without them bfloat16 is emulated, and slower than float32."""


def choose_kind(name: PrecisionName, device: torch.device) -> torch.dtype:
    """The type for a `--precision` argument.

    `auto` takes bfloat16 on processors that have it: measured on photographs, what it costs stays far below 0.02 dB
    (`docs/restoring.md`). On a GPU, where nothing has been measured, it takes float32.
    """
    if name == "auto":
        return (
            torch.bfloat16 if device.type == "cpu" and has_native_bf16(torch.cpu.get_capabilities()) else torch.float32
        )
    return {"fp32": torch.float32, "bf16": torch.bfloat16}[name]


def has_native_bf16(capabilities: Mapping[str, object]) -> bool:
    """Whether a processor of these capabilities multiplies bfloat16 in hardware."""
    return any(capabilities.get(name) is True for name in _NATIVE)
