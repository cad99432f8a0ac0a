"""The training record of a run: what its weights files say about how they were trained."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from dynet.config.recipe import AnyRecipe
from dynet.model.training_record import StartingWeights, TrainingRecord, ValidationResult
from dynet.model.weight_parts import sha256_of
from dynet.model.weights import read_header
from dynet.training.metrics_log import ValidationLine, read_lines, values_of
from dynet.training.run_options import RunOptions


def record_of(recipe: AnyRecipe, options: RunOptions) -> TrainingRecord:
    """Return the record as it is before the first step."""
    start = None
    if options.init is not None:
        start = StartingWeights(sha256=sha256_of(options.init), training=read_header(options.init).training)
    return TrainingRecord(
        steps=0,
        recipe=recipe.decisive_keys(),
        data_sets=tuple(_dataset_name(source.location) for source in options.sources),
        start=start,
    )


def _dataset_name(location: str) -> str:
    """Return the name of a dataset without the folder that it is in on this machine."""
    path = Path(location)
    return path.resolve().name if path.exists() else location


def with_step(record: TrainingRecord, steps: int, validations: Sequence[ValidationLine]) -> TrainingRecord:
    """Return the record of weights that are written after `steps` steps and these validations."""
    results = [ValidationResult(step=line.step, mean=line.mean, psnr=line.psnr) for line in validations]
    return dataclasses.replace(
        record,
        steps=steps,
        validated=next((result for result in results if result.step == steps), None),
        best=max(results, key=lambda result: result.mean, default=None),
    )


def read_validations(file: Path) -> list[ValidationLine]:
    """Read the validations of a finished run from RUN/validation.jsonl; none if there is no such file.

    They come from the file and not from memory, because a run that was killed between its last step and its weights
    has only the file.
    """
    return read_lines(file, lambda line: ValidationLine(**values_of(line)))


def summary(record: TrainingRecord) -> dict[str, str]:
    """Return the main points of the record as strings, for readers of a file's metadata."""
    notes = {"stage": record.stage, "steps": str(record.steps)}
    return notes | ({"validation": f"{record.validated.mean:.4f} dB"} if record.validated else {})
