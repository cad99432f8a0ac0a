"""The command line: arguments to calls, and faults to one line and an exit code. No other logic."""

import errno
import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

import dynet
from dynet.cli import release as cli_release
from dynet.errors import DyNetError, UsageError
from dynet.runtime.sigterm import Interruptible

INTERRUPTED = 130

app = typer.Typer(
    name="dynet",
    help="Train DyNet on image sets, and restore pictures with it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(cli_release.app)


class StageName(StrEnum):
    """The stages of training."""

    pretrain = "pretrain"
    finetune = "finetune"


class Device(StrEnum):
    """Where to compute; auto takes a GPU where there is one."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"
    mps = "mps"


class ProtocolName(StrEnum):
    """How a benchmark is put to the network."""

    aio_paper = "aio-paper"
    strict = "strict"


class Precision(StrEnum):
    """What restoring computes in."""

    auto = "auto"
    fp32 = "fp32"
    bf16 = "bf16"


DeviceOption = Annotated[Device, typer.Option(help="Where to compute; auto takes a GPU where there is one.")]


def _version(asked: bool) -> None:
    if asked:
        print(f"dynet {dynet.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """Take what comes before the command."""


@app.command()
def train(
    data: Annotated[
        list[str],
        typer.Option(help="[TASK:]DIR_OR_REPO[=WEIGHT]: a data set, a folder of pictures, or one of pairs."),
    ],
    stage: Annotated[StageName, typer.Option(help="What to train for.")],
    config: Annotated[Path, typer.Option(help="The recipe: a file, or the name of a shipped one.")],
    out: Annotated[Path, typer.Option(help="The folder of this run.")],
    init: Annotated[str | None, typer.Option(help="Weights to start from: file, folder or Hub repository.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out, if there is one.")] = False,
    steps: Annotated[int | None, typer.Option(min=1, help="Train for this many steps instead.")] = None,
    stream: Annotated[bool, typer.Option("--stream", help="Read data sets as needed, not whole first.")] = False,
    device: DeviceOption = Device.auto,
) -> None:
    """Train a network: pre-train it on clean pictures, or fine-tune it on tasks."""
    from dynet.config.recipe import find_recipe, load_recipe
    from dynet.data.sources import Source
    from dynet.model.weights import locate_weights
    from dynet.training.run_options import Job
    from dynet.training.train import Outcome
    from dynet.training.train import train as run_training

    recipe = load_recipe(find_recipe(config), stage.value, steps)
    job = Job(
        sources=tuple(Source.parse(argument) for argument in data),
        out=out,
        init=locate_weights(init) if init is not None else None,
        resume=resume,
        device=device.value,
        stream=stream,
    )
    outcome = run_training(recipe, job)
    if outcome is Outcome.ALREADY_FINISHED:
        print(f"{out} is finished: all {recipe.steps} steps are done, nothing to do")
    print(out / "weights.safetensors")


@app.command()
def evaluate(
    weights: Annotated[str, typer.Option(help="A weights file, a folder that holds one, or a Hub repository.")],
    benchmark: Annotated[list[str], typer.Option(help="NAME=DIR: a folder of pairs, or of clean pictures.")],
    protocol: Annotated[ProtocolName, typer.Option(help="As papers measure, or as a user would.")],
    variants: Annotated[str | None, typer.Option(help="Variants, with commas between; else all of them.")] = None,
    sigma: Annotated[str | None, typer.Option(help="Noise on clean pictures, in levels; else 15,25,50.")] = None,
    metrics: Annotated[str | None, typer.Option(help="Metrics of pyiqa beside PSNR and SSIM: lpips,…")] = None,
    tile: Annotated[int | None, typer.Option(min=32, help="Restore in tiles of this side in pixels.")] = None,
    out: Annotated[Path | None, typer.Option(help="A folder for the results, also picture by picture.")] = None,
    device: DeviceOption = Device.auto,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")] = False,
) -> None:
    """Measure how well, how fast and in how much memory a network restores benchmarks."""
    from dynet.evaluation.benchmark import Benchmark, parse_sigmas, plan_tasks
    from dynet.evaluation.evaluate import Evaluation
    from dynet.evaluation.evaluate import evaluate as run_evaluation
    from dynet.evaluation.protocol import PROTOCOLS
    from dynet.evaluation.pyiqa_metrics import load_metrics
    from dynet.evaluation.report import Report
    from dynet.inference.restore import choose_variants
    from dynet.inference.tiling import in_strides
    from dynet.model.network import DyNet
    from dynet.model.weights import locate_weights
    from dynet.runtime.atomic_files import prepare_folder
    from dynet.runtime.cost import CostMeter
    from dynet.runtime.devices import resolve_device

    benchmarks = [Benchmark.parse(argument) for argument in benchmark]
    tasks = plan_tasks(benchmarks, None if sigma is None else parse_sigmas(sigma))
    where = resolve_device(device.value)
    file = locate_weights(weights)
    model = DyNet.from_pretrained(file).to(where)
    how = Evaluation(
        model=model,
        variants=model.variants if variants is None else choose_variants(variants, model),
        device=where,
        protocol=PROTOCOLS[protocol.value],
        tasks=tasks,
        metrics=() if metrics is None else load_metrics(metrics, where),
        tile=in_strides(tile),
    )
    if out is not None:
        prepare_folder(out)
    meter = CostMeter(where, model)
    report = Report(how=how, weights=file, memory=meter.memory, measured=run_evaluation(how, meter))
    report.print(as_json=as_json)
    if out is not None:
        report.write(out)


@app.command()
def restore(
    inputs: Annotated[
        list[str], typer.Argument(help="Pictures, folders of pictures, and patterns such as 'in/*.jpg'.")
    ],
    out: Annotated[Path, typer.Option(help="The folder to write to.")],
    weights: Annotated[str, typer.Option(help="A weights file, a folder that holds one, or a Hub repository.")],
    variants: Annotated[str, typer.Option(help="Variants of the weights, with commas between.")] = "L",
    tile: Annotated[int | None, typer.Option(min=32, help="Restore in tiles of this side in pixels.")] = None,
    compare: Annotated[bool, typer.Option("--compare", help="Also write before and after side by side.")] = False,
    format: Annotated[
        str | None, typer.Option(help="png, jpeg, webp, tiff, bmp or avif; else that of the input.")
    ] = None,
    quality: Annotated[int | None, typer.Option(help="1 to 100, of JPEG, WebP and AVIF.")] = None,
    precision: Annotated[
        Precision, typer.Option(help="What to compute in; auto takes bf16 on processors that have it.")
    ] = Precision.auto,
    local_statistics: Annotated[
        int | None,
        typer.Option(min=64, help="Attend within windows of this side in pixels; 1.5 times training's crop."),
    ] = None,
    device: DeviceOption = Device.auto,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that are there.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per file.")] = False,
) -> None:
    """Restore pictures; exit code 1 if one of them could not be."""
    from dynet.inference import memory
    from dynet.inference.encoding import Encoding
    from dynet.inference.inputs import find_inputs
    from dynet.inference.precision import choose_kind
    from dynet.inference.report import restore_and_report
    from dynet.inference.restore import Restoration, choose_variants, prepare
    from dynet.inference.tiling import in_strides
    from dynet.model.network import DyNet
    from dynet.runtime.atomic_files import prepare_folder
    from dynet.runtime.devices import resolve_device

    where = resolve_device(device.value)
    encoding = Encoding.parse(format, quality)
    if where.type == "cpu":
        memory.reuse_small_blocks()
    model = DyNet.from_pretrained(weights).to(where)
    how = Restoration(
        model=model,
        variants=choose_variants(variants, model),
        device=where,
        tile=in_strides(tile),
        compare=compare,
        overwrite=overwrite,
        encoding=encoding,
    )
    found = find_inputs(inputs, out, how.naming, overwrite=overwrite)
    prepare_folder(out)
    prepare(model, choose_kind(precision.value, where), local_statistics)
    if not restore_and_report(found, how, as_json=as_json):
        raise typer.Exit(1)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with the code that the contract gives each ending."""
    # Threads that wait for work by spinning make two busy processes on one machine ten times slower than one after
    # the other. Read when torch is loaded, so it is set here, before; a user's own setting stands.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # Without it cuBLAS may add up in another order from call to call, and a resumed run would differ.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    sys.exit(_run(sys.argv[1:] if arguments is None else arguments))


def _run(arguments: list[str]) -> int:
    with Interruptible() as signals:
        try:
            return _exit_code(arguments)
        except Exception:
            if signals.received:  # libraries turn KeyboardInterrupt into errors of their own
                return _say("interrupted", INTERRUPTED)
            raise


def _exit_code(arguments: list[str]) -> int:
    try:
        code = app(arguments, prog_name="dynet", standalone_mode=False)
    except DyNetError as error:
        return _say(_one_line(error), error.exit_code)
    except _usage_errors() as error:
        message = _one_line(error)
        return _say(message, UsageError.exit_code) if message else UsageError.exit_code  # none after help alone
    except OSError as error:
        if error.errno == errno.ENOSPC:
            return _say(f"the disk is full: {error.filename or error.strerror}", 1)
        if error.filename is not None:
            return _say(f"{error.filename}: {error.strerror}", UsageError.exit_code)
        raise
    except MemoryError:
        return _say("out of memory: the numbers of the recipe, or the pictures, are too large for this machine", 1)
    if code == INTERRUPTED:  # what typer makes of Ctrl-C
        return _say("interrupted", INTERRUPTED)
    return code if isinstance(code, int) else 0


def _usage_errors() -> Any:
    """The root of typer's own usage errors, which is click's in some versions and typer's in others."""
    return next(parent for parent in typer.BadParameter.__mro__ if parent.__name__ == "ClickException")


def _one_line(error: Exception) -> str:
    describe = getattr(error, "format_message", None)
    if describe is not None:  # of typer: some list what is allowed line by line
        return " ".join(str(describe()).split())
    # What a data-loading process raised comes with its traceback in front; the fault is the last line.
    lines = str(error).strip().splitlines()
    return lines[-1].removeprefix(f"{type(error).__module__}.{type(error).__qualname__}: ") if lines else repr(error)


def _say(message: str, code: int) -> int:
    Console(stderr=True).print(f"dynet: {message}", markup=False, highlight=False, soft_wrap=True)
    return code
