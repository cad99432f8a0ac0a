"""The commands `train` and `evaluate`."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from dynet.api.choices import MIN_TILE
from dynet.cli.options import Device, DeviceOption, SelfEnsembleOption, WeightsOption
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
        typer.Option(help="A dataset, a folder of images or of pairs, or a Hub repository; can be repeated."),
    ],
    stage: Annotated[StageName, typer.Option(help="pretrain: on clean images; finetune: on tasks.")],
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
    """Pre-train or fine-tune a network.

    Pre-training takes clean images, fine-tuning tasks.
    """
    require("torch", "accelerate", "safetensors", "tensorboard")
    from dynet.api.training import train_network
    from dynet.config.recipe import load_recipe
    from dynet.config.shipped_recipes import find_recipe
    from dynet.data.sources import DataSource
    from dynet.training.train import Outcome

    loaded = load_recipe(find_recipe(recipe), stage.value, steps)
    sources = [DataSource.parse(argument) for argument in data]
    outcome = train_network(loaded, sources, out, init=init, resume=resume, stream=stream, device=device.value)
    if outcome is Outcome.ALREADY_FINISHED:
        print(f"{printable(out)} is finished: all {loaded.steps} steps are done, nothing to do")
    print(printable(out / "weights.safetensors"))


@app.command()
def evaluate(
    weights: WeightsOption,
    benchmark: Annotated[list[str], typer.Option(help="NAME=DIR: a folder of pairs, or of clean images.")],
    protocol: Annotated[ProtocolName, typer.Option(help="The rules: of papers, of a user, or of the test for harm.")],
    variants: Annotated[str | None, typer.Option(help="Variants, separated by commas; default: all.")] = None,
    sigma: Annotated[str | None, typer.Option(help="Noise on clean images, in levels; default: 15,25,50.")] = None,
    metrics: Annotated[str | None, typer.Option(help="Metrics of pyiqa in addition to PSNR and SSIM: lpips,…")] = None,
    tile: Annotated[
        int | None,
        typer.Option(min=MIN_TILE, help="Side in pixels of the tiles to restore in; default: whole images."),
    ] = None,
    self_ensemble: SelfEnsembleOption = "1",
    out: Annotated[Path | None, typer.Option(help="A folder for the results, with those of each image.")] = None,
    device: DeviceOption = Device.auto,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")] = False,
) -> None:
    """Measure a network on benchmarks.

    How well it restores them, how fast, and in how much memory.
    """
    require("torch", "safetensors", "tifffile")
    from dynet.evaluation.evaluate_weights import evaluate_weights
    from dynet.evaluation.plan import EvaluationRequest

    request = EvaluationRequest(
        weights=weights,
        benchmarks=benchmark,
        protocol=protocol.value,
        variants=variants,
        sigma=sigma,
        metrics=metrics,
        tile=tile,
        self_ensemble=int(self_ensemble),
        out=out,
        device=device.value,
    )
    report = evaluate_weights(request)
    report.print(as_json=as_json)
    if out is not None:
        report.write(out)
