"""RUN/metrics.jsonl and RUN/validation.jsonl: one line for each step done or validated, in order, also after a run
was killed and resumed.
"""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from dynet.runtime.atomic_files import write_whole


@dataclass(frozen=True, slots=True)
class StepLine:
    """What is known of one step; `step` counts from 1."""

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
    """PSNR in dB on held-out pictures, by task and variant, when `step` steps were done."""

    step: int
    mean: float
    psnr: Mapping[str, Mapping[str, float]]


class LineLog:
    """Appends lines to a file that begins with those of the steps up to `start`."""

    def __init__(self, path: Path, start: int) -> None:
        """Keep the lines of steps up to `start`; a killed run may have left later ones, or half of one."""
        self._path = path
        text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
        write_whole(path, "".join(_until(text.splitlines(keepends=True), start)))

    def append(self, lines: Sequence[StepLine | ValidationLine]) -> None:
        """Write the lines and hand them to the disk, before the checkpoint that counts on them."""
        with self._path.open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(_told(line)) + "\n" for line in lines)
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
    """The step of a line; None of half a line, and of anything else that a killed machine may leave."""
    try:
        return int(json.loads(line)["step"]) if line.endswith("\n") else None
    except (ValueError, KeyError, TypeError):
        return None


def _told(line: StepLine | ValidationLine) -> dict[str, Any]:
    """The line's fields, without those that say nothing."""
    return {name: value for name, value in asdict(line).items() if value is not None and value != {}}
