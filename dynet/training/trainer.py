"""The training run: build or restore the state, loop over the steps, write the weights.

Both stages share this loop. What a stage does to a crop is in `pretrain` and `finetune`.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext

import torch
from torch import Tensor

from dynet.config.recipe import AnyRecipe
from dynet.data.crops import CropDataset, StepSampler, dead_worker, load_batches
from dynet.data.mix import Mix
from dynet.errors import DyNetError, InterruptedRun, LoaderDied, RunError, reason_of
from dynet.model.network import DyNet
from dynet.model.variants import Variant
from dynet.runtime.atomic_files import make_folder, replacing
from dynet.runtime.memory import is_out_of_memory, out_of_memory
from dynet.runtime.progress import ProgressReport
from dynet.training.checkpoints import BEST, TrainState, last_step, load_checkpoint, save_checkpoint
from dynet.training.compiling import compile_blocks
from dynet.training.first_step import check_first_step
from dynet.training.initial_state import initial_network, make_accelerator
from dynet.training.losses import training_loss
from dynet.training.metrics_log import ValidationLine
from dynet.training.optimisation import AveragedNetwork, learning_rate, make_optimizer
from dynet.training.provenance import read_validations, record_of, summary, with_step
from dynet.training.run_folder import RunFolder
from dynet.training.run_log import RunLog, StepResult
from dynet.training.run_options import RunOptions
from dynet.training.stop_signals import StopSignals
from dynet.training.validation import Validator, as_batch, as_float, mean_of, pairs_of, write_preview

PREVIEW_IMAGES = 4
"""Images in a preview of a run that has no validation."""


class Trainer:
    """One training run, from its newest checkpoint, if there is one, to the last step of its recipe.

    On one device and number of processes, the weights are bitwise those of a run that was never interrupted.
    """

    def __init__(self, recipe: AnyRecipe, mix: Mix, folder: RunFolder, options: RunOptions) -> None:
        """Build the state of the run, or restore it from the newest checkpoint in the folder.

        Raises:
            UsageError: A batch does not divide among the processes.
            RunError: The checkpoint is damaged or does not fit the recipe.
            OutOfMemory: The network, or a step of it, does not fit into memory.
        """
        self.recipe, self.mix, self.folder = recipe, mix, folder
        self.accelerator = make_accelerator(recipe, options.device)
        self.model = initial_network(recipe, options.init)
        self.average = AveragedNetwork(self.model, recipe.ema) if recipe.ema is not None else None
        self.optimizer = make_optimizer(recipe, self.model, self.accelerator.device)
        self.start, self.best_psnr = self._restore(load_checkpoint(folder.checkpoints))
        if self.accelerator.device.type == "cpu" and self.accelerator.num_processes == 1:
            check_first_step(self.model, recipe, self.start, options.available)
        if self.average is not None:
            self.average.network.to(self.accelerator.device)
        if recipe.compile:
            compile_blocks(self.model)
        self._prepared_network, self._prepared_optimizer = self.accelerator.prepare(self.model, self.optimizer)
        self.sampler = recipe.sampler()
        self.record = record_of(recipe, options)
        self.validator: Validator | None = None
        if recipe.validation is not None:
            self.validator = Validator(mix, recipe.crop, recipe.batch, self.accelerator)
        self.log = RunLog(recipe, folder, self.accelerator, self.start)

    @property
    def result_network(self) -> DyNet:
        """The network to validate, preview and save: the average of the weights if the recipe asks for one."""
        return self.model if self.average is None else self.average.network

    def run(self) -> None:
        """Train to the last step, and write the weights.

        Raises:
            InterruptedRun: SIGINT or SIGTERM arrived; a checkpoint of the last finished step is saved.
            DivergedError: A loss is not finite or far too large; its batch is saved.
            OutOfMemory: A step does not fit into memory; the steps before it are saved.
            LoaderDied: A process that makes crops ended; it can be resumed.
        """
        recipe, is_main = self.recipe, self.accelerator.is_main_process
        with (
            self.log,
            StopSignals() as signals,
            self._dead_workers_as_errors(signals),
            ProgressReport(recipe.stage, recipe.steps, self.start, shown=is_main) as progress,
        ):
            for step, (degraded, clean) in enumerate(self._batches(), self.start):
                with self._saving_when_out_of_memory(step):
                    variants = self.sampler.draw(step)
                    result = self._train_step(step, variants, degraded, clean)
                done = step + 1
                self.log.add(done, recipe.size_schedule(step)[1], result)

                is_last = done == recipe.steps
                is_stopping = self._any_process_stopped(signals)
                is_saving = is_last or is_stopping or done % recipe.checkpoint_every == 0
                if is_saving or done % recipe.log_every == 0:
                    self.log.flush(self._save_diverged_batch)
                if recipe.validation is not None and (is_last or done % recipe.validation.every == 0):
                    self._validate(done)
                if is_last or done % recipe.preview_every == 0:
                    self._write_preview(done)
                if is_saving:
                    self._save_checkpoint(done)
                if is_stopping and not is_last:
                    raise InterruptedRun(f"stopped after step {done} of {recipe.steps}; --resume goes on from there")
                progress.advance(self.log.note)
        self._write_weights()
        self.accelerator.end_training()

    def _restore(self, state: TrainState | None) -> tuple[int, float | None]:
        """Load a checkpoint into network, optimiser and average; return the steps done and the best PSNR so far."""
        if state is None:
            return 0, None
        try:
            self.model.load_state_dict(state.model)
            self.optimizer.load_state_dict(state.optimizer)
            if self.average is not None:
                self.average.network.load_state_dict(state.average or {})
        except (RuntimeError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise RunError(
                f"the checkpoint of step {state.step} does not fit the recipe: {reason_of(error)}"
            ) from error
        return state.step, state.best

    def _batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield this process's share of the 8-bit batch of every remaining step; the log counts the waiting time."""
        recipe, accelerator = self.recipe, self.accelerator
        crops = CropDataset(mix=self.mix, size_schedule=recipe.size_schedule)
        rank = (accelerator.process_index, accelerator.num_processes)
        sampler = StepSampler(self.start, recipe.steps, recipe.size_schedule, *rank)
        batches = iter(load_batches(crops, sampler, recipe.workers, pin=accelerator.device.type == "cuda"))
        for step in range(self.start, recipe.steps):
            asked_at = time.monotonic()
            try:
                degraded, clean = next(batches)
            except DyNetError:  # no usable image is left, or a streamed dataset is out of reach
                self._save_before_error(step)
                raise
            except RuntimeError as error:
                if dead_worker(error):
                    self._save_before_error(step)
                raise
            self.log.add_waiting_time(time.monotonic() - asked_at)
            yield degraded, clean

    def _train_step(self, step: int, variants: Sequence[Variant], degraded: Tensor, clean: Tensor) -> StepResult:
        """Update the shared weights by one batch, two (B, 3, H, W) of uint8.

        The variants run one after the other, each forward and backward, so a sandwich of three needs no more memory
        than its deepest variant. The first learns from the clean crops, the others from what the first restored
        (in-place distillation: US-Nets, arXiv 1903.05134); before `distil_from_step` they, too, learn from the clean
        crops.
        """
        recipe, accelerator = self.recipe, self.accelerator
        degraded, clean = as_float(degraded, accelerator.device), as_float(clean, accelerator.device)
        rate = learning_rate(recipe, step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        losses: dict[str, Tensor] = {}
        target = clean
        for variant in variants:
            is_last = variant is variants[-1]
            # Processes exchange gradients once, with those of the last variant.
            with nullcontext() if is_last else accelerator.no_sync(self._prepared_network):
                restored = self._prepared_network(degraded, variant)
                loss = training_loss(restored, target, recipe.frequency_loss, recipe.log_loss, recipe.pixel_loss)
                accelerator.backward(loss)
            losses[variant.name] = loss.detach()
            if variant is variants[0] and step >= recipe.distil_from_step:
                target = restored.detach()
        norm = None
        if recipe.gradient_clip is not None:
            norm = accelerator.clip_grad_norm_(self._prepared_network.parameters(), recipe.gradient_clip).detach()
        self._prepared_optimizer.step()
        self._prepared_optimizer.zero_grad()
        if self.average is not None:
            self.average.update(self.model, step)
        return StepResult(rate=rate, losses=losses, gradient_norm=norm)

    def _any_process_stopped(self, signals: StopSignals) -> bool:
        """Return True, in all processes at the same step, once any of them has received a signal."""
        if self.accelerator.num_processes == 1:
            return signals.received is not None
        if signals.received is not None:
            self.accelerator.set_trigger()
        return bool(self.accelerator.check_trigger())

    def _validate(self, done: int) -> None:
        """Measure every task and variant; save the weights if no earlier validation was as good."""
        assert self.validator is not None
        network = self.result_network
        scores = self.validator.measure(network, network.variants)
        mean = mean_of(scores)
        rounded = {task: {name: round(db, 4) for name, db in psnr.items()} for task, psnr in scores.items()}
        line = ValidationLine(done, round(mean, 4), rounded)
        self.log.add_validation(line)
        if self.best_psnr is None or mean > self.best_psnr:
            self.best_psnr = mean
            if self.accelerator.is_main_process:
                record = with_step(self.record, done, [line])
                network.save(self.folder.checkpoints / BEST, notes=summary(record), training=record)

    def _write_preview(self, done: int) -> None:
        """Write a preview of the same examples at every step: held-out ones, or else the first of the run."""
        if not self.accelerator.is_main_process:
            return
        if self.validator is not None:
            crops = self.validator.first_of_each_task()
        else:
            count = min(PREVIEW_IMAGES, self.recipe.batch)
            crops = pairs_of([self.mix.example(0, index, self.recipe.crop) for index in range(count)])
        write_preview(self.result_network, crops, self.folder.previews / f"step-{done:08d}.png")

    def _save_checkpoint(self, done: int) -> None:
        if not self.accelerator.is_main_process:
            return
        state = TrainState(
            step=done,
            model=self.model.state_dict(),
            optimizer=self.optimizer.state_dict(),
            average=None if self.average is None else self.average.network.state_dict(),
            best=self.best_psnr,
        )
        save_checkpoint(self.folder.checkpoints, state, self.recipe.keep_checkpoints)

    @contextmanager
    def _dead_workers_as_errors(self, signals: StopSignals) -> Iterator[None]:
        """Turn torch's error for a worker process that ended into one of ours; a signal to all processes is a stop."""
        try:
            yield
        except RuntimeError as error:
            what = dead_worker(error)
            if what is None:
                raise
            step = last_step(self.folder.checkpoints)
            if signals.received is not None:
                stopped = f"stopped after step {step} of {self.recipe.steps}; --resume goes on from there"
                raise InterruptedRun(stopped) from error
            raise LoaderDied(
                f"{what}, perhaps because memory ran out: --resume goes on from step {step}, and needs less memory "
                f"with fewer workers than {self.recipe.workers}"
            ) from error

    @contextmanager
    def _saving_when_out_of_memory(self, step: int) -> Iterator[None]:
        """Save the steps before this one and raise OutOfMemory if the device has no memory left."""
        try:
            yield
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            self._save_before_error(step)
            size, batch = self.recipe.size_schedule(step)
            raise out_of_memory(step + 1, size, batch, checkpointing=self.recipe.gradient_checkpointing) from error

    def _save_before_error(self, done: int) -> None:
        """Save before an error ends the run. Several processes cannot: the others are already in the next step."""
        if done > self.start and self.accelerator.num_processes == 1:
            self.log.flush(self._save_diverged_batch)
            self._save_checkpoint(done)

    def _save_diverged_batch(self, step: int) -> str:
        """Write the whole batch of a step, made again from its keys, for a person to look at; return its file.

        If it cannot be written, return why: the error of the step matters more.
        """
        size, batch = self.recipe.size_schedule(step)
        examples = [self.mix.example(step, index, size) for index in range(batch)]
        degraded, clean = as_batch(pairs_of(examples), torch.device("cpu"))
        path = self.folder.diverged / f"step-{step + 1:08d}.pt"
        tasks = [self.mix.tasks[example.task].name for example in examples]
        try:
            make_folder(path.parent)
            with replacing(path) as temporary:
                torch.save({"step": step + 1, "degraded": degraded, "clean": clean, "tasks": tasks}, temporary)
        except (OSError, RuntimeError) as error:  # torch's writer raises RuntimeError if the disk is full
            return f"no file: {path} cannot be written ({reason_of(error)})"
        return str(path)

    def _write_weights(self) -> None:
        if self.accelerator.is_main_process:
            record = with_step(self.record, self.recipe.steps, read_validations(self.folder.validation))
            self.result_network.save(self.folder.weights, notes=summary(record), training=record)
