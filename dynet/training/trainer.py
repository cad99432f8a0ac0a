"""The training loop that both stages share: crops in, weights out, exact to resume."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.optim import Optimizer

from dynet.config.recipe import AnyRecipe
from dynet.data.crops import Crops, StepSampler, loader
from dynet.data.mix import Example, Mix
from dynet.errors import DyNetError, InterruptedRun, OutOfMemory, RunError, UsageError, reason_of
from dynet.model.network import DyNet
from dynet.model.training_record import TrainingRecord
from dynet.runtime import host_memory
from dynet.runtime.progress import ProgressReport
from dynet.runtime.resources import is_out_of_memory, out_of_memory
from dynet.runtime.rng import integer_seed
from dynet.training.compiling import compile_blocks
from dynet.training.metrics_log import ValidationLine
from dynet.training.optimisation import AveragedNetwork, make_optimizer
from dynet.training.preview import write_preview
from dynet.training.provenance import at_step, in_short, record_of, validations_of
from dynet.training.run_folder import RunFolder
from dynet.training.run_log import RunLog
from dynet.training.run_options import DeviceName, Job
from dynet.training.stop_signals import StopSignals
from dynet.training.train_state import BEST, TrainState, load_checkpoint, save_checkpoint
from dynet.training.train_step import Learner
from dynet.training.validation import Validator, as_batch, as_float, mean_of

if TYPE_CHECKING:
    from accelerate import Accelerator

PREVIEWED = 4


def fit(recipe: AnyRecipe, mix: Mix, run: RunFolder, job: Job) -> None:
    """Train to the last step of the recipe from the newest checkpoint, if there is one, and write the weights.

    On one device and number of processes the weights are bitwise those of a run that was never interrupted.
    """
    accelerator = _accelerator(recipe, job.device)
    model = initial_network(recipe, job.init)
    average = AveragedNetwork(model, recipe.ema) if recipe.ema is not None else None
    optimizer = make_optimizer(recipe, model, accelerator.device)
    state = load_checkpoint(run.checkpoints)
    if state is not None:
        _take_over(state, model, optimizer, average)
    if average is not None:
        average.network.to(accelerator.device)
    if recipe.compile:
        compile_blocks(model)
    learner = Learner(recipe, model, optimizer, average, accelerator)
    record = record_of(recipe, job)
    with StopSignals() as signals:
        _Loop(recipe, learner, mix, run, signals, state, record).run()
    if accelerator.is_main_process:
        record = at_step(record, recipe.steps, validations_of(run.validation))
        learner.best_network.save(run.weights, notes=in_short(record), training=record)
    accelerator.end_training()


def _take_over(state: TrainState, model: DyNet, optimizer: Optimizer, average: AveragedNetwork | None) -> None:
    try:
        model.load_state_dict(state.model)
        optimizer.load_state_dict(state.optimizer)
        if average is not None:
            average.network.load_state_dict(state.average or {})
    except (RuntimeError, ValueError, KeyError) as error:
        raise RunError(f"the checkpoint of step {state.step} does not fit the recipe: {reason_of(error)}") from error


def initial_network(recipe: AnyRecipe, init: Path | None) -> DyNet:
    """The network before the first step: fresh weights that follow from the seed, or those of `init`."""
    if init is not None:
        model = DyNet.from_pretrained(init, per_repeat=recipe.network.per_repeat)
    else:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(integer_seed(recipe.seed, "weights"))
            try:
                model = DyNet.from_architecture(recipe.network.architecture())
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                raise OutOfMemory(f"out of memory: a network of dim: {recipe.network.dim} does not fit") from error
    model.variants = recipe.sampler().variants
    model.gradient_checkpointing = recipe.gradient_checkpointing
    return model.train()


def _accelerator(recipe: AnyRecipe, device: DeviceName) -> "Accelerator":
    from accelerate import Accelerator

    accelerator = Accelerator(cpu=device == "cpu", mixed_precision="bf16" if recipe.precision == "bf16" else "no")
    if accelerator.device.type == "cpu":
        host_memory.keep_freed_memory()
    if accelerator.device.type == "cuda":
        # Without it some kernels add up in the order in which threads arrive, and a resumed run would differ.
        torch.use_deterministic_algorithms(True)
        # With it torch also fills each new tensor, one more kernel each, for code that reads what it has not written.
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    for batch in {recipe.batch, *(phase.batch for phase in recipe.larger_crops)}:
        if batch % accelerator.num_processes:
            raise UsageError(f"batch: {batch} does not divide among {accelerator.num_processes} processes")
    return accelerator


class _Loop:
    """One pass through the steps that are left."""

    def __init__(
        self,
        recipe: AnyRecipe,
        learner: Learner,
        mix: Mix,
        run: RunFolder,
        signals: StopSignals,
        state: TrainState | None,
        record: TrainingRecord,
    ) -> None:
        self.record = record
        self.recipe, self.learner, self.mix, self.folder, self.signals = recipe, learner, mix, run, signals
        self.accelerator = learner.accelerator
        self.start = state.step if state else 0
        self.best = state.best if state else None
        self.validator: Validator | None = None
        if recipe.validation is not None:
            self.validator = Validator(mix, recipe.crop, recipe.batch, self.accelerator)
        self.log = RunLog(recipe, run, self.accelerator, self.start)

    def run(self) -> None:
        recipe, device = self.recipe, self.accelerator.device
        shown = self.accelerator.is_main_process
        with ProgressReport(recipe.stage, recipe.steps, self.start, shown=shown) as progress:
            for step, (degraded, clean) in enumerate(self._batches(), self.start):
                with self._memory_is_enough_for(step):
                    result = self.learner.learn(step, as_float(degraded, device), as_float(clean, device))
                self.log.add(step + 1, recipe.crop_and_batch(step)[1], result)
                self._after(step + 1)
                progress.advance(self.log.note)
        self.log.close()

    def _batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches of 8 bits of all steps that are left, this process's share; waiting for them is timed."""
        recipe, accelerator = self.recipe, self.accelerator
        crops = Crops(mix=self.mix, crop_and_batch=recipe.crop_and_batch)
        of_rank = (accelerator.process_index, accelerator.num_processes)
        steps = StepSampler(self.start, recipe.steps, recipe.crop_and_batch, *of_rank)
        batches = iter(loader(crops, steps, recipe.workers, pin=accelerator.device.type == "cuda"))
        for step in range(self.start, recipe.steps):
            asked = time.monotonic()
            try:
                degraded, clean = next(batches)
            except DyNetError:  # no picture of use is left, or a streamed set is out of reach
                self._keep_what_is_done(step)
                raise
            self.log.waited(time.monotonic() - asked)
            yield degraded, clean

    @contextmanager
    def _memory_is_enough_for(self, step: int) -> Iterator[None]:
        """Turn the device's running out of memory into one line; the steps before this one are kept."""
        try:
            yield
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            self._keep_what_is_done(step)
            size, batch = self.recipe.crop_and_batch(step)
            raise out_of_memory(step + 1, size, batch, checkpointing=self.recipe.gradient_checkpointing) from error

    def _keep_what_is_done(self, done: int) -> None:
        """Save before a fault ends the run; several processes cannot, since the others are in the next step."""
        if done > self.start and self.accelerator.num_processes == 1:
            self.log.flush(self._save_batch)
            self._save(done)

    def _after(self, done: int) -> None:
        """What is due when `done` steps are done: log, validation, preview, checkpoint, stop."""
        recipe = self.recipe
        last = done == recipe.steps
        stopping = self._stopping()
        saving = last or stopping or done % recipe.checkpoint_every == 0
        if saving or done % recipe.log_every == 0:
            self.log.flush(self._save_batch)
        if recipe.validation is not None and (last or done % recipe.validation.every == 0):
            self._validate(done)
        if (last or done % recipe.preview_every == 0) and self.accelerator.is_main_process:
            path = self.folder.previews / f"step-{done:08d}.png"
            write_preview(self.learner.best_network, self._shown(), path)
        if saving:
            self._save(done)
        if stopping and not last:
            raise InterruptedRun(f"stopped after step {done} of {recipe.steps}; --resume goes on from there")

    def _stopping(self) -> bool:
        """True, in all processes at the same step, once any of them has received a signal."""
        if self.accelerator.num_processes == 1:
            return self.signals.received is not None
        if self.signals.received is not None:
            self.accelerator.set_trigger()
        return bool(self.accelerator.check_trigger())

    def _validate(self, done: int) -> None:
        """Measure every task and variant; keep the weights if none before were as good."""
        assert self.validator is not None
        network = self.learner.best_network
        scores = self.validator.measure(network, network.variants)
        mean = mean_of(scores)
        rounded = {task: {name: round(db, 4) for name, db in of.items()} for task, of in scores.items()}
        line = ValidationLine(done, round(mean, 4), rounded)
        self.log.validated(line)
        if self.best is None or mean > self.best:
            self.best = mean
            if self.accelerator.is_main_process:
                record = at_step(self.record, done, [line])
                network.save(self.folder.checkpoints / BEST, notes=in_short(record), training=record)

    def _shown(self) -> list[Example]:
        """The same examples at every step: held-out ones, or else the run's first."""
        if self.validator is not None:
            return self.validator.first_of_each_task()
        return [self.mix.example(0, index, self.recipe.crop) for index in range(min(PREVIEWED, self.recipe.batch))]

    def _save(self, done: int) -> None:
        if not self.accelerator.is_main_process:
            return
        learner = self.learner
        state = TrainState(
            step=done,
            model=learner.model.state_dict(),
            optimizer=learner.optimizer.state_dict(),
            average=None if learner.average is None else learner.average.network.state_dict(),
            best=self.best,
        )
        save_checkpoint(self.folder.checkpoints, state, self.recipe.keep_checkpoints)

    def _save_batch(self, step: int) -> str:
        """Write the whole batch of a step, made again from its keys, for a person to look at; returns the file."""
        size, batch = self.recipe.crop_and_batch(step)
        examples = [self.mix.example(step, index, size) for index in range(batch)]
        degraded, clean = as_batch(examples, torch.device("cpu"))
        self.folder.diverged.mkdir(exist_ok=True)
        path = self.folder.diverged / f"step-{step + 1:08d}.pt"
        tasks = [self.mix.tasks[example.task].name for example in examples]
        torch.save({"step": step + 1, "degraded": degraded, "clean": clean, "tasks": tasks}, path)
        return str(path)
