"""What a run writes about itself: metrics.jsonl, validation.jsonl, TensorBoard, and W&B when asked."""

import hashlib
import math
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch

from dynet.config.recipe import AnyRecipe
from dynet.errors import DivergedError, UsageError
from dynet.runtime.resources import peak_memory_mb
from dynet.training.metrics_log import LineLog, StepLine, ValidationLine
from dynet.training.run_folder import RunFolder
from dynet.training.train_step import StepResult

if TYPE_CHECKING:
    from accelerate import Accelerator
    from accelerate.tracking import GeneralTracker


class RunLog:
    """Gathers the results of steps and writes them, some steps at a time, in all places."""

    def __init__(self, recipe: AnyRecipe, run: RunFolder, accelerator: "Accelerator", start: int) -> None:
        self.note = ""  # for the progress bar
        self._recipe, self._accelerator = recipe, accelerator
        self._steps: list[tuple[int, int, StepResult]] = []  # (steps done, crops, result), not read from the device yet
        self._since, self._waited = time.monotonic(), 0.0
        self._trackers = _trackers(recipe, run, start) if accelerator.is_main_process else []
        if accelerator.is_main_process:
            self._metrics = LineLog(run.metrics, start)
            self._validation = LineLog(run.validation, start) if recipe.validation else None

    def waited(self, seconds: float) -> None:
        """Count time that was spent waiting for crops."""
        self._waited += seconds

    def add(self, done: int, crops: int, result: StepResult) -> None:
        """Take in the result of the step that made it `done` steps."""
        self._steps.append((done, crops, result))

    def flush(self, save_batch: Callable[[int], str]) -> None:
        """Read and write what was added; stop at a loss that no run comes back from, its batch saved.

        The losses are read all at once: reading each as it comes would hold the device up. Called by all processes
        together. Raises DivergedError.
        """
        if not self._steps:
            return
        lines = self._lines()
        limit = 1 + self._recipe.frequency_loss  # between black and white; a network that restores stays far below
        bad = next((line for line in lines if not math.isfinite(line.loss) or line.loss > limit), None)
        sound = lines if bad is None else lines[: lines.index(bad)]
        if self._accelerator.is_main_process:
            self._metrics.append(sound)
            for line in sound:
                self._track(line.step, _scalars(line))
        if bad is not None:
            where = save_batch(bad.step - 1) if self._accelerator.is_main_process else ""
            raise DivergedError(
                f"the loss of step {bad.step} (variant {bad.variant}) is {bad.loss:.4g}: its batch is in {where}; "
                "start again with a lower learning_rate or a gradient_clip"
            )
        self._steps.clear()

    def _lines(self) -> list[StepLine]:
        now = time.monotonic()
        took = max(now - self._since, 1e-9)
        speed = round(sum(crops for _, crops, _ in self._steps) / took, 3)
        wait = round(min(self._waited / took, 1.0), 4)
        self._since, self._waited = now, 0.0
        memory = peak_memory_mb(self._accelerator.device)
        values = iter(self._read())
        lines = []
        for done, _, result in self._steps:
            (first, *others), norm = result.losses, result.gradient_norm
            loss = next(values)
            lines.append(
                StepLine(
                    done,
                    self._recipe.stage,
                    loss,
                    result.rate,
                    first,
                    speed,
                    wait,
                    distilled={name: next(values) for name in others},
                    gradient_norm=None if norm is None else next(values),
                    **memory,
                )
            )
        mean = sum(line.loss for line in lines) / len(lines)
        self.note = f"loss {mean:.4f} {speed:.1f} images/s"
        return lines

    def _read(self) -> list[float]:
        """All numbers that wait on the device, in order: the mean over processes."""
        waiting = []
        for _, _, result in self._steps:
            waiting += [*result.losses.values(), *([] if result.gradient_norm is None else [result.gradient_norm])]
        read: list[float] = self._accelerator.reduce(torch.stack(waiting), "mean").tolist()
        return read

    def validated(self, line: ValidationLine) -> None:
        """Write what a validation found."""
        if self._accelerator.is_main_process and self._validation is not None:
            self._validation.append([line])
            scores = {f"validation/{task}/{name}": db for task, of in line.psnr.items() for name, db in of.items()}
            self._track(line.step, scores | {"validation/mean": line.mean})

    def _track(self, step: int, values: dict[str, float]) -> None:
        for tracker in self._trackers:
            tracker.log(values, step=step)

    def close(self) -> None:
        """Let the trackers finish their files."""
        for tracker in self._trackers:
            tracker.finish()


def _scalars(line: StepLine) -> dict[str, float]:
    """What is drawn over steps; the losses of variants each as a curve of their own."""
    scalars = {"loss": line.loss, f"loss/{line.variant}": line.loss, "lr": line.lr, "images_per_s": line.images_per_s}
    scalars |= {f"distilled/{name}": loss for name, loss in line.distilled.items()} | {"data_wait": line.data_wait}
    optional = {"gradient_norm": line.gradient_norm, "cpu_mb": line.cpu_mb, "gpu_mb": line.gpu_mb}
    return scalars | {name: value for name, value in optional.items() if value is not None}


def _trackers(recipe: AnyRecipe, run: RunFolder, start: int) -> "list[GeneralTracker]":
    """TensorBoard always; W&B in the project that the recipe names, the same run there after a resumption."""
    from accelerate.tracking import TensorBoardTracker, WandBTracker, is_wandb_available

    trackers: list[Any] = [TensorBoardTracker("tensorboard", str(run.path), purge_step=start + 1)]
    if recipe.wandb is not None:
        if not is_wandb_available():
            raise UsageError("wandb: it is not installed: pip install wandb")
        name = hashlib.sha256(str(run.path.resolve()).encode()).hexdigest()[:16]
        trackers.append(WandBTracker(recipe.wandb, dir=str(run.path), name=run.path.name, id=name, resume="allow"))
    for tracker in trackers:
        tracker.start()
    return trackers
