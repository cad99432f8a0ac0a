"""`dynet train`: from checked arguments to a finished RUN folder."""

import dataclasses
import os
from enum import StrEnum

from dynet.config.recipe import AnyRecipe, PretrainRecipe
from dynet.data.mix import Mix
from dynet.data.sources import check_locations, check_out_is_apart, open_mix
from dynet.errors import WeightsError
from dynet.model.weights import FILE_NAME, read_header, read_tensors
from dynet.training import finetune, pretrain
from dynet.training.run_folder import RunFolder, RunIdentity
from dynet.training.run_options import RunOptions


class Outcome(StrEnum):
    """How `train` ended."""

    TRAINED = "trained"
    ALREADY_FINISHED = "already finished"


def train(recipe: AnyRecipe, options: RunOptions) -> Outcome:
    """Check the arguments, open the data and the folder, and train to the last step of the recipe.

    Raises:
        RunError: The folder holds another run, or something else.
        WeightsError: The weights to start from are of another network.
        UsageError: The machine has no such device.
        DataError: The data cannot be read or does not serve the tasks.
        InterruptedRun: A signal stopped the run; it can be resumed.
    """
    folder = RunFolder(options.out)
    # With several processes (torchrun), only the first checks and writes the folder.
    is_first = int(os.environ.get("RANK", "0")) == 0
    if is_first:
        folder.check_free(resume=options.resume)
    check_locations(options.sources)
    if not folder.record.exists():
        check_out_is_apart(options.sources, folder.path)
    _check_init_and_device(recipe, options)
    mix = _open_data(recipe, options, folder)
    if is_first:
        folder.open(RunIdentity.of(recipe, mix.fingerprint(), options.init), recipe)
    try:
        if folder.is_finished():
            return Outcome.ALREADY_FINISHED
        # Imports torch and accelerate, which a run that is already finished does not wait for.
        from dynet.training.trainer import Trainer

        Trainer(recipe, mix, folder, options).run()
    finally:
        folder.close()
    return Outcome.TRAINED


def _open_data(recipe: AnyRecipe, options: RunOptions, folder: RunFolder) -> Mix:
    tasks = pretrain.tasks(recipe) if isinstance(recipe, PretrainRecipe) else finetune.tasks(recipe)
    return open_mix(
        tasks,
        options.sources,
        seed=recipe.seed,
        hold_out=recipe.validation.pictures if recipe.validation else 0,
        exclude=recipe.exclude,
        stream=options.stream,
        cache=folder.stream,
        grid_share=recipe.grid_crops,
    )


def _check_init_and_device(recipe: AnyRecipe, options: RunOptions) -> None:
    """Raise, before anything is written, if the weights are of another network or the device does not exist."""
    if options.init is not None:
        ours, theirs = recipe.network.architecture(), read_header(options.init).architecture
        if theirs.per_repeat <= ours.per_repeat:  # weights without parameters per repeat can be given some
            theirs = dataclasses.replace(theirs, per_repeat=ours.per_repeat)
        difference = ours.difference(theirs)
        if difference:
            raise WeightsError(f"--init {options.init} is of another network: the recipe's has {difference}")
        if not (options.out / FILE_NAME).is_file():
            read_tensors(options.init)  # refuses values that are no numbers
    if options.device not in ("auto", "cpu"):
        from dynet.runtime.devices import resolve_device

        resolve_device(options.device)
