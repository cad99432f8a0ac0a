"""`train` and `evaluate` as functions. torch is imported by the calls, not with this module."""

import os
from collections.abc import Iterable, Mapping, Sequence
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from dynet.api.choices import (
    MIN_TILE,
    DeviceChoice,
    PathLike,
    SelfEnsemble,
    as_device,
    as_self_ensemble,
    optional_count,
)
from dynet.arguments import as_choice, as_flag, as_path, as_text, as_texts, naming_arguments, raising_disk_errors, shown
from dynet.config.recipe import STAGES, AnyRecipe, FinetuneRecipe, PretrainRecipe, checked_recipe, load_recipe
from dynet.config.shipped_recipes import find_recipe
from dynet.errors import RecipeError, UsageError
from dynet.extras import require
from dynet.model.weights import FILE_NAME, locate_weights

if TYPE_CHECKING:
    from dynet.data.sources import DataSource
    from dynet.evaluation.report import Report
    from dynet.training.train import Outcome

Stage: TypeAlias = Literal["pretrain", "finetune"]
Protocol: TypeAlias = Literal["aio-paper", "strict", "harm"]


@naming_arguments
@raising_disk_errors
def train(
    data: PathLike | Iterable[PathLike],
    out: PathLike,
    recipe: PathLike | AnyRecipe,
    *,
    stage: Stage | None = None,
    init: PathLike | None = None,
    resume: bool = False,
    steps: int | None = None,
    stream: bool = False,
    device: DeviceChoice = "auto",
) -> Path:
    """Train a network: pre-train it on clean images, or fine-tune it on tasks.

    Args:
        data: One or several datasets, folders of images, or folders of pairs, as `[TASK:]DIR_OR_REPO[=WEIGHT]`.
        out: The folder of the run.
        recipe: A recipe, its file, or the name of a shipped one (`dynet_laptop`).
        stage: `pretrain` or `finetune`; None takes that of the recipe.
        init: Weights to start from: a file, a folder, or a repository on the Hub.
        resume: Whether to continue the run in `out`, if there is one.
        steps: The number of steps, instead of the recipe's.
        stream: Whether to read datasets while training, without downloading them first.
        device: `auto` takes a GPU where there is one; `cpu`, `cuda`, `mps`.

    Returns:
        The weights file.

    Raises:
        UsageError: An argument cannot be used; `RecipeError`, `DataError`, `WeightsError` and `RunError` are of this
            kind.
        DivergedError: The loss is not a number.
        OutOfMemory: The device has too little memory for the recipe.
        InterruptedRun: A signal stopped the run; `resume=True` continues it.
    """
    require("torch", "accelerate", "safetensors", "tensorboard")
    from dynet.data.sources import DataSource

    named = [data] if isinstance(data, str | os.PathLike) else data
    if isinstance(named, bytes | bytearray) or not isinstance(named, Iterable):
        raise UsageError(f"data: {shown(data)} is neither a path nor a list of paths")
    sources = tuple(DataSource.parse(as_path("data", one)) for one in named)
    if not sources:
        raise UsageError("data: is empty")
    folder = Path(as_path("out", out))
    chosen = _recipe(recipe, stage, optional_count("steps", steps, at_least=1))
    train_network(
        chosen,
        sources,
        folder,
        init=None if init is None else as_path("init", init),
        resume=as_flag("resume", resume),
        stream=as_flag("stream", stream),
        device=as_device(device),
    )
    return folder / FILE_NAME


@naming_arguments
@raising_disk_errors
def evaluate(
    weights: PathLike,
    benchmark: Mapping[str, PathLike] | str | Iterable[str],
    protocol: Protocol = "aio-paper",
    *,
    variants: str | Iterable[str] | None = None,
    sigma: float | Iterable[float] | None = None,
    metrics: str | Iterable[str] | None = None,
    tile: int | None = None,
    self_ensemble: SelfEnsemble = 1,
    out: PathLike | None = None,
    device: DeviceChoice = "auto",
) -> "Report":
    """Measure how well, how fast and in how much memory a network restores benchmarks.

    Args:
        weights: A weights file, a folder that holds one, the name of shipped weights, or a repository on the Hub.
        benchmark: Folders of pairs or of clean images by name, `{"CBSD68": "sets/CBSD68"}`, or texts `NAME=DIR`.
        protocol: `aio-paper` and `strict` as papers do, `harm` for what a network does to clean images.
        variants: Names of variants; None is all.
        sigma: Standard deviations in levels of the noise on clean images; None is 15, 25 and 50.
        metrics: Metrics of pyiqa besides PSNR and SSIM.
        tile: The side in pixels of the tiles to restore in, from 32; None restores whole images.
        self_ensemble: In how many orientations to restore each image, 1, 2, 4 or 8, to average them.
        out: A folder for the results, with those of each image.
        device: `auto` takes a GPU where there is one; `cpu`, `cuda`, `mps`.

    Returns:
        The results: `as_object()` has the numbers, `as_markdown()` the tables, which a notebook shows.

    Raises:
        UsageError: An argument cannot be used, or there are no such weights, variants or benchmarks.
        ImageError: An image of a benchmark cannot be read or restored.
        OutOfMemory: An image does not fit into memory.
    """
    require("torch", "safetensors", "tifffile")
    from dynet.evaluation.evaluate_weights import evaluate_weights
    from dynet.evaluation.plan import PLANNERS, EvaluationRequest

    folder = None if out is None else Path(as_path("out", out))
    request = EvaluationRequest(
        weights=as_path("weights", weights),
        benchmarks=_benchmarks(benchmark),
        protocol=as_choice("protocol", protocol, PLANNERS),
        variants=None if variants is None else ",".join(as_texts("variants", variants)),
        sigma=None if sigma is None else _sigmas(sigma),
        metrics=None if metrics is None else ",".join(as_texts("metrics", metrics)),
        tile=optional_count("tile", tile, at_least=MIN_TILE),
        self_ensemble=as_self_ensemble(self_ensemble),
        out=folder,
        device=as_device(device),
    )
    report = evaluate_weights(request)
    if folder is not None:
        report.write(folder)
    return report


def train_network(
    recipe: AnyRecipe,
    sources: "Sequence[DataSource]",
    out: Path,
    *,
    init: str | None,
    resume: bool,
    stream: bool,
    device: DeviceChoice,
) -> "Outcome":
    """Train to the last step of a recipe with arguments that have been checked: what `dynet train` and `train` do."""
    from dynet.training.run_options import RunOptions
    from dynet.training.train import train as run_training

    options = RunOptions(
        sources=tuple(sources),
        out=out,
        init=None if init is None else locate_weights(init),
        resume=resume,
        device=device,
        stream=stream,
        available=_available_memory,
    )
    return run_training(recipe, options)


def _available_memory() -> int:
    import torch

    from dynet.inference.memory import available_bytes

    return available_bytes(torch.device("cpu"))


def _recipe(recipe: object, stage: object, steps: int | None) -> AnyRecipe:
    """Return a recipe from an object, a file or a name, of this stage and with this number of steps."""
    chosen = None if stage is None else as_choice("stage", stage, STAGES)
    if not isinstance(recipe, PretrainRecipe | FinetuneRecipe):
        if not isinstance(recipe, str | os.PathLike):
            raise UsageError(f"recipe: {shown(recipe)} is not a recipe, a file or a name")
        return load_recipe(find_recipe(as_path("recipe", recipe)), chosen, steps)
    if chosen not in (None, recipe.stage):
        raise RecipeError(f"recipe: is for stage {recipe.stage!r}, not {chosen!r}")
    if steps is not None:
        raise UsageError("steps: only for a recipe by its name or file; set the steps of the recipe itself")
    return checked_recipe(recipe)


def _benchmarks(benchmark: object) -> list[str]:
    """Return benchmarks as texts NAME=DIR."""
    if isinstance(benchmark, Mapping):
        pairs = [f"{as_text('benchmark', name)}={as_path('benchmark', folder)}" for name, folder in benchmark.items()]
        if wrong := [name for name in benchmark if "=" in name]:
            raise UsageError(f"benchmark: {shown(wrong[0])} has a =, which separates a name from its folder")
    elif isinstance(benchmark, str):
        pairs = [benchmark]
    else:
        pairs = as_texts("benchmark", benchmark)
    if not pairs:
        raise UsageError("benchmark: is empty")
    return pairs


def _sigmas(sigma: object) -> str:
    """Return standard deviations as a text with commas."""
    numbers = [sigma] if isinstance(sigma, str | bytes) or not isinstance(sigma, Iterable) else list(sigma)
    if not numbers or any(isinstance(one, bool) or not isinstance(one, str | Real) for one in numbers):
        raise UsageError(f"sigma: {shown(sigma)} is neither a number nor a list of numbers")
    return ",".join(map(str, numbers))
