"""From a run to what its weights files say of it."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

from dynet.config.recipe import AnyRecipe
from dynet.model.training_record import Start, TrainingRecord, Validated
from dynet.model.weight_parts import sha256_of
from dynet.model.weights import read_header
from dynet.training.metrics_log import ValidationLine
from dynet.training.run_options import Job


def record_of(recipe: AnyRecipe, job: Job) -> TrainingRecord:
    """What is known before the first step."""
    start = None
    if job.init is not None:
        start = Start(sha256=sha256_of(job.init), training=read_header(job.init).training)
    return TrainingRecord(
        steps=0,
        recipe=recipe.decisive(),
        data_sets=tuple(_name(source.location) for source in job.sources),
        start=start,
    )


def _name(location: str) -> str:
    """A data set's name, without the place where it lies on this machine."""
    path = Path(location)
    return path.resolve().name if path.exists() else location


def at_step(record: TrainingRecord, steps: int, validations: Sequence[ValidationLine]) -> TrainingRecord:
    """The record of weights that are written when so many steps are done and so much was validated."""
    found = [Validated(step=line.step, mean=line.mean, psnr=line.psnr) for line in validations]
    return dataclasses.replace(
        record,
        steps=steps,
        validated=next((one for one in found if one.step == steps), None),
        best=max(found, key=lambda one: one.mean, default=None),
    )


def validations_of(file: Path) -> list[ValidationLine]:
    """Those of a run that has come to its end, from RUN/validation.jsonl.

    From the file and not from memory: a run that was killed between its last step and its weights has no other.
    """
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    return [ValidationLine(**json.loads(line)) for line in lines]


def in_short(record: TrainingRecord) -> dict[str, str]:
    """The record's main points as strings, for who looks at a file's metadata."""
    notes = {"stage": record.stage, "steps": str(record.steps)}
    return notes | ({"validation": f"{record.validated.mean:.4f} dB"} if record.validated else {})
