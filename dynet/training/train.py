"""`dynet train`: from checked arguments to a finished RUN."""

import dataclasses
import os
from enum import StrEnum

from dynet.config.recipe import AnyRecipe, PretrainRecipe
from dynet.data.mix import Mix
from dynet.data.sources import open_mix
from dynet.errors import WeightsError
from dynet.model.weights import read_header
from dynet.training import finetune, pretrain
from dynet.training.run_folder import RunFolder, RunIdentity
from dynet.training.run_options import Job


class Outcome(StrEnum):
    """How `train` ended."""

    TRAINED = "trained"
    ALREADY_FINISHED = "already finished"


def train(recipe: AnyRecipe, job: Job) -> Outcome:
    """Check the folder, read the data, take the folder, and run the recipe's stage to its last step."""
    run = RunFolder(job.out)
    # Under torchrun the other processes follow the first, which alone writes to the folder.
    first = int(os.environ.get("RANK", "0")) == 0
    if first:
        run.refuse_what_is_there(job.resume)
    _refuse_what_cannot_train(recipe, job)
    mix = _mix(recipe, job, run)
    if first:
        run.open(RunIdentity.of(recipe, mix.fingerprint(), job.init), recipe)
    try:
        if run.finished():
            return Outcome.ALREADY_FINISHED
        # torch and accelerate are imported here: a finished run says so without waiting for them.
        from dynet.training.trainer import fit

        fit(recipe, mix, run, job)
    finally:
        run.close()
    return Outcome.TRAINED


def _mix(recipe: AnyRecipe, job: Job, run: RunFolder) -> Mix:
    tasks = pretrain.tasks(recipe) if isinstance(recipe, PretrainRecipe) else finetune.tasks(recipe)
    return open_mix(
        tasks,
        job.sources,
        seed=recipe.seed,
        hold_out=recipe.validation.pictures if recipe.validation else 0,
        exclude=recipe.exclude,
        stream=job.stream,
        cache=run.stream,
    )


def _refuse_what_cannot_train(recipe: AnyRecipe, job: Job) -> None:
    """Raise, before anything is written, for weights of another network and for devices that are not there."""
    if job.init is not None:
        ours, theirs = recipe.network.architecture(), read_header(job.init).architecture
        if theirs.per_repeat <= ours.per_repeat:  # what repeats have of their own may be added to weights without it
            theirs = dataclasses.replace(theirs, per_repeat=ours.per_repeat)
        difference = ours.difference(theirs)
        if difference:
            raise WeightsError(f"--init {job.init} is of another network: the recipe's has {difference}")
    if job.device not in ("auto", "cpu"):
        from dynet.runtime.devices import resolve_device

        resolve_device(job.device)
