"""Checkpoints: each file in RUN/checkpoints/ is complete or absent, and only the newest few and the best are kept."""

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
    """Everything that a run carries from one step to the next; the field names are the keys of a checkpoint file.

    There is no random state in it: every random choice, of data and of variants, is a function of the seed and the
    step.
    """

    step: int
    """Steps done."""
    model: "dict[str, Tensor]"
    optimizer: dict[str, Any]
    average: "dict[str, Tensor] | None"
    best: float | None
    """The highest mean PSNR of a validation so far, in dB."""


def save_checkpoint(folder: Path, state: TrainState, keep: int) -> Path:
    """Write a checkpoint as a whole, then delete all but the newest `keep`.

    Raises:
        WriteError: The file cannot be written, for example because the disk is full.
    """
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
    except (OSError, RuntimeError) as error:  # torch's writer raises RuntimeError if the disk is full
        temporary.unlink(missing_ok=True)
        raise WriteError(f"{path} cannot be written: is the disk full? {reason_of(error)}") from error
    for _, old in _checkpoints(folder)[:-keep]:
        old.unlink()
    for leftover in folder.glob("*.tmp"):  # of a run that was killed while it wrote a checkpoint
        leftover.unlink()
    return path


def _checkpoints(folder: Path) -> list[tuple[int, Path]]:
    """Return (step, file) of each checkpoint, oldest first."""
    if not folder.is_dir():
        return []
    matches = ((_NAME.fullmatch(path.name), path) for path in folder.iterdir())
    return sorted((int(match[1]), path) for match, path in matches if match)


def last_step(folder: Path) -> int:
    """Return the step of the newest checkpoint; 0 if there is none."""
    return max((step for step, _ in _checkpoints(folder)), default=0)


def load_checkpoint(folder: Path) -> TrainState | None:
    """Read the newest checkpoint; return None if there is none.

    Raises:
        RunError: The file is damaged.
    """
    import torch

    checkpoints = _checkpoints(folder)
    if not checkpoints:
        return None
    _, path = checkpoints[-1]
    try:
        return TrainState(**torch.load(path, map_location="cpu", weights_only=True))
    except (RuntimeError, EOFError, KeyError, TypeError, pickle.UnpicklingError) as error:
        raise RunError(f"{path} is damaged; delete it and --resume goes on from the one before it") from error
