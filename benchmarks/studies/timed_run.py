"""Fine-tuning by a recipe for a given time: the steps are those that fit, and the recipe is scaled to them.

    python benchmarks/studies/full_width.py pack                       # here: build/full_width, to copy to the GPU
    python benchmarks/studies/timed_run.py --recipe pipelines/dynet_laptop.yaml --minutes 8 --out $OUT/laptop
        --set crop=64 batch=64 precision=bf16
    python benchmarks/studies/full_width.py keep $OUT/laptop --to weights/NAME --licence other   # here

It times some steps at the first size of crops, trains, writes the weights in bfloat16 in parts of at most 15 MB, and
evaluates these parts by the protocols aio-paper and harm. With `--init` the network and its variants are those of these
weights. 25 minutes of a GPU are planned as four calls on one machine:

    python -m pytest -q tests/dynet/training/test_cuda.py              # 1 minute
    the command above                                                  # 8 minutes
    the same with --init WEIGHTS --minutes 9 --set crop=128 batch=32 learning_rate=5e-4 precision=bf16 compile=true
    python benchmarks/train_speed.py --device cuda --compile --batch 32                              # 2 minutes

A rehearsal on a CPU: `--device cpu --minutes 0.2 --set crop=16 batch=2 --pictures 1`.
"""

import argparse
import os
import shutil
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml
from full_width import PACKED, PROBE, SETTLING, describe_run, evaluate, run_dynet
from sets import TESTS
from study import step_seconds

from dynet.model.weights import locate_weights, read_header

PROTOCOLS = {"aio-paper": tuple(TESTS), "harm": ("CBSD68",)}
"""The test sets that each protocol is run on."""


def changed_recipe(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the recipe with the keys of `--set`, and with the network of `--init`."""
    recipe: dict[str, Any] = yaml.safe_load(arguments.recipe.read_text())
    if arguments.init is not None:
        header = read_header(locate_weights(arguments.init))
        fields = asdict(header.architecture)
        recipe["network"] = {name: list(value) if isinstance(value, tuple) else value for name, value in fields.items()}
        recipe["variants"] = {one.name: {"schedule": list(asdict(one.schedule).values())} for one in header.variants}
    changes = {name: yaml.safe_load(value) for name, _, value in (item.partition("=") for item in arguments.set)}
    if "crop" in changes or "batch" in changes:
        recipe.pop("larger_crops", None)
    if arguments.device != "cpu":
        recipe["workers"] = max((os.cpu_count() or 1) - 2, 1)
    return recipe | changes


def scaled(recipe: dict[str, Any], steps: int) -> dict[str, Any]:
    """Return the recipe for another number of steps: warm-up and later crops take the same share of the run."""
    share = steps / recipe["steps"]
    later = [
        phase | {"from_step": max(round(phase["from_step"] * share), number + 1)}
        for number, phase in enumerate(recipe.get("larger_crops", ()))
    ]
    warmup = min(round(recipe.get("warmup_steps", 0) * share), steps - 1)
    watching = {"preview_every": steps, "checkpoint_every": steps, "keep_checkpoints": 1}
    validation = {"validation": {"every": max(steps // 3, 1), "pictures": 8}}
    return recipe | {"steps": steps, "warmup_steps": warmup, "larger_crops": later} | watching | validation


def train(arguments: argparse.Namespace, recipe: dict[str, Any], name: str) -> Path:
    """Train by the recipe in the folder `name` of the work folder, and return that folder."""
    file, out = arguments.work / f"{name}.yaml", arguments.work / name
    file.write_text(yaml.safe_dump(recipe, sort_keys=False))
    command = ["--stage", "finetune", "--config", file, "--out", out, "--device", arguments.device]
    command += ["--init", arguments.init] if arguments.init is not None else []
    for dataset, weight in (("bsds", 2), ("photos_large", 1)):
        command += ["--data", f"{arguments.data / 'train' / dataset}={weight}"]
    run_dynet("train", *command)
    return out


def run(arguments: argparse.Namespace) -> None:
    """Train for the time that there is, write the weights in parts, and evaluate them."""
    start = time.monotonic()
    shutil.rmtree(arguments.work, ignore_errors=True)
    arguments.work.mkdir(parents=True)
    recipe = changed_recipe(arguments)
    steps = arguments.steps
    if steps is None:
        probe = train(arguments, scaled(recipe, PROBE) | {"larger_crops": [], "log_every": 1}, "probe")
        seconds = step_seconds(probe / "metrics.jsonl", recipe["batch"], SETTLING)
        left = arguments.minutes * 60 - (time.monotonic() - start)
        steps = max(int(left / seconds), 2)
        print(f"{seconds:.3f} s a step: {steps} steps")
    finished = train(arguments, scaled(recipe, steps), "finetune")
    trained = time.monotonic() - start
    arguments.out.mkdir(parents=True, exist_ok=True)
    parts = arguments.out / "weights"
    run_dynet("split", finished, "--out", parts, "--dtype", "bf16", "--max-mb", "15")
    shutil.copy(finished / "metrics.jsonl", arguments.out / "finetune.jsonl")
    about = {"training_minutes": round(trained / 60, 1), "steps": steps}
    for protocol, names in PROTOCOLS.items():
        out = arguments.out / "evaluation" / protocol
        evaluate(arguments, parts, protocol, names, out)
        describe_run(arguments, out, about)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=8, help="duration of training; evaluation comes after it")
    parser.add_argument("--steps", type=int, help="instead of as many as the time allows")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="keys of the recipe to change")
    parser.add_argument("--init", type=Path, help="weights to start from; they also give network and variants")
    parser.add_argument("--data", type=Path, default=PACKED)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path("/tmp/timed_run"))
    parser.add_argument("--pictures", type=int, help="images of each test set; default: all")
    parser.add_argument("--device", default="cuda")
    run(parser.parse_args())


if __name__ == "__main__":
    main()
