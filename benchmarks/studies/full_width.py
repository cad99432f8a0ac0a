"""Training at full width in the time that a GPU is available: pack the images, train and measure, keep the weights.

    python benchmarks/studies/full_width.py pack                 # here: writes build/full_width, to copy to the GPU
    python benchmarks/studies/full_width.py run --out $OUT       # there: needs only that folder and a GPU
    python benchmarks/studies/full_width.py keep $OUT --to benchmarks/weights/dynet-noise-rain --licence other   # here

`run` times a step of each stage, trains both for as many steps as `--minutes` allows, writes the weights in bfloat16 in
parts of at most 15 MB, and evaluates these parts. It writes eight files, none of them larger. `keep` copies the parts
with card, recipes and curves to a folder that `dynet restore --weights` accepts.

A rehearsal of all steps on a CPU:

    python benchmarks/studies/full_width.py run --out /tmp/rehearsal --device cpu --minutes 0.1
        --crop 16 --batch 1 --pictures 1
"""

import argparse
import json
import os
import shutil
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import yaml
from runs import Run, Scale, finetuning, pretraining
from sets import ROOT, TESTS, Sets
from study import WORK, StudyRunner, describe, step_seconds

from dynet.cli.app import main as dynet
from dynet.training.metrics_log import read_lines, values_of

if TYPE_CHECKING:
    from dynet.model.training_record import TrainingRecord

PACKED = ROOT / "build" / "full_width"
FULL = {"dim": 48}
SHARE_OF_PRETRAINING = 0.25
STAGES = ("pretrain", "finetune")
PROBE, SETTLING = 30, 10
"""Steps of each stage that are run to time it, and how many of them are not counted."""
RESERVE = 100.0
"""Seconds of `--minutes` that are reserved for validating, evaluating and writing."""


def pack(to: Path, work: Path, rain: int) -> None:
    """Copy the training images (without test images), CBSD68, and the first pairs of Rain100L to one folder."""
    from datasets import Image, load_dataset

    sets = Sets(work / "sets")
    if to.exists():
        shutil.rmtree(to)
    for name, config in (("bsds", "images"), ("photos_large", "patches")):
        folder = to / "train" / name
        folder.mkdir(parents=True)
        rows = load_dataset(str(sets.folder_of(name)), config, split="train").cast_column("image", Image(decode=False))
        for number, row in enumerate(rows):
            suffix = {b"\xff\xd8": "jpg", b"RI": "webp", b"\x89P": "png"}[row["image"]["bytes"][:2]]
            (folder / f"{number:05d}.{suffix}").write_bytes(row["image"]["bytes"])
    shutil.copytree(TESTS["CBSD68"], to / "test" / "CBSD68")
    copy_first(TESTS["Rain100L"], to / "test" / "Rain100L", rain)
    size = sum(path.stat().st_size for path in to.rglob("*") if path.is_file())
    print(f"{to}: {size / 2**20:.1f} MiB")


def _recipes(arguments: argparse.Namespace, steps: tuple[int, int], **more: Any) -> tuple[Run, Run]:
    before = pretraining("full", steps[0])
    tuned = finetuning("full", steps[1], init=before, ema=0.995)
    for run in (before, tuned):
        count = run.changes["steps"]
        run.changes.update(validation={"every": max(count // 2, 1), "pictures": 8}, checkpoint_every=count, **more)
    return before, tuned


def run_dynet(*arguments: Any) -> None:
    """Run a command in this process, since each new process takes half a minute to load kernels on a new machine."""
    try:
        dynet([str(argument) for argument in arguments])
    except SystemExit as end:
        if end.code:
            sys.exit(f"dynet {' '.join(map(str, arguments))} ended with {end.code}")


def run(arguments: argparse.Namespace) -> None:
    """Train both stages, write the weights in parts, and evaluate them."""
    start = time.monotonic()
    scale = Scale(FULL, arguments.crop, arguments.batch, 0, 0, arguments.learning_rate, "bf16", 1)
    work = arguments.work
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    runner = StudyRunner(scale, work, arguments.device)
    workers = {} if arguments.device == "cpu" else {"workers": max((os.cpu_count() or 1) - 2, 1)}
    data = [f"{arguments.data / 'train' / name}={weight}" for name, weight in (("bsds", 333), ("photos_large", 31))]

    def train(run: Run, name: str, init: Path | None = None) -> Path:
        recipe = work / f"{name}.yaml"
        recipe.write_text(yaml.safe_dump(runner.recipe(run, 0), sort_keys=False))
        command = ["--stage", run.stage, "--config", recipe, "--out", work / name, "--device", arguments.device]
        command += ["--init", init] if init else []
        run_dynet("train", *command, *(word for dataset in data for word in ("--data", dataset)))
        return work / name

    steps = arguments.steps
    if steps is None:
        probes = _recipes(arguments, (PROBE, PROBE), log_every=1, **workers)
        folders = [train(run, f"probe-{run.stage}") for run in probes]
        step_times = [step_seconds(folder / "metrics.jsonl", scale.batch, SETTLING) for folder in folders]
        seconds_left = max(arguments.minutes * 60 - RESERVE - (time.monotonic() - start), 1)
        shares = SHARE_OF_PRETRAINING, 1 - SHARE_OF_PRETRAINING
        steps = [max(int(seconds_left * share / seconds), 2) for share, seconds in zip(shares, step_times, strict=True)]
        print(
            f"{step_times[0]:.3f} and {step_times[1]:.3f} s per step: "
            f"{steps[0]} of pre-training, {steps[1]} of fine-tuning"
        )
    before, tuned = _recipes(arguments, (steps[0], steps[1]), **workers)
    finished = train(tuned, tuned.stage, train(before, before.stage))
    trained = time.monotonic() - start
    arguments.out.mkdir(parents=True, exist_ok=True)
    parts = arguments.out / "weights"
    run_dynet("split", finished, "--out", parts, "--dtype", "bf16", "--max-mb", "15")
    for stage in ("pretrain", "finetune"):
        shutil.copy(work / stage / "metrics.jsonl", arguments.out / f"{stage}.jsonl")
    out = arguments.out / "evaluation"
    evaluate(arguments, parts, "aio-paper", tuple(TESTS), out)
    about = {"minutes": round((time.monotonic() - start) / 60, 1), "training_minutes": round(trained / 60, 1)}
    about |= {"validation": read_lines(finished / "validation.jsonl", values_of)}
    describe_run(arguments, out, about | {"steps": steps})
    print((out / "results.md").read_text())


def evaluate(arguments: argparse.Namespace, weights: Path, protocol: str, names: tuple[str, ...], out: Path) -> None:
    """Evaluate the weights on the packed test sets of these names, and write the results to `out`."""
    torch.use_deterministic_algorithms(False)  # training leaves it switched on
    command: list[Any] = ["--weights", weights, "--protocol", protocol, "--out", out]
    for name in names:
        folder = arguments.data / "test" / name
        if arguments.pictures is not None:
            folder = copy_first(folder, arguments.work / name, arguments.pictures)
        command += ["--benchmark", f"{name}={folder}"]
    run_dynet("evaluate", *command, "--device", arguments.device)


def describe_run(arguments: argparse.Namespace, out: Path, about: dict[str, Any]) -> None:
    """Add machine, command and `about` to the results in `out`."""
    command = " ".join(["python", *sys.argv]).replace(str(arguments.out), arguments.out.name)  # no path of this machine
    results = out / "results.json"
    described = {"run": about | {"machine": describe(), "command": command}}
    results.write_text(json.dumps(json.loads(results.read_text()) | described, indent=1) + "\n")


def copy_first(whole: Path, to: Path, count: int) -> Path:
    """Copy the first images of a test set to a folder, and return it."""
    for side in [side.name for side in whole.iterdir() if side.is_dir()] or [""]:
        (to / side).mkdir(parents=True, exist_ok=True)
        for file in sorted(path for path in (whole / side).iterdir() if path.is_file())[:count]:
            shutil.copy(file, to / side)
    return to


def keep(arguments: argparse.Namespace) -> None:
    """Copy parts, results, card, recipes and curves to one folder; refuse weights that do not load or lack results.

    `recipe.yaml` is of the last run, `pretrain.yaml` of pre-training, `start-1.yaml` of the run before the last, and so
    on; the weights' header says the same.
    """
    from dynet import DyNet
    from dynet.hub.card import CardFacts, render_card
    from dynet.hub.evaluations import CardEvaluation
    from dynet.model.weight_parts import sha256_of
    from dynet.model.weights import locate_weights, read_header

    folder, to = arguments.folder, arguments.to
    weights = locate_weights(folder / "weights")
    DyNet.from_pretrained(weights)
    evaluations = [
        CardEvaluation.read(results.parent, sha256_of(weights))
        for results in sorted((folder / "evaluation").rglob("results.json"))
    ]
    if not evaluations:
        sys.exit(f"{folder}/evaluation holds no results.json: the run did not end")
    header = read_header(weights)
    facts = CardFacts(
        repo_id=f"weights/{to.name}",
        licence=arguments.licence,
        header=header,
        excluded=tuple(arguments.excluded),
        recipe_file=True,
        evaluations=tuple(evaluations),
    )
    shutil.copytree(folder / "weights", to)
    (to / "README.md").write_text(render_card(facts))
    for name, content in (item for evaluated in evaluations for item in evaluated.files.items()):
        (to / name).parent.mkdir(parents=True, exist_ok=True)
        (to / name).write_bytes(content)
    assert header.training is not None
    for number, record in enumerate(runs_behind(header.training)):
        name = "recipe" if number == 0 else "pretrain" if record.stage == "pretrain" else f"start-{number}"
        every = {
            "preview_every": record.steps,
            "checkpoint_every": record.steps,
        }  # the weights do not depend on them, so they are not recorded
        recipe = dict(record.recipe) | {"variants": dict(record.recipe["variants"])} | every
        (to / f"{name}.yaml").write_text(yaml.safe_dump(recipe, sort_keys=False))
    for stage in STAGES:
        if (folder / f"{stage}.jsonl").is_file():
            shutil.copy(folder / f"{stage}.jsonl", to)
    curves(folder, to / "training.svg")
    print(to)


def runs_behind(last: "TrainingRecord") -> "Iterator[TrainingRecord]":
    """Yield the run that made weights, the run that made the weights that it began from, and so on."""
    run: TrainingRecord | None = last
    while run is not None:
        yield run
        run = run.start.training if run.start else None


def curves(folder: Path, chart_file: Path) -> None:
    """Draw the loss of both stages by variant; each point is the mean over a twentieth of its steps."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "full width"
    from matplotlib import pyplot

    stages = [stage for stage in STAGES if (folder / f"{stage}.jsonl").is_file()]
    figure, panels = pyplot.subplots(
        1, len(stages), figsize=(4.5 * len(stages), 3), squeeze=False, layout="constrained"
    )
    for axes, stage in zip(panels[0], stages, strict=True):
        lines = read_lines(folder / f"{stage}.jsonl", values_of)
        for variant, colour in (("XS", "#3a9d5d"), ("S", "#30638e"), ("L", "#d1495b")):
            points = [(line["step"], line["loss"]) for line in lines if line["variant"] == variant]
            window = max(len(points) // 20, 1)
            if not points:
                continue
            means = [
                statistics.fmean(loss for _, loss in points[n : n + window]) for n in range(0, len(points), window)
            ]
            axes.plot([step for step, _ in points[::window]], means, color=colour, label=variant)
        axes.set(title=stage, xlabel="step", ylabel="loss (L1)", ylim=(0, None))
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)
    figure.savefig(chart_file, metadata={"Date": None})
    pyplot.close(figure)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    packing = commands.add_parser("pack", help="collect the images")
    packing.add_argument("--to", type=Path, default=PACKED)
    packing.add_argument("--work", type=Path, default=WORK, help="folder in which the datasets are built")
    running = commands.add_parser("run", help="train and measure")
    running.add_argument("--data", type=Path, default=PACKED)
    running.add_argument("--out", type=Path, required=True)
    running.add_argument("--work", type=Path, default=Path("/tmp/full_width"))
    running.add_argument("--minutes", type=float, default=9, help="duration of the whole command")
    running.add_argument(
        "--steps", type=int, nargs=2, help="steps of the two stages, instead of those that the time allows"
    )
    running.add_argument("--crop", type=int, default=128)
    running.add_argument("--batch", type=int, default=32)
    running.add_argument("--learning-rate", type=float, default=5e-4)
    running.add_argument("--pictures", type=int, help="images of each test set; default: all")
    running.add_argument("--device", default="cuda")
    keeping = commands.add_parser("keep", help="copy weights with a card to a folder of this repository")
    keeping.add_argument("folder", type=Path)
    keeping.add_argument("--to", type=Path, required=True)
    keeping.add_argument("--licence", required=True)
    keeping.add_argument(
        "--excluded", nargs="*", default=[*TESTS], help="test sets that the training data were built without"
    )
    packing.add_argument("--rain", type=int, default=24, help="pairs of Rain100L; all are 51 MB, too much to transfer")
    arguments = parser.parse_args()
    if arguments.command == "pack":
        pack(arguments.to, arguments.work, arguments.rain)
    else:
        {"run": run, "keep": keep}[arguments.command](arguments)


if __name__ == "__main__":
    main()
