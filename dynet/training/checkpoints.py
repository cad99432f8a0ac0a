"""Checkpoints: each file in RUN/checkpoints/ is complete or absent, and only the newest few and the best are kept.

A checkpoint is a file of torch that ends with the SHA-256 of all bytes before it; torch ignores what follows its
archive. The content says that there is a digest, so that one that is cut off or damaged is missed. Checkpoints of
earlier versions have none: of them, only the checksums that torch stores for each tensor are compared.
"""

import hashlib
import logging
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from dynet.errors import OutOfMemory, RunError, WriteError, reason_of
from dynet.runtime.atomic_files import make_folder, replacing, sweep

if TYPE_CHECKING:
    from torch import Tensor

log = logging.getLogger(__name__)
_NAME = re.compile(r"step-(\d{8})\.pt")
BEST = "best.safetensors"
_END = b"\ndynet-sha256:"
_END_SIZE = len(_END) + 64 + 1
_HAS_DIGEST = "has_digest"
"""A key of the content beside the fields of `TrainState`."""


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

    path = folder / f"step-{state.step:08d}.pt"
    fields = {name: getattr(state, name) for name in TrainState.__slots__}
    try:
        make_folder(folder)
        with replacing(path) as temporary, temporary.open("wb") as file:
            hashing = _HashingFile(file)
            torch.save(fields | {_HAS_DIGEST: True}, hashing)  # type: ignore[arg-type]  # it calls write and flush
            file.write(_end_of(hashing.digest.hexdigest()))
    except (OSError, RuntimeError) as error:  # torch's writer raises RuntimeError if the disk is full
        raise WriteError(f"{path} cannot be written: is the disk full? {reason_of(error)}") from error
    for _, old in _checkpoints(folder)[:-keep]:
        old.unlink()
    sweep_checkpoints(folder)
    return path


class _HashingFile:
    """A file to write to that hashes what is written."""

    def __init__(self, file: IO[bytes]) -> None:
        self.digest = hashlib.sha256()
        self._file = file

    def write(self, content: bytes) -> int:
        self.digest.update(content)
        return self._file.write(content)

    def flush(self) -> None:
        self._file.flush()


def _end_of(digest: str) -> bytes:
    return _END + digest.encode() + b"\n"


def sweep_checkpoints(folder: Path) -> None:
    """Remove what killed processes left of unfinished checkpoints. The caller holds the run's lock."""
    sweep(folder)
    for leftover in folder.glob("step-*.tmp"):  # of a version that had no process id in the name
        leftover.unlink(missing_ok=True)


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
        RunError: The file is damaged; the message names it, and the newest whole one that is left without it.
        OutOfMemory: There is too little memory for its content.
    """
    checkpoints = _checkpoints(folder)
    if not checkpoints:
        return None
    _, path = checkpoints[-1]
    try:
        return _read(path)
    except _Damaged as error:
        raise RunError(f"{path} is damaged ({error}); {_advice(checkpoints)}") from error


class _Damaged(Exception):
    """A checkpoint is not what was written; the message says how that shows."""


def _advice(checkpoints: list[tuple[int, Path]]) -> str:
    """Say which files to delete, and where --resume goes on then."""
    damaged: list[str] = []
    for step, path in reversed(checkpoints):
        try:
            if damaged:  # the newest is known to be damaged
                _read(path)
                return f"delete {' and '.join(damaged)}, and --resume goes on from step {step}, which is whole"
        except _Damaged:
            pass
        damaged.append(path.name)
    return f"no other is whole: delete {' and '.join(damaged)}, and --resume begins at the first step again"


def _read(path: Path) -> TrainState:
    """Read a checkpoint and compare its digest.

    Raises:
        _Damaged: It is not what was written.
    """
    import torch

    from dynet.runtime.memory import is_out_of_memory

    has_digest = _check_digest(path)
    try:
        fields = torch.load(path, map_location="cpu", weights_only=True)
        if fields.pop(_HAS_DIGEST, False) and not has_digest:
            raise _Damaged("its end, which has the digest, is missing")
        state = TrainState(**fields)
        if not isinstance(state.step, int) or not isinstance(state.model, dict):
            raise _Damaged("its content is no checkpoint")
    except (_Damaged, MemoryError):
        raise
    except Exception as error:  # whatever a damaged archive or pickle makes its readers raise
        if has_digest and isinstance(error, RuntimeError) and is_out_of_memory(error):
            raise OutOfMemory(f"out of memory while reading {path}") from error
        raise _Damaged(f"it cannot be read: {reason_of(error)}") from error
    if not has_digest:
        _check_checksums(path)
        log.warning("%s is of an earlier version of dynet and has no digest: damage to it may go unseen", path)
    return state


def _check_digest(path: Path) -> bool:
    """Return whether a checkpoint ends with a digest.

    Raises:
        _Damaged: It does not fit the content, or the file cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            left = max(path.stat().st_size - _END_SIZE, 0)
            while left and (chunk := file.read(min(left, 1 << 20))):
                digest.update(chunk)
                left -= len(chunk)
            end = file.read()
    except OSError as error:
        raise _Damaged(f"it cannot be read: {reason_of(error)}") from error
    if not end.startswith(_END):
        return False
    if end != _end_of(digest.hexdigest()):
        raise _Damaged("its digest does not fit its content")
    return True


def _check_checksums(path: Path) -> None:
    """Compare the checksums that torch stored with the parts of a checkpoint.

    Raises:
        _Damaged: One differs.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            part = archive.testzip()
    except Exception as error:  # zipfile, too, raises many things at damaged archives
        raise _Damaged(f"its archive cannot be read: {reason_of(error)}") from error
    if part is not None:
        raise _Damaged(f"the checksum of its part {part} differs")
