"""Full width in the time that a lent GPU gives: pack the pictures, train and measure there, keep the weights here.

    python benchmarks/studies/full_width.py pack                 # here: build/full_width, to be carried to the GPU
    python benchmarks/studies/full_width.py run --out $OUT       # there: needs nothing but that folder and a GPU
    python benchmarks/studies/full_width.py keep $OUT --to weights/dynet-noise-rain --licence cc-by-4.0   # here

`run` measures a step of each stage, trains both for as many as go into `--minutes`, writes the weights in bfloat16 in
parts of at most 15 MB, and evaluates these parts. It leaves eight files, none larger. `keep` puts the parts with a card
into a folder that `dynet restore --weights` takes as it is.

The rehearsal, every step of it on a CPU:

    python benchmarks/studies/full_width.py run --out /tmp/rehearsal --device cpu \\
        --steps 2 2 --crop 32 --batch 2 --pictures 1
"""

import argparse
import json
import shutil
import time
from pathlib import Path
from typing import Any

import yaml
from runs import Run, Scale, finetuning, pretraining
from sets import ROOT, TESTS, Sets, run_program
from study import WORK, Trainer

PACKED = ROOT / "build" / "full_width"
FULL = {"dim": 48}
SHARE_OF_PRETRAINING = 0.5
RESERVE = 120.0
"""Seconds of `--minutes` that are not for training: starting, evaluating, writing."""


def pack(to: Path, work: Path, rain: int) -> None:
    """The training pictures without test pictures, as files, CBSD68, and the first pairs of Rain100L."""
    from datasets import Image, load_dataset

    sets = Sets(work / "sets")
    if to.exists():
        shutil.rmtree(to)
    for name, config in (("bsds", "images"), ("photos_large", "patches")):
        folder = to / "train" / name
        folder.mkdir(parents=True)
        rows = load_dataset(str(sets.place(name)), config, split="train").cast_column("image", Image(decode=False))
        for number, row in enumerate(rows):
            suffix = {b"\xff\xd8": "jpg", b"RI": "webp", b"\x89P": "png"}[row["image"]["bytes"][:2]]
            (folder / f"{number:05d}.{suffix}").write_bytes(row["image"]["bytes"])
    shutil.copytree(TESTS["CBSD68"], to / "test" / "CBSD68")
    _fewer(TESTS["Rain100L"], to / "test" / "Rain100L", rain)
    size = sum(path.stat().st_size for path in to.rglob("*") if path.is_file())
    print(f"{to}: {size / 2**20:.1f} MiB")


def _recipes(arguments: argparse.Namespace, steps: tuple[int, int]) -> tuple[Run, Run]:
    before = pretraining("full", steps[0])
    tuned = finetuning("full", steps[1], init=before, ema=0.999)
    for run in (before, tuned):
        run.changes.update(validation={"every": max(run.changes["steps"] // 5, 1), "pictures": 8})
    return before, tuned


def run(arguments: argparse.Namespace) -> None:
    """Both stages, the parts, the figures."""
    began = time.monotonic()
    scale = Scale(FULL, arguments.crop, arguments.batch, 0, 0, 2e-4, "bf16", 1)
    work = arguments.work
    shutil.rmtree(work, ignore_errors=True)
    trainer = Trainer(scale, work, arguments.device)
    data = [f"{arguments.data / 'train' / name}={weight}" for name, weight in (("bsds", 333), ("photos_large", 31))]

    def train(run: Run, name: str, init: Path | None = None) -> Path:
        recipe = work / f"{name}.yaml"
        recipe.parent.mkdir(parents=True, exist_ok=True)
        recipe.write_text(yaml.safe_dump(trainer.recipe(run, 0), sort_keys=False))
        command = ["--stage", run.stage, "--config", recipe, "--out", work / name, "--device", arguments.device]
        command += ["--init", init] if init else []
        run_program("dynet", "train", *map(str, command), *(part for place in data for part in ("--data", place)))
        return work / name

    def per_step(which: int) -> float:
        probe = _recipes(arguments, (40, 40))[which]
        lines = [
            json.loads(line) for line in (train(probe, f"probe{which}") / "metrics.jsonl").read_text().splitlines()
        ]
        times = sorted(scale.batch / line["images_per_s"] for line in lines[10:])
        return times[len(times) // 2]

    steps = arguments.steps
    if steps is None:
        pace = per_step(0), per_step(1)
        left = arguments.minutes * 60 - RESERVE - (time.monotonic() - began)
        shares = SHARE_OF_PRETRAINING, 1 - SHARE_OF_PRETRAINING
        steps = [max(int(left * share / second), 50) for share, second in zip(shares, pace, strict=True)]
        print(f"{pace[0]:.3f} and {pace[1]:.3f} s a step: {steps[0]} steps of pre-training, {steps[1]} of fine-tuning")
    before, tuned = _recipes(arguments, (steps[0], steps[1]))
    finished = train(tuned, "finetune", train(before, "pretrain"))
    trained = time.monotonic() - began
    arguments.out.mkdir(parents=True, exist_ok=True)
    parts = arguments.out / "weights"
    run_program("dynet", "split", str(finished), "--out", str(parts), "--dtype", "bf16", "--max-mb", "15")
    for stage in ("pretrain", "finetune"):
        shutil.copy(work / stage / "metrics.jsonl", arguments.out / f"{stage}.jsonl")
    _evaluate(arguments, parts)
    about = {"minutes": round((time.monotonic() - began) / 60, 1), "training_minutes": round(trained / 60, 1)}
    about |= {"steps": steps, "validation": (finished / "validation.jsonl").read_text().splitlines()}
    results = arguments.out / "evaluation" / "results.json"
    results.write_text(json.dumps(json.loads(results.read_text()) | {"run": about}, indent=1) + "\n")
    print((arguments.out / "evaluation" / "results.md").read_text())


def _evaluate(arguments: argparse.Namespace, weights: Path) -> None:
    command: list[Any] = ["--weights", weights, "--protocol", "aio-paper", "--out", arguments.out / "evaluation"]
    for name in TESTS:
        folder = arguments.data / "test" / name
        if arguments.pictures is not None:
            folder = _fewer(folder, arguments.work / name, arguments.pictures)
        command += ["--benchmark", f"{name}={folder}"]
    run_program("dynet", "evaluate", *map(str, command), "--device", arguments.device)


def _fewer(whole: Path, to: Path, count: int) -> Path:
    """A folder with the first pictures of a test set."""
    for side in [side.name for side in whole.iterdir() if side.is_dir()] or [""]:
        (to / side).mkdir(parents=True, exist_ok=True)
        for file in sorted(path for path in (whole / side).iterdir() if path.is_file())[:count]:
            shutil.copy(file, to / side)
    return to


def keep(arguments: argparse.Namespace) -> None:
    """Parts, results and card into one folder; what does not load, or was not measured, is refused."""
    from dynet import DyNet
    from dynet.publishing.card import CardFacts, render_card
    from dynet.publishing.evaluations import Evaluated
    from dynet.weight_parts import sha256_of
    from dynet.weights import locate_weights, read_header

    weights = locate_weights(arguments.folder / "weights")
    DyNet.from_pretrained(weights)
    evaluated = Evaluated.read(arguments.folder / "evaluation", sha256_of(weights))
    facts = CardFacts(
        repo_id=f"weights/{arguments.to.name}",
        licence=arguments.licence,
        header=read_header(weights),
        evaluations=(evaluated,),
    )
    shutil.copytree(arguments.folder / "weights", arguments.to)
    (arguments.to / "README.md").write_text(render_card(facts))
    for name, content in evaluated.files.items():
        (arguments.to / name).parent.mkdir(parents=True, exist_ok=True)
        (arguments.to / name).write_bytes(content)
    for stage in ("pretrain", "finetune"):
        shutil.copy(arguments.folder / f"{stage}.jsonl", arguments.to)
    print(arguments.to)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    packing = commands.add_parser("pack", help="gather the pictures")
    packing.add_argument("--to", type=Path, default=PACKED)
    packing.add_argument("--work", type=Path, default=WORK, help="where the sets are built")
    running = commands.add_parser("run", help="train and measure")
    running.add_argument("--data", type=Path, default=PACKED)
    running.add_argument("--out", type=Path, required=True)
    running.add_argument("--work", type=Path, default=Path("/tmp/full_width"))
    running.add_argument("--minutes", type=float, default=9, help="of the whole command")
    running.add_argument("--steps", type=int, nargs=2, help="of the two stages, instead of what goes into the time")
    running.add_argument("--crop", type=int, default=128)
    running.add_argument("--batch", type=int, default=32)
    running.add_argument("--pictures", type=int, help="of each test set; else all")
    running.add_argument("--device", default="cuda")
    keeping = commands.add_parser("keep", help="weights with a card into a folder of this repository")
    keeping.add_argument("folder", type=Path)
    keeping.add_argument("--to", type=Path, required=True)
    keeping.add_argument("--licence", required=True)
    packing.add_argument("--rain", type=int, default=24, help="pairs of Rain100L; all are 51 MB, more than may travel")
    arguments = parser.parse_args()
    if arguments.command == "pack":
        pack(arguments.to, arguments.work, arguments.rain)
    else:
        {"run": run, "keep": keep}[arguments.command](arguments)


if __name__ == "__main__":
    main()
