"""The files metrics.jsonl and validation.jsonl of a run: a line for each step or validation, in order.

They are in order, and have no line twice, also after a run was killed and resumed.
"""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from dynet.runtime.atomic_files import naming, write_atomically


@dataclass(frozen=True, slots=True)
class StepLine:
    """The metrics of one step; `step` counts from 1."""

    step: int
    stage: str
    loss: float  # of the variant that learns from the clean crops
    lr: float
    variant: str
    images_per_s: float
    data_wait: float  # share of the time that was spent waiting for crops
    distilled: Mapping[str, float] = field(default_factory=dict)  # losses of the variants that learn from the first
    gradient_norm: float | None = None
    cpu_mb: float | None = None
    gpu_mb: float | None = None


@dataclass(frozen=True, slots=True)
class ValidationLine:
    """PSNR in dB on held-out images, by task and variant, after `step` steps."""

    step: int
    mean: float
    psnr: Mapping[str, Mapping[str, float]]


class LineLog:
    """A JSON-lines file that a resumed run goes on writing."""

    def __init__(self, path: Path, start: int) -> None:
        """Keep the lines of steps up to `start`; a killed run may have left later ones, or half of one."""
        self._path = path
        text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
        write_atomically(path, "".join(_until(text.splitlines(keepends=True), start)))

    def append(self, lines: Sequence[StepLine | ValidationLine]) -> None:
        """Write the lines and flush them to the disk, before the checkpoint that relies on them."""
        with naming(self._path), self._path.open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(_non_empty_fields(line)) + "\n" for line in lines)
            file.flush()
            os.fsync(file.fileno())


def _until(lines: Iterable[str], start: int) -> list[str]:
    kept = []
    for line in lines:
        step = _step(line)
        if step is None or step > start:
            break
        kept.append(line)
    return kept


def _step(line: str) -> int | None:
    """Return the step of a line; None for half a line, and for whatever else a machine that crashed may leave."""
    try:
        return int(json.loads(line)["step"]) if line.endswith("\n") else None
    except (ValueError, KeyError, TypeError):
        return None


def _non_empty_fields(line: StepLine | ValidationLine) -> dict[str, Any]:
    return {name: value for name, value in asdict(line).items() if value is not None and value != {}}
