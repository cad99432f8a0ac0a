"""The logs of a run: metrics.jsonl, validation.jsonl, TensorBoard, and W&B if the recipe names a project."""

import contextlib
import hashlib
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor

from dynet.config.recipe import AnyRecipe
from dynet.errors import DivergedError, UsageError, reason_of
from dynet.extras import require
from dynet.runtime.memory import peak_memory_mb
from dynet.training.metrics_log import LineLog, StepLine, ValidationLine
from dynet.training.run_folder import RunFolder

if TYPE_CHECKING:
    from accelerate import Accelerator
    from accelerate.tracking import GeneralTracker


@dataclass(frozen=True, slots=True, kw_only=True)
class StepResult:
    """The result of one step; its tensors are still on the device, since reading them would make the device wait."""

    rate: float
    losses: dict[str, Tensor]
    """By variant; the first learns from the clean crops, the others from what the first restored."""
    gradient_norm: Tensor | None


class RunLog:
    """Collects the results of steps and writes them, several steps at a time, to every log."""

    def __init__(self, recipe: AnyRecipe, folder: RunFolder, accelerator: "Accelerator", start: int) -> None:
        """Open the logs to go on after step `start`; only the first process writes."""
        self.note = ""  # for the progress bar
        self._recipe, self._accelerator = recipe, accelerator
        self._steps: list[tuple[int, int, StepResult]] = []  # (steps done, crops, result), not yet written
        self._flushed_at, self._waiting_seconds = time.monotonic(), 0.0
        self._trackers: list[GeneralTracker] = []  # started, to be closed
        if accelerator.is_main_process:
            self._metrics = LineLog(folder.metrics, start)
            self._validation = LineLog(folder.validation, start) if recipe.validation else None
            try:
                for tracker in _started_trackers(recipe, folder, start):
                    self._trackers.append(tracker)
            except BaseException:
                self._close_after_error()
                raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Finish the files and the threads of TensorBoard and W&B, also after an error."""
        if error is not None:
            self._close_after_error()
            return
        for tracker in self._trackers:
            tracker.finish()

    def add_waiting_time(self, seconds: float) -> None:
        """Count time that was spent waiting for crops."""
        self._waiting_seconds += seconds

    def add(self, done: int, crops: int, result: StepResult) -> None:
        """Add the result of a step: `done` steps are done now, and its whole batch had `crops` crops."""
        self._steps.append((done, crops, result))

    def flush(self, save_batch: Callable[[int], str]) -> None:
        """Read the added results from the device and write them; stop the run if its loss is beyond recovery.

        The losses are read all at once, since reading each of them would make the device wait. All processes call this
        together.

        Args:
            save_batch: Saves the batch of a step (0, 1, …) and returns the path of its file.

        Raises:
            DivergedError: A loss is not finite, or larger than that between a black and a white image.
        """
        if not self._steps:
            return
        lines = self._lines()
        limit = 1 + self._recipe.frequency_loss  # black against white; a network that restores stays far below it
        diverged = next((line for line in lines if not math.isfinite(line.loss) or line.loss > limit), None)
        sound = lines if diverged is None else lines[: lines.index(diverged)]
        if self._accelerator.is_main_process:
            self._metrics.append(sound)
            for line in sound:
                self._track(line.step, _scalars(line))
        if diverged is not None:
            file = save_batch(diverged.step - 1) if self._accelerator.is_main_process else ""
            raise DivergedError(
                f"the loss of step {diverged.step} (variant {diverged.variant}) is {diverged.loss:.4g}: its batch is "
                f"in {file}; start again with a lower learning_rate or a gradient_clip"
            )
        self._steps.clear()

    def _lines(self) -> list[StepLine]:
        now = time.monotonic()
        seconds = max(now - self._flushed_at, 1e-9)
        speed = round(sum(crops for _, crops, _ in self._steps) / seconds, 3)
        waiting_share = round(min(self._waiting_seconds / seconds, 1.0), 4)
        self._flushed_at, self._waiting_seconds = now, 0.0
        memory = peak_memory_mb(self._accelerator.device)
        values = iter(self._read_device())
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
                    waiting_share,
                    distilled={name: next(values) for name in others},
                    gradient_norm=None if norm is None else next(values),
                    **memory,
                )
            )
        mean = sum(line.loss for line in lines) / len(lines)
        self.note = f"loss {mean:.4f} {speed:.1f} images/s"
        return lines

    def _read_device(self) -> list[float]:
        """Return all losses and gradient norms in the order of the steps, each the mean over the processes."""
        tensors = []
        for _, _, result in self._steps:
            tensors += [*result.losses.values(), *([] if result.gradient_norm is None else [result.gradient_norm])]
        values: list[float] = self._accelerator.reduce(torch.stack(tensors), "mean").tolist()
        return values

    def add_validation(self, line: ValidationLine) -> None:
        """Write the scores of a validation."""
        if self._accelerator.is_main_process and self._validation is not None:
            self._validation.append([line])
            scores = {f"validation/{task}/{name}": db for task, psnr in line.psnr.items() for name, db in psnr.items()}
            self._track(line.step, scores | {"validation/mean": line.mean})

    def _track(self, step: int, values: dict[str, float]) -> None:
        for tracker in self._trackers:
            tracker.log(values, step=step)

    def _close_after_error(self) -> None:
        """Close every tracker; W&B shows the run as failed. What closing raises matters less than the error."""
        for tracker in self._trackers:
            with contextlib.suppress(Exception):
                if tracker.name == "wandb":
                    tracker.tracker.finish(exit_code=1)
                else:
                    tracker.finish()


def _scalars(line: StepLine) -> dict[str, float]:
    """Return the values to plot over the steps; the loss of each variant is a curve of its own."""
    scalars = {"loss": line.loss, f"loss/{line.variant}": line.loss, "lr": line.lr, "images_per_s": line.images_per_s}
    scalars |= {f"distilled/{name}": loss for name, loss in line.distilled.items()} | {"data_wait": line.data_wait}
    optional = {"gradient_norm": line.gradient_norm, "cpu_mb": line.cpu_mb, "gpu_mb": line.gpu_mb}
    return scalars | {name: value for name, value in optional.items() if value is not None}


def _started_trackers(recipe: AnyRecipe, folder: RunFolder, start: int) -> "Iterator[GeneralTracker]":
    """Start W&B, if the recipe names a project, and TensorBoard; a resumed run goes on as the same run of W&B."""
    from accelerate.tracking import TensorBoardTracker, WandBTracker

    path = folder.path
    if recipe.wandb is not None:
        require("wandb")
        run_id = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:16]
        wandb = WandBTracker(recipe.wandb, dir=str(path), name=path.name, id=run_id, resume="allow")
        _start_wandb(wandb, recipe.wandb)
        yield wandb
    tensorboard: Any = TensorBoardTracker("tensorboard", str(path), purge_step=start + 1)
    tensorboard.start()
    yield tensorboard


def _start_wandb(tracker: Any, project: str) -> None:
    """Start W&B, which asks for a login.

    Raises:
        UsageError: There is none, or W&B takes no such project.
    """
    import wandb

    try:
        tracker.start()
    except wandb.Error as error:
        raise UsageError(f"wandb: {project}: {reason_of(error)}") from error
