"""The commands `train` and `evaluate`."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from dynet.cli.options import Device, DeviceOption, WeightsOption
from dynet.extras import require
from dynet.runtime.printable import printable

app = typer.Typer(rich_markup_mode=None)


class StageName(StrEnum):
    """The stages of training."""

    pretrain = "pretrain"
    finetune = "finetune"


class ProtocolName(StrEnum):
    """The evaluation protocols."""

    aio_paper = "aio-paper"
    strict = "strict"
    harm = "harm"


@app.command()
def train(
    data: Annotated[
        list[str],
        typer.Option(help="[TASK:]DIR_OR_REPO[=WEIGHT]: a dataset, a folder of images, or a folder of pairs."),
    ],
    stage: Annotated[StageName, typer.Option(help="The stage of training.")],
    recipe: Annotated[
        str, typer.Option("--recipe", "--config", help="A recipe file, or the name of a shipped recipe.")
    ],
    out: Annotated[Path, typer.Option(help="The folder of this run.")],
    init: Annotated[str | None, typer.Option(help="Weights to start from: file, folder or Hub repository.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the run in --out, if there is one.")] = False,
    steps: Annotated[int | None, typer.Option(min=1, help="The number of steps, instead of the recipe's.")] = None,
    stream: Annotated[
        bool, typer.Option("--stream", help="Read datasets while training, without downloading them first.")
    ] = False,
    device: DeviceOption = Device.auto,
) -> None:
    """Train a network: pre-train it on clean images, or fine-tune it on tasks."""
    require("torch", "accelerate", "safetensors", "tensorboard")
    from dynet.config.recipe import load_recipe
    from dynet.config.shipped_recipes import find_recipe
    from dynet.data.sources import DataSource
    from dynet.model.weights import locate_weights
    from dynet.training.run_options import RunOptions
    from dynet.training.train import Outcome
    from dynet.training.train import train as run_training

    loaded = load_recipe(find_recipe(recipe), stage.value, steps)
    options = RunOptions(
        sources=tuple(DataSource.parse(argument) for argument in data),
        out=out,
        init=locate_weights(init) if init is not None else None,
        resume=resume,
        device=device.value,
        stream=stream,
        available=_available_memory,
    )
    outcome = run_training(loaded, options)
    if outcome is Outcome.ALREADY_FINISHED:
        print(f"{printable(out)} is finished: all {loaded.steps} steps are done, nothing to do")
    print(printable(out / "weights.safetensors"))


def _available_memory() -> int:
    import torch

    from dynet.inference.memory import available_bytes

    return available_bytes(torch.device("cpu"))


@app.command()
def evaluate(
    weights: WeightsOption,
    benchmark: Annotated[list[str], typer.Option(help="NAME=DIR: a folder of pairs, or of clean images.")],
    protocol: Annotated[ProtocolName, typer.Option(help="The rules: of papers, of a user, or of the test for harm.")],
    variants: Annotated[str | None, typer.Option(help="Variants, separated by commas; default: all.")] = None,
    sigma: Annotated[str | None, typer.Option(help="Noise on clean images, in levels; default: 15,25,50.")] = None,
    metrics: Annotated[str | None, typer.Option(help="Metrics of pyiqa in addition to PSNR and SSIM: lpips,…")] = None,
    tile: Annotated[
        int | None, typer.Option(min=32, help="Side in pixels of the tiles to restore in; default: whole images.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="A folder for the results, with those of each image.")] = None,
    device: DeviceOption = Device.auto,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")] = False,
) -> None:
    """Measure how well, how fast and in how much memory a network restores benchmarks."""
    from dynet.evaluation.pyiqa_names import check_names

    if metrics is not None:
        check_names(metrics)  # before what takes long to import
    from dynet.evaluation.benchmark import BenchmarkSet, parse_sigmas
    from dynet.evaluation.evaluate import Evaluation
    from dynet.evaluation.evaluate import evaluate as run_evaluation
    from dynet.evaluation.kinds import KINDS
    from dynet.evaluation.pyiqa_metrics import load_metrics
    from dynet.inference.restore import choose_variants
    from dynet.inference.tiling import round_tile_to_stride
    from dynet.runtime.atomic_files import create_output_folder
    from dynet.runtime.cost import CostMeter
    from dynet.runtime.devices import resolve_device
    from dynet.spandrel.any_weights import load_any_weights

    benchmarks = [BenchmarkSet.parse(argument) for argument in benchmark]
    kind = KINDS[protocol.value]
    tasks = kind.plan(benchmarks, None if sigma is None else parse_sigmas(sigma))
    where = resolve_device(device.value)
    model, file = load_any_weights(weights)
    model.to(where)
    evaluation = Evaluation(
        model=model,
        variants=model.variants if variants is None else choose_variants(variants, model),
        device=where,
        protocol=kind.protocol,
        tasks=tasks,
        measures=kind.measures,
        metrics=() if metrics is None else load_metrics(metrics, where),
        tile=round_tile_to_stride(tile),
    )
    if out is not None:
        create_output_folder(out)
    meter = CostMeter(where, model)
    results = run_evaluation(evaluation, meter)
    report = kind.report(evaluation=evaluation, weights=file, memory=meter.memory, results=results)
    report.print(as_json=as_json)
    if out is not None:
        report.write(out)
