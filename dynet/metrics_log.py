"""RUN/metrics.jsonl: exactly one line for each step done, in order, also after a run was killed and resumed."""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class StepLine:
    """What is known of one step; `step` counts from 1."""

    step: int
    stage: str
    loss: float
    lr: float
    variant: str
    images_per_s: float


class MetricsLog:
    """Appends a line per step to a file that begins with the lines of the steps before `start`."""

    def __init__(self, path: Path, start: int) -> None:
        """Keep the lines of steps 1 to `start`; a killed run may have left later ones, or half of one."""
        self._path = path
        kept = path.read_text(encoding="utf-8").splitlines(keepends=True)[:start] if path.is_file() else []
        temporary = path.with_name(f".{path.name}.tmp")
        temporary.write_text("".join(kept), encoding="utf-8")
        os.replace(temporary, path)

    def append(self, lines: Sequence[StepLine]) -> None:
        """Write the lines and hand them to the disk, before the checkpoint that counts on them."""
        with self._path.open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(asdict(line)) + "\n" for line in lines)
            file.flush()
            os.fsync(file.fileno())
