"""The RUN folder: which run it belongs to, which process may write to it, and its files.

RUN/.lock                which process may write here; the first file of a run
RUN/config.yaml          the recipe as resolved
RUN/run.json             what the result depends on: recipe, data and initial weights
RUN/checkpoints/         to resume from, and best.safetensors, the weights with the best validation
RUN/metrics.jsonl        one line per step
RUN/validation.jsonl     one line per validation
RUN/tensorboard/         the same numbers for TensorBoard
RUN/previews/            images of input, outputs and target of a few crops
RUN/diverged/            the batch of a loss that is not finite or far too large
RUN/stream/              cache of a streamed dataset
RUN/weights.safetensors  the finished network
"""

import contextlib
import fcntl
import json
import os
import re
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Self

import yaml

from dynet.config.recipe import AnyRecipe
from dynet.data.layouts import RUN_FILES
from dynet.errors import RunError, reason_of
from dynet.model.weight_parts import sha256_of
from dynet.model.weights import FILE_NAME
from dynet.runtime.atomic_files import check_output_folder, is_temporary, make_folder, naming, sweep, write_atomically
from dynet.training.checkpoints import last_step, sweep_checkpoints

RECORD, RECIPE = RUN_FILES
_CACHE_NAMES = (".arrow", ".part")
"""Suffixes of the files in RUN/stream, which a run may write before its run.json."""
_OLD_TEMPORARY = re.compile(r"\.(run\.json|config\.yaml)\.\d+\.tmp")
"""Names of unfinished files of earlier versions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunIdentity:
    """Everything that the resulting weights depend on; a resumed run must have the same."""

    recipe: dict[str, Any]
    data: str
    """Fingerprint of the images."""
    init: str | None
    """SHA-256 of the weights file to start from."""

    @classmethod
    def of(cls, recipe: AnyRecipe, data: str, init: Path | None) -> Self:
        """Return the identity of a run from its recipe, the fingerprint of its images and its initial weights file."""
        digest = sha256_of(init) if init else None
        return cls(recipe=recipe.decisive_keys(), data=data, init=digest)

    def check_equals(self, recorded: dict[str, Any], out: Path) -> None:
        """Compare with the identity that is recorded in the folder `out`.

        Raises:
            RunError: They differ; the message names the first difference.
        """
        theirs: dict[str, Any] = recorded["recipe"]
        if theirs["stage"] != self.recipe["stage"]:
            raise RunError(f"{out} holds a {theirs['stage']} run: give {self.recipe['stage']} another --out")
        for key in sorted(theirs.keys() | self.recipe.keys()):
            before, now = theirs.get(key), self.recipe.get(key)
            if before == now:
                continue
            advice = "it needs another --out"
            if (out / FILE_NAME).is_file():
                advice = f"to go on training its weights use --init {out / FILE_NAME} with another --out"
            if key == "steps":
                raise RunError(f"{out} was scheduled for {before} steps, not {now}, and cannot be resumed; {advice}")
            values = "" if isinstance(before, dict | list) else f" ({before} instead of {now})"
            raise RunError(f"{out} was started with another {key}{values}, and cannot be resumed; {advice}")
        if recorded["data"] != self.data:
            raise RunError(f"{out} was trained on other data than that of --data, and cannot be resumed")
        if recorded["init"] != self.init:
            raise RunError(f"{out} was started from other weights than those of --init, and cannot be resumed")


class RunFolder:
    """One RUN folder, locked by this process until the process ends."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: IO[str] | None = None

    record = property(lambda self: self.path / RECORD)
    checkpoints = property(lambda self: self.path / "checkpoints")
    metrics = property(lambda self: self.path / "metrics.jsonl")
    validation = property(lambda self: self.path / "validation.jsonl")
    previews = property(lambda self: self.path / "previews")
    diverged = property(lambda self: self.path / "diverged")
    stream = property(lambda self: self.path / "stream")
    weights = property(lambda self: self.path / FILE_NAME)

    def check_free(self, *, resume: bool) -> None:
        """Check that a run may start, or go on, in this folder. Writes nothing, and is cheap.

        Raises:
            UsageError: The folder cannot be created or written to.
            RunError: It holds a run and `resume` is False, or it holds something else.
        """
        if self.path.exists() and not self.path.is_dir():
            raise RunError(f"--out {self.path} is a file, not a folder")
        check_output_folder(self.path)
        if self._is_begun() and not resume:
            raise RunError(
                f"{self.path} already holds a run ({last_step(self.path / 'checkpoints')} steps done): "
                "--resume goes on with it, another --out starts a new one"
            )
        if self.path.is_dir() and not self.record.exists():
            foreign = sorted(entry.name for entry in self.path.iterdir() if not _is_of_killed_start(entry))
            if "checkpoints" in foreign:
                raise RunError(f"--out {self.path} holds a run without its run.json, and cannot be identified")
            if foreign:
                raise RunError(f"--out {self.path} holds something else ({foreign[0]}): name a new folder")

    def open(self, identity: RunIdentity, recipe: AnyRecipe) -> None:
        """Lock the folder for this run, and record its identity or compare it with the recorded one.

        Raises:
            RunError: Another process is writing to the folder, or it belongs to another run.
        """
        make_folder(self.path)
        self._lock = self._acquire()
        self._sweep()
        if self._is_begun():
            identity.check_equals(_read_record(self.record), self.path)
        else:
            fields = {"recipe": identity.recipe, "data": identity.data, "init": identity.init}
            write_atomically(self.record, json.dumps(fields, indent=1))
        write_atomically(self.path / RECIPE, yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False))

    def _sweep(self) -> None:
        """Remove what killed processes left unfinished; this process has the lock and has written nothing yet."""
        for folder in (self.path, self.previews, self.diverged):
            sweep(folder)
        sweep_checkpoints(self.checkpoints)
        for entry in self.path.iterdir():
            if _OLD_TEMPORARY.fullmatch(entry.name):
                entry.unlink(missing_ok=True)

    def _acquire(self) -> IO[str]:
        """Lock RUN/.lock. Another process may remove or replace it meanwhile: then the lock is that of no name."""
        path = self.path / ".lock"
        while True:
            lock = path.open("a+")
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                lock.seek(0)
                owner = lock.readline(200).strip() or "another run"
                lock.close()
                raise RunError(f"{self.path} is in use: {owner} is writing to it") from error
            if _is_at(lock, path):
                with naming(path):
                    lock.truncate(0)
                    lock.write(f"dynet train, pid {os.getpid()} on {socket.gethostname()}\n")
                    lock.flush()
                return lock
            lock.close()

    def _is_begun(self) -> bool:
        """Return whether there is a checkpoint or finished weights; a run may also stop before its first checkpoint."""
        return last_step(self.checkpoints) > 0 or self.is_finished()

    def is_finished(self) -> bool:
        """Return whether the weights of the last step are written."""
        return bool(self.weights.is_file())

    def close(self) -> None:
        """Release the lock; the end of the process, even when killed, does the same."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None


def _is_at(file: IO[str], path: Path) -> bool:
    """Return whether an open file is the one that has this path now."""
    with contextlib.suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    return False


def _is_of_killed_start(entry: Path) -> bool:
    """Return whether a run that was killed before its run.json may have left this in its folder."""
    if entry.name == "stream":
        # Others may have a folder of this name, so its content decides.
        return all(inner.name == "locks" or inner.suffix in _CACHE_NAMES for inner in entry.iterdir())
    return entry.name == ".lock" or is_temporary(entry) or _OLD_TEMPORARY.fullmatch(entry.name) is not None


def _read_record(path: Path) -> dict[str, Any]:
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(record["recipe"]["stage"], str) or not {"data", "init"} <= record.keys():
            raise ValueError("a run does not write such a file")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{path}, which identifies the run, is missing or damaged: {reason_of(error)}") from error
    return record
