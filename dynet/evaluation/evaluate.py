"""`dynet evaluate`: every variant of one set of weights on every image of every task."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dynet.errors import ImageError, OutOfMemory, UsageError
from dynet.evaluation.benchmark import BenchmarkImage, BenchmarkTask, Image8
from dynet.evaluation.measures import ImageMeasure
from dynet.evaluation.protocol import EvaluationProtocol, as_float
from dynet.evaluation.pyiqa_metrics import PyiqaMetric
from dynet.inference.self_ensemble import average_orientations
from dynet.inference.tiling import run_tiled
from dynet.inference.unchanged import keep_unchanged
from dynet.model.variant_network import VariantNetwork
from dynet.model.variants import Variant
from dynet.runtime.cost import MB, Cost, CostMeter
from dynet.runtime.memory import is_out_of_memory
from dynet.runtime.progress import ProgressReport

Float = npt.NDArray[np.float32]

INPUT = "input"
"""Stands in place of a variant where the degraded image itself is measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """What is evaluated and by which rules; the same for all images."""

    model: VariantNetwork
    variants: tuple[Variant, ...]
    device: torch.device
    protocol: EvaluationProtocol
    tasks: tuple[BenchmarkTask, ...]
    measures: tuple[ImageMeasure, ...]
    metrics: tuple[PyiqaMetric, ...]
    tile: int | None
    """Side of the tiles in pixels; None restores whole images."""
    self_ensemble: int = 1
    """In how many orientations each image or tile is restored: 1, 2, 4 or 8."""

    def __post_init__(self) -> None:
        if any(variant.name == INPUT for variant in self.variants):
            raise UsageError(f"a variant named {INPUT!r} cannot be distinguished from the input in a table")

    @property
    def value_names(self) -> tuple[str, ...]:
        """Names of the values that each image has."""
        return *(measure.name for measure in self.measures), *(metric.name for metric in self.metrics)


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalResult:
    """The figures of one image of one task, restored by one variant or as it was before (INPUT)."""

    task: BenchmarkTask
    file: str
    width: int
    """In pixels, after the protocol's crop."""
    height: int
    variant: str
    values: tuple[float, ...]
    """In the order of `Evaluation.value_names`; a PSNR of equal images is infinite, nan is a metric without value."""
    ms: float | None
    """None for an input."""
    peak_mb: float | None
    """In units of 2^20 bytes; None for an input, and where it cannot be measured."""


def evaluate(evaluation: Evaluation, meter: CostMeter) -> list[EvalResult]:
    """Measure every image of every task; one that cannot be read or restored ends it, since a mean needs them all.

    Raises:
        ImageError: An image cannot be read, or its restoration is not finite; the message names the file.
        OutOfMemory: An image does not fit into memory.
        UsageError: A metric of pyiqa fails.
    """
    _check_images(evaluation)
    _warm_up(evaluation, meter)
    total = sum(len(task.benchmark.images) for task in evaluation.tasks)
    results: list[EvalResult] = []
    with ProgressReport("evaluate", total) as progress:
        for task in evaluation.tasks:
            for image in task.benchmark.images:
                results += _measure(evaluation, meter, task, image)
                progress.advance(task.label)
    return results


def _check_images(evaluation: Evaluation) -> None:
    """Read every image once, so that a broken one is found before hours of restoring."""
    tasks = {task.benchmark.name: task for task in evaluation.tasks}.values()  # one of each benchmark
    total = sum(len(task.benchmark.images) for task in tasks)
    with ProgressReport("check images", total) as progress:
        for task in tasks:
            for image in task.benchmark.images:
                task.read(image, evaluation.protocol)
                progress.advance(task.benchmark.name)


def _warm_up(evaluation: Evaluation, meter: CostMeter) -> None:
    """Restore the first image by each variant, so that no image's time includes what a device does at a first call."""
    task = evaluation.tasks[0]
    image = task.benchmark.images[0]
    degraded, _ = task.read(image, evaluation.protocol)
    for variant in evaluation.variants:
        _restore(evaluation, meter, variant, degraded, image)


def _measure(
    evaluation: Evaluation, meter: CostMeter, task: BenchmarkTask, image: BenchmarkImage
) -> Iterator[EvalResult]:
    degraded, clean = task.read(image, evaluation.protocol)
    target = as_float(clean)

    def result(variant: str, restored: Float, cost: Cost | None) -> EvalResult:
        return EvalResult(
            task=task,
            file=image.name,
            width=restored.shape[1],
            height=restored.shape[0],
            variant=variant,
            values=_values(evaluation, restored, target),
            ms=None if cost is None else cost.seconds * 1000,
            peak_mb=None if cost is None or cost.peak_bytes is None else cost.peak_bytes / MB,
        )

    yield result(INPUT, as_float(degraded), None)
    for variant in evaluation.variants:
        restored, cost = _restore(evaluation, meter, variant, degraded, image)
        yield result(variant.name, evaluation.protocol.postprocess(restored), cost)


def _values(evaluation: Evaluation, restored: Float, clean: Float) -> tuple[float, ...]:
    others = [metric.measure(restored, clean) for metric in evaluation.metrics]
    return *(measure.measure(restored, clean) for measure in evaluation.measures), *others


def _restore(
    evaluation: Evaluation, meter: CostMeter, variant: Variant, degraded: Image8, image: BenchmarkImage
) -> tuple[Float, Cost]:
    """Return the network's output for `degraded` (H, W, 3), not clipped, with what it cost."""
    upright: Callable[[Tensor], Tensor] = partial(evaluation.model, variant=variant)
    network = partial(average_orientations, upright, count=evaluation.self_ensemble)
    call: Callable[[Tensor], Tensor] = network
    if evaluation.protocol.keeps_unchanged:
        call = partial(_restore_and_keep, network)
    if evaluation.tile:
        call = partial(_restore_in_tiles, call, evaluation.tile)
    try:
        with torch.inference_mode():
            x = torch.from_numpy(as_float(degraded)).permute(2, 0, 1)[None].contiguous().to(evaluation.device)
            restored, cost = meter.measure(call, x)
            values: Float = restored[0].permute(1, 2, 0).cpu().numpy()
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        height, width = degraded.shape[:2]
        advice = f"a --tile lower than {evaluation.tile}" if evaluation.tile else "--tile 512"
        place = f"{evaluation.device} at {image.name}, {width}×{height}"
        raise OutOfMemory(f"out of memory on {place}: use {advice}") from error
    if not np.isfinite(values).all():
        raise ImageError(f"{image.name}: variant {variant.name} gives values that are not finite numbers")
    return values, cost


def _restore_and_keep(network: Callable[[Tensor], Tensor], image: Tensor) -> Tensor:
    return keep_unchanged(image, network(image))


def _restore_in_tiles(network: Callable[[Tensor], Tensor], tile: int, image: Tensor) -> Tensor:
    return run_tiled(network, image, tile, overlap=tile // 8)
