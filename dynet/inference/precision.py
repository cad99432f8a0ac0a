"""The data type for inference: float32, or bfloat16 on processors that multiply it faster."""

from collections.abc import Mapping
from typing import Literal

import torch

PrecisionName = Literal["auto", "fp32", "bf16"]


def choose_dtype(name: PrecisionName, device: torch.device) -> torch.dtype:
    """Return the data type for a `--precision` argument.

    `auto` is bfloat16 on CPUs that are faster with it; on photographs it costs far less than 0.02 dB
    (`docs/restoring.md`). On a GPU, where bfloat16 saves a sixth of the time, `auto` is float32.
    """
    if name == "auto":
        return (
            torch.bfloat16
            if device.type == "cpu" and is_faster_in_bf16(torch.cpu.get_capabilities())
            else torch.float32
        )
    return {"fp32": torch.float32, "bf16": torch.bfloat16}[name]


def is_faster_in_bf16(capabilities: Mapping[str, object]) -> bool:
    """Return whether a CPU multiplies bfloat16 faster than float32.

    It is faster with AMX, and with AVX-512 BF16 on AMD processors. On Intel processors without AMX, or where a virtual
    machine hides it, the same instructions were measured to take 1.4 times as long as float32. Elsewhere bfloat16 is
    emulated.

    Args:
        capabilities: As `torch.cpu.get_capabilities` returns them.
    """
    if capabilities.get("amx_bf16") is True:
        return True
    return capabilities.get("avx512_bf16") is True and "intel" not in str(capabilities.get("cpu_name", "")).lower()
