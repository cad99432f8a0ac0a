"""The files metrics.jsonl and validation.jsonl of a run: a line for each step or validation, in order.

They are in order, and have no line twice, also after a run was killed and resumed.
"""

import json
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from dynet.runtime.atomic_files import naming, write_atomically

logger = logging.getLogger(__name__)
Parsed = TypeVar("Parsed")


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
        lines = read_lines(path, lambda line: (values_of(line)["step"], line), may_end_early=True)
        write_atomically(path, "".join(f"{line}\n" for step, line in lines if step <= start))

    def append(self, lines: Sequence[StepLine | ValidationLine]) -> None:
        """Write the lines and flush them to the disk, before the checkpoint that relies on them."""
        with naming(self._path), self._path.open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(_non_empty_fields(line)) + "\n" for line in lines)
            file.flush()
            os.fsync(file.fileno())


def read_lines(path: Path, parse: Callable[[str], Parsed], *, may_end_early: bool = False) -> list[Parsed]:
    """Read the lines of a log; those that are damaged are left out, with one warning.

    A machine that crashes and a full disk may leave anything in the place of a line, and half a line at the end.

    Args:
        path: The file; one that is missing has no lines.
        parse: Reads one line without its end, such as `values_of`; for a damaged one it raises a ValueError, KeyError
            or TypeError.
        may_end_early: Whether half a line at the end is left out silently, since its step will be done again.
    """
    if not path.is_file():
        return []
    *lines, rest = path.read_text(encoding="utf-8", errors="replace").split("\n")
    parsed, damaged = [], []
    for number, line in enumerate(lines, 1):
        try:
            parsed.append(parse(line))
        except (ValueError, KeyError, TypeError):
            damaged.append(number)
    if rest and not may_end_early:
        damaged.append(len(lines) + 1)
    if damaged:
        more = f" (and {len(damaged) - 1} more)" if len(damaged) > 1 else ""
        logger.warning("%s: line %d%s is damaged and left out", path, damaged[0], more)
    return parsed


def values_of(line: str) -> dict[str, Any]:
    """Return the values of a line by name.

    Raises:
        ValueError: It is not a line that a run writes.
    """
    values = json.loads(line)
    if not isinstance(values, dict) or type(values.get("step")) is not int:
        raise ValueError("a run does not write such a line")
    return values


def _non_empty_fields(line: StepLine | ValidationLine) -> dict[str, Any]:
    return {name: value for name, value in asdict(line).items() if value is not None and value != {}}
