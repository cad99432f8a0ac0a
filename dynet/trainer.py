"""The training loop that both stages share; what a stage decides comes in a `Stage`."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.optim import Optimizer

from dynet.config import AnyRecipe
from dynet.crops import Corrupt, Crops, StepSampler, loader
from dynet.data import Pictures
from dynet.errors import DivergedError, InterruptedRun, UsageError
from dynet.job import DeviceName, Job
from dynet.metrics_log import MetricsLog, StepLine
from dynet.model import DyNet
from dynet.preview import write_preview
from dynet.progress import ProgressReport
from dynet.randomness import integer_seed
from dynet.run_folder import RunFolder
from dynet.stop_signals import StopSignals
from dynet.train_state import TrainState, last_step, load_checkpoint, save_checkpoint
from dynet.variants import Variant

if TYPE_CHECKING:
    from accelerate import Accelerator


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """What a stage decides: how crops are spoilt, how weights are updated, and how fast at each step."""

    corrupt: Corrupt
    optimizer: Callable[[DyNet], Optimizer]
    learning_rate: Callable[[int], float]


def fit(recipe: AnyRecipe, stage: Stage, pictures: Pictures, run: RunFolder, job: Job) -> None:
    """Train to the last step of the recipe from the newest checkpoint, if there is one, and write the weights.

    On one device and number of processes the weights are bitwise those of a run that was never interrupted.
    """
    accelerator = _accelerator(recipe, run, job.device)
    model = initial_network(recipe, job.init)
    optimizer = stage.optimizer(model)
    state = load_checkpoint(run.checkpoints)
    if state is not None:
        model.load_state_dict(state.model)
        optimizer.load_state_dict(state.optimizer)
    start = state.step if state else 0
    crops = Crops(pictures=pictures, corrupt=stage.corrupt, seed=recipe.seed, size=recipe.crop, batch=recipe.batch)
    with StopSignals() as signals:
        _Loop(recipe, stage, crops, run, accelerator, signals).run(model, optimizer, start)
    if accelerator.is_main_process:
        notes = {"stage": recipe.stage, "steps": str(recipe.steps), "recipe": recipe.model_dump_json()}
        model.save(run.weights, notes=notes)
    accelerator.end_training()


def training_loss(restored: Tensor, clean: Tensor) -> Tensor:
    """Mean absolute difference of two (B, 3, H, W).

    Nothing is clamped: beyond [0, 1] a clamped output has no gradient, and the network could not come back.
    """
    return F.l1_loss(restored, clean)


def initial_network(recipe: AnyRecipe, init: Path | None) -> DyNet:
    """The network before the first step: fresh weights that follow from the seed, or those of `init`."""
    if init is not None:
        model = DyNet.from_pretrained(init)
    else:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(integer_seed(recipe.seed, "weights"))
            model = DyNet.from_architecture(recipe.network.architecture())
    model.variants = recipe.sampler().variants
    return model.train()


def _accelerator(recipe: AnyRecipe, run: RunFolder, device: DeviceName) -> "Accelerator":
    from accelerate import Accelerator

    accelerator = Accelerator(
        cpu=device == "cpu",
        mixed_precision="bf16" if recipe.precision == "bf16" else "no",
        log_with="tensorboard",
        project_dir=str(run.path),
    )
    if recipe.batch % accelerator.num_processes:
        raise UsageError(f"batch: {recipe.batch} does not divide among {accelerator.num_processes} processes")
    return accelerator


class _Loop:
    """One pass through the steps that are left."""

    def __init__(
        self,
        recipe: AnyRecipe,
        stage: Stage,
        crops: Crops,
        run: RunFolder,
        accelerator: "Accelerator",
        signals: StopSignals,
    ) -> None:
        self.recipe, self.stage, self.crops, self.folder = recipe, stage, crops, run
        self.accelerator, self.signals = accelerator, signals
        self.sampler = recipe.sampler()
        self.waiting: list[tuple[int, float, Variant, Tensor]] = []  # steps whose loss is not read yet
        self.since = time.monotonic()
        self.note = ""

    def run(self, model: DyNet, optimizer: Optimizer, start: int) -> None:
        recipe, accelerator = self.recipe, self.accelerator
        self.model = model
        self.optimizer = optimizer
        prepared, stepper = accelerator.prepare(model, optimizer)
        self._open_logs(start)
        processes = accelerator.num_processes
        steps = StepSampler(start, recipe.steps, recipe.batch, accelerator.process_index, processes)
        batches = loader(self.crops, steps, recipe.workers, pin=accelerator.device.type == "cuda")
        with ProgressReport(recipe.stage, recipe.steps, start, shown=accelerator.is_main_process) as progress:
            for step, (corrupted, clean) in enumerate(batches, start):
                rate = self.stage.learning_rate(step)
                for group in optimizer.param_groups:
                    group["lr"] = rate
                variant = self.sampler.draw(step)
                restored = prepared(corrupted.to(accelerator.device, non_blocking=True), variant)
                loss = training_loss(restored, clean.to(accelerator.device, non_blocking=True))
                accelerator.backward(loss)
                stepper.step()
                stepper.zero_grad()
                self.waiting.append((step + 1, rate, variant, loss.detach()))
                self._after(step + 1)
                progress.advance(self.note)

    def _after(self, done: int) -> None:
        """What is due when `done` steps are done: log, preview, checkpoint, stop."""
        recipe = self.recipe
        last = done == recipe.steps
        stopping = self._stopping()
        saving = last or stopping or done % recipe.checkpoint_every == 0
        if saving or done % recipe.log_every == 0:
            self._log()
        if (last or done % recipe.preview_every == 0) and self.accelerator.is_main_process:
            write_preview(self.model, self.crops, self.folder.previews / f"step-{done:08d}.png")
        if saving and self.accelerator.is_main_process:
            state = TrainState(step=done, model=self.model.state_dict(), optimizer=self.optimizer.state_dict())
            save_checkpoint(self.folder.checkpoints, state, recipe.keep_checkpoints)
        if stopping and not last:
            raise InterruptedRun(f"stopped after step {done} of {recipe.steps}; --resume goes on from there")

    def _stopping(self) -> bool:
        """True, in all processes at the same step, once any of them has received a signal."""
        if self.accelerator.num_processes == 1:
            return self.signals.received is not None
        if self.signals.received is not None:
            self.accelerator.set_trigger()
        return bool(self.accelerator.check_trigger())

    def _open_logs(self, start: int) -> None:
        self.accelerator.init_trackers("tensorboard", init_kwargs={"tensorboard": {"purge_step": start + 1}})
        if self.accelerator.is_main_process:
            self.metrics = MetricsLog(self.folder.metrics, start)

    def _log(self) -> None:
        """Read the losses that wait, all at once: reading each as it comes would hold the device up."""
        losses = torch.stack([loss for *_, loss in self.waiting])
        values: list[float] = self.accelerator.reduce(losses, "mean").tolist()
        now = time.monotonic()
        speed = self.recipe.batch * len(values) / max(now - self.since, 1e-9)
        lines = [
            StepLine(step, self.recipe.stage, loss, rate, variant.name, round(speed, 3))
            for (step, rate, variant, _), loss in zip(self.waiting, values, strict=True)
        ]
        diverged = next((line for line in lines if not math.isfinite(line.loss)), None)
        sound = lines if diverged is None else lines[: lines.index(diverged)]
        for line in sound:
            scalars = {"loss": line.loss, f"loss/{line.variant}": line.loss, "lr": line.lr, "images_per_s": speed}
            self.accelerator.log(scalars, step=line.step)
        if self.accelerator.is_main_process:
            self.metrics.append(sound)
        if diverged is not None:
            raise DivergedError(
                f"the loss of step {diverged.step} (variant {diverged.variant}) is {diverged.loss}: start again with "
                f"a lower learning_rate; checkpoints up to step {last_step(self.folder.checkpoints)} are kept"
            )
        self.note = f"loss {sum(values) / len(values):.4f} {speed:.1f} images/s"
        self.waiting.clear()
        self.since = now
