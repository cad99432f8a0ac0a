"""Checkpoints: a file under RUN/checkpoints/ is complete or absent, and only the newest few and the best are kept."""

import os
import pickle
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dynet.errors import RunError, WriteError, reason_of

if TYPE_CHECKING:
    from torch import Tensor

_NAME = re.compile(r"step-(\d{8})\.pt")
BEST = "best.safetensors"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainState:
    """All that a run carries from one step to the next.

    There is no generator in it: every random choice, that of data and of variants too, is a function of the seed and
    the step.
    """

    step: int  # steps done
    model: "dict[str, Tensor]"
    optimizer: dict[str, Any]
    average: "dict[str, Tensor] | None"
    best: float | None  # the highest mean PSNR of a validation so far, in dB


def save_checkpoint(folder: Path, state: TrainState, keep: int) -> Path:
    """Write the checkpoint whole, then drop all but the newest `keep`."""
    import torch

    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"step-{state.step:08d}.pt"
    temporary = path.with_suffix(".tmp")
    fields = {name: getattr(state, name) for name in TrainState.__slots__}
    try:
        with temporary.open("wb") as file:
            torch.save(fields, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except (OSError, RuntimeError) as error:  # torch's writer has a RuntimeError for a full disk
        temporary.unlink(missing_ok=True)
        raise WriteError(f"{path} cannot be written: is the disk full? {reason_of(error)}") from error
    for _, old in _checkpoints(folder)[:-keep]:
        old.unlink()
    for left in folder.glob("*.tmp"):  # of a run that was killed while it wrote one
        left.unlink()
    return path


def _checkpoints(folder: Path) -> list[tuple[int, Path]]:
    """(step, file), oldest first."""
    if not folder.is_dir():
        return []
    matches = ((_NAME.fullmatch(path.name), path) for path in folder.iterdir())
    return sorted((int(match[1]), path) for match, path in matches if match)


def last_step(folder: Path) -> int:
    """The step of the newest checkpoint; 0 where there is none."""
    return max((step for step, _ in _checkpoints(folder)), default=0)


def load_checkpoint(folder: Path) -> TrainState | None:
    """The newest checkpoint; None where there is none."""
    import torch

    found = _checkpoints(folder)
    if not found:
        return None
    _, path = found[-1]
    try:
        return TrainState(**torch.load(path, map_location="cpu", weights_only=True))
    except (RuntimeError, EOFError, KeyError, TypeError, pickle.UnpicklingError) as error:
        raise RunError(f"{path} is damaged; delete it and --resume goes on from the one before it") from error
