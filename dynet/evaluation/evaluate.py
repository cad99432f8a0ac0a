"""`dynet evaluate`: every variant of one set of weights on every task, picture by picture."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dynet.errors import OutOfMemory, PictureError, UsageError
from dynet.evaluation.benchmark import Image8, Subject, Task
from dynet.evaluation.metrics import psnr, ssim
from dynet.evaluation.protocol import EvaluationProtocol, as_float
from dynet.evaluation.pyiqa_metrics import PyiqaMetric
from dynet.inference.tiling import run_tiled
from dynet.model.network import DyNet
from dynet.model.variants import Variant
from dynet.runtime.cost import MB, Cost, CostMeter
from dynet.runtime.progress import ProgressReport
from dynet.runtime.resources import is_out_of_memory

Float = npt.NDArray[np.float32]

INPUT = "input"
"""What stands for a variant where the degraded picture itself is measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """What is evaluated, and how; the same for all pictures."""

    model: DyNet
    variants: tuple[Variant, ...]
    device: torch.device
    protocol: EvaluationProtocol
    tasks: tuple[Task, ...]
    metrics: tuple[PyiqaMetric, ...]
    tile: int | None
    """Side in pixels of the tiles that pictures are restored in; None restores them whole."""

    def __post_init__(self) -> None:
        if any(variant.name == INPUT for variant in self.variants):
            raise UsageError(f"a variant named {INPUT!r} cannot be told from the input in a table")

    @property
    def value_names(self) -> tuple[str, ...]:
        """What is measured of each picture."""
        return "psnr", "ssim", *(metric.name for metric in self.metrics)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One picture of one task as one variant restored it, or as it was given (INPUT)."""

    task: Task
    file: str
    width: int  # of what was measured, in pixels
    height: int
    variant: str
    values: tuple[float, ...]
    """As `Evaluation.value_names`; infinite for the PSNR of equal pictures, nan where a metric has no number."""

    ms: float | None  # None of an input
    peak_mb: float | None  # of 2^20 bytes; None of an input, and where it cannot be measured


def evaluate(how: Evaluation, meter: CostMeter) -> list[Measured]:
    """Measure every picture of every task; one that cannot be read or restored ends it, for half a mean is none.

    Raises PictureError naming the file, OutOfMemory, or UsageError where a metric of pyiqa fails.
    """
    _check_pictures(how)
    _warm_up(how, meter)
    total = sum(len(task.benchmark.subjects) for task in how.tasks)
    measured: list[Measured] = []
    with ProgressReport("evaluate", total) as progress:
        for task in how.tasks:
            for subject in task.benchmark.subjects:
                measured += _measure(how, meter, task, subject)
                progress.advance(task.label)
    return measured


def _check_pictures(how: Evaluation) -> None:
    """Read every picture once, so that a broken one costs seconds and not the hours before it."""
    of_benchmark = {task.benchmark.name: task for task in how.tasks}
    total = sum(len(task.benchmark.subjects) for task in of_benchmark.values())
    with ProgressReport("check pictures", total) as progress:
        for task in of_benchmark.values():
            for subject in task.benchmark.subjects:
                task.read(subject, how.protocol)
                progress.advance(task.benchmark.name)


def _warm_up(how: Evaluation, meter: CostMeter) -> None:
    """Restore the first picture by each variant: what a device sets up at a first call is not a picture's cost."""
    task = how.tasks[0]
    subject = task.benchmark.subjects[0]
    degraded, _ = task.read(subject, how.protocol)
    for variant in how.variants:
        _restore(how, meter, variant, degraded, subject)


def _measure(how: Evaluation, meter: CostMeter, task: Task, subject: Subject) -> Iterator[Measured]:
    degraded, clean = task.read(subject, how.protocol)
    target = as_float(clean)

    def measured(variant: str, picture: Float, cost: Cost | None) -> Measured:
        return Measured(
            task=task,
            file=subject.name,
            width=picture.shape[1],
            height=picture.shape[0],
            variant=variant,
            values=_values(how, picture, target),
            ms=None if cost is None else cost.seconds * 1000,
            peak_mb=None if cost is None or cost.peak_bytes is None else cost.peak_bytes / MB,
        )

    yield measured(INPUT, as_float(degraded), None)
    for variant in how.variants:
        restored, cost = _restore(how, meter, variant, degraded, subject)
        yield measured(variant.name, how.protocol.output(restored), cost)


def _values(how: Evaluation, picture: Float, clean: Float) -> tuple[float, ...]:
    others = [metric.measure(picture, clean) for metric in how.metrics]
    return psnr(picture, clean), ssim(picture, clean), *others


def _restore(
    how: Evaluation, meter: CostMeter, variant: Variant, degraded: Image8, subject: Subject
) -> tuple[Float, Cost]:
    """degraded: (H, W, 3) to what the network gives, the same shape, not clipped."""
    network = partial(how.model, variant=variant)
    try:
        with torch.inference_mode():
            picture = torch.from_numpy(as_float(degraded)).permute(2, 0, 1)[None].contiguous().to(how.device)
            restored, cost = meter.measure(partial(_in_tiles, network, how.tile) if how.tile else network, picture)
            values: Float = restored[0].permute(1, 2, 0).cpu().numpy()
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        height, width = degraded.shape[:2]
        tile = f"a --tile lower than {how.tile}" if how.tile else "--tile 512"
        raise OutOfMemory(f"out of memory on {how.device} at {subject.name}, {width}×{height}: use {tile}") from error
    if not np.isfinite(values).all():
        raise PictureError(f"{subject.name}: variant {variant.name} gives values that are not finite numbers")
    return values, cost


def _in_tiles(network: partial[Tensor], tile: int, picture: Tensor) -> Tensor:
    return run_tiled(network, picture, tile, overlap=tile // 8)
