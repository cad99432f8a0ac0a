"""The RUN folder: who may write to it, which run it belongs to, and where things are in it.

RUN/config.yaml          the recipe as resolved
RUN/run.json             what decides the result: recipe, data and initial weights
RUN/checkpoints/         to resume from, and best.safetensors, the best weights of a validation
RUN/metrics.jsonl        one line per step
RUN/validation.jsonl     one line per validation
RUN/tensorboard/         the same for TensorBoard
RUN/previews/            input, outputs and target of a few crops
RUN/diverged/            the batch that a loss beyond all bounds came from
RUN/stream/              what a streamed data set keeps for a while
RUN/weights.safetensors  the finished network
"""

import fcntl
import json
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Self

import yaml

from dynet.config.recipe import AnyRecipe
from dynet.errors import RunError, reason_of
from dynet.model.weight_parts import sha256_of
from dynet.model.weights import FILE_NAME
from dynet.runtime.atomic_files import write_whole
from dynet.training.train_state import last_step


@dataclass(frozen=True, slots=True, kw_only=True)
class RunIdentity:
    """What decides the weights that come out; a resumed run must have the same."""

    recipe: dict[str, Any]
    data: str
    init: str | None

    @classmethod
    def of(cls, recipe: AnyRecipe, data: str, init: Path | None) -> Self:
        """`data` is the fingerprint of the pictures, `init` the weights file to start from."""
        digest = sha256_of(init) if init else None
        return cls(recipe=recipe.decisive(), data=data, init=digest)

    def refuse_other_than(self, recorded: dict[str, Any], out: Path) -> None:
        """Raise, naming the first difference, unless `recorded` is this identity."""
        theirs: dict[str, Any] = recorded["recipe"]
        if theirs["stage"] != self.recipe["stage"]:
            raise RunError(f"{out} holds a {theirs['stage']} run: give {self.recipe['stage']} another --out")
        for key in sorted(theirs.keys() | self.recipe.keys()):
            before, now = theirs.get(key), self.recipe.get(key)
            if before == now:
                continue
            advice = "it needs another --out"
            if (out / FILE_NAME).is_file():
                advice = f"to train on from its weights use --init {out / FILE_NAME} with another --out"
            if key == "steps":
                raise RunError(f"{out} was scheduled for {before} steps, not {now}, and cannot be resumed; {advice}")
            values = "" if isinstance(before, dict | list) else f" ({before} instead of {now})"
            raise RunError(f"{out} was started with another {key}{values}, and cannot be resumed; {advice}")
        if recorded["data"] != self.data:
            raise RunError(f"{out} was trained on other data than --data now holds, and cannot be resumed")
        if recorded["init"] != self.init:
            raise RunError(f"{out} was started from other weights than --init names, and cannot be resumed")


class RunFolder:
    """One RUN folder, held by this process until it ends."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: IO[str] | None = None

    checkpoints = property(lambda self: self.path / "checkpoints")
    metrics = property(lambda self: self.path / "metrics.jsonl")
    validation = property(lambda self: self.path / "validation.jsonl")
    previews = property(lambda self: self.path / "previews")
    diverged = property(lambda self: self.path / "diverged")
    stream = property(lambda self: self.path / "stream")
    weights = property(lambda self: self.path / FILE_NAME)

    def refuse_what_is_there(self, resume: bool) -> None:
        """Raise, having written nothing, if a run may not begin or go on here. Cheap: before anything is read."""
        if self.path.exists() and not self.path.is_dir():
            raise RunError(f"--out {self.path} is a file, not a folder")
        record = self.path / "run.json"
        if self._begun() and not resume:
            raise RunError(
                f"{self.path} already holds a run ({last_step(self.path / 'checkpoints')} steps done): "
                "--resume goes on with it, another --out starts a new one"
            )
        ours = {".lock"}
        if self.path.is_dir() and not record.exists():
            strangers = sorted(entry.name for entry in self.path.iterdir() if entry.name not in ours)
            if "checkpoints" in strangers:
                raise RunError(f"--out {self.path} holds a run without its run.json, and it cannot be known again")
            if strangers:
                raise RunError(f"--out {self.path} holds something else ({strangers[0]}): name a new folder")

    def open(self, identity: RunIdentity, recipe: AnyRecipe) -> None:
        """Take the folder for this run: lock it, and record or compare what decides the result."""
        self.path.mkdir(parents=True, exist_ok=True)
        self._lock = (self.path / ".lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._lock.close()
            raise RunError(f"{self.path} is held by another run that is going on") from error
        record = self.path / "run.json"
        if self._begun():
            identity.refuse_other_than(_read_record(record), self.path)
        else:
            fields = {"recipe": identity.recipe, "data": identity.data, "init": identity.init}
            write_whole(record, json.dumps(fields, indent=1))
        write_whole(self.path / "config.yaml", yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False))

    def _begun(self) -> bool:
        """True if there is something to lose or to go on from: a run stopped before its first checkpoint has none."""
        return last_step(self.checkpoints) > 0 or self.finished()

    def finished(self) -> bool:
        """True once the last step's weights are written."""
        return bool(self.weights.is_file())

    def close(self) -> None:
        """Let the folder go; the end of the process, however violent, does the same."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None


def _read_record(path: Path) -> dict[str, Any]:
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(record["recipe"]["stage"], str) or not {"data", "init"} <= record.keys():
            raise ValueError("it is not what a run writes")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{path}, by which a run is known again, is missing or damaged: {reason_of(error)}") from error
    return record
