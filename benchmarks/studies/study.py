"""What the studies share: runs of `dynet train`, each measured by `dynet evaluate`, and a file of raw numbers.

A study is a list of runs; each has a recipe, sets to train on, and maybe a run whose weights it begins with. Runs that
several studies ask for are trained once: their folder is named by the digest of all that decides them. A study that is
stopped goes on where it was, by `dynet train --resume`, when the same command is given again.
"""

import argparse
import hashlib
import json
import os
import statistics
import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

import yaml
from sets import ROOT, TESTS, Sets, run_program

sys.path.insert(0, str(ROOT / "benchmarks"))
from machine import describe

RESULTS = ROOT / "benchmarks" / "results" / "studies"
IMAGES = ROOT / "docs" / "images" / "studies"
WORK = ROOT / "build" / "studies"
S, L = [2, 3, 3, 4], [4, 6, 6, 8]
BOTH = {"S": {"schedule": S, "probability": 0.5}, "L": {"schedule": L, "probability": 0.5}}
TRAINING_SETS = ("bsds=300", "photos=31")
"""What all studies fine-tune on; about as many pictures as the weights say."""


@dataclass(frozen=True)
class Scale:
    """How large everything is: what is said beside every figure."""

    network: dict[str, Any]
    crop: int
    batch: int
    pretrain_steps: int
    finetune_steps: int
    learning_rate: float
    precision: str
    jobs: int
    """Runs at a time, each on so many threads as then remain."""
    pictures: int | None = None
    """Of each test set; None for all."""


REDUCED = {"dim": 8, "prompt_channels": [8, 16, 48], "prompt_sizes": [32, 16, 8], "refinement_blocks": 2}
SCALES = {
    "cpu": Scale(REDUCED, 48, 8, 800, 400, 2e-3, "fp32", 2, 34),
    "gpu": Scale({"dim": 48}, 128, 32, 20_000, 10_000, 2e-4, "bf16", 1),
    "smoke": Scale(
        REDUCED | {"dim": 4, "heads": [1, 1, 2, 2], "prompt_channels": [4, 8, 16], "refinement_blocks": 1},
        16, 2, 2, 2, 2e-3, "fp32", 2, 1,
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Run:
    """One training. `name` is what tables say; `changes` are keys of its recipe."""

    name: str
    stage: str
    changes: dict[str, Any]
    sets: tuple[str, ...] = TRAINING_SETS
    init: "Run | None" = None
    measured: bool = True
    """Whether it is evaluated; pre-trained weights that are only begun with are not."""
    tags: dict[str, Any] = field(default_factory=dict, compare=False)
    """What a study wants to find again in its rows."""


def pretraining(name: str, steps: int, variants: dict[str, Any] = BOTH, **more: Any) -> Run:
    """A dynamic pre-training as the paper describes it; `mask=0` leaves the black cells out."""
    sets = more.pop("sets", TRAINING_SETS)
    mask = more.pop("mask", 0.3)
    changes = {
        "variants": variants,
        "steps": steps,
        "optimizer": "adam",
        "corruption": {
            "share": 0.5,
            "cell": 8,
            "degradations": [
                {"kind": "gaussian_noise", "sigma": [5, 50]},
                {"kind": "random_noise", "amplitude": [10, 90]},
                {"kind": "jpeg", "quality": [10, 60]},
            ],
        },
        "mask": {"share": mask, "cell": 8},
        **more,
    }
    return Run(name, "pretrain", changes, sets=sets, measured=False)


def finetuning(name: str, steps: int, variants: dict[str, Any] = BOTH, init: Run | None = None, **more: Any) -> Run:
    """Fine-tuning on noise and rain."""
    sets, tags = more.pop("sets", TRAINING_SETS), more.pop("tags", {})
    changes = {
        "variants": variants,
        "steps": steps,
        "warmup_steps": max(steps // 40, 1) if steps > 1 else 0,
        "weight_decay": 1e-4,
        "tasks": {
            "denoise": {"weight": 2, "degradations": [{"kind": "gaussian_noise", "sigma": [15, 50]}]},
            "derain": {"weight": 1, "degradations": [{"kind": "rain"}]},
        },
        **more,
    }
    return Run(name, "finetune", changes, sets=sets, init=init, tags=tags)


class Trainer:
    """Trains and measures runs, each once."""

    def __init__(self, scale: Scale, work: Path, device: str) -> None:
        self.scale, self._work, self._device = scale, work, device
        self._sets = Sets(work / "sets")
        self._threads = max((os.cpu_count() or 1) // scale.jobs, 1)

    def folder(self, run: Run, seed: int) -> Path:
        """Named by what decides its weights."""
        return self._work / "runs" / f"{self._digest(run, seed)}-{seed}"

    def recipe(self, run: Run, seed: int) -> dict[str, Any]:
        """The whole recipe of a run."""
        scale = self.scale
        changes = dict(run.changes)
        network = scale.network | changes.pop("network", {})
        steps = changes["steps"]
        return {
            "stage": run.stage,
            "seed": seed,
            "network": network,
            "crop": scale.crop,
            "batch": scale.batch,
            "learning_rate": scale.learning_rate,
            "gradient_clip": 1.0,
            "precision": scale.precision,
            "workers": 0 if self._device == "cpu" else 8,
            "log_every": 10,
            "preview_every": steps,
            "checkpoint_every": max(steps // 4, 1),
            "keep_checkpoints": 1,
        } | changes

    def _digest(self, run: Run, seed: int) -> str:
        init = self._digest(run.init, seed) if run.init else None
        decisive = {"recipe": self.recipe(run, seed), "sets": run.sets, "init": init}
        return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()[:12]

    def train(self, run: Run, seed: int) -> Path:
        """The folder of the finished run; goes on with one that was begun."""
        out = self.folder(run, seed)
        if (out / "weights.safetensors").is_file():
            return out
        out.parent.mkdir(parents=True, exist_ok=True)
        recipe = out.with_suffix(".yaml")
        recipe.write_text(yaml.safe_dump(self.recipe(run, seed), sort_keys=False))
        command = ["--stage", run.stage, "--config", recipe, "--out", out, "--resume", "--device", self._device]
        for place in run.sets:
            name, _, weight = place.partition("=")
            command += ["--data", f"{self._sets.place(name)}{'=' + weight if weight else ''}"]
        if run.init is not None:
            command += ["--init", self.folder(run.init, seed)]
        run_program("dynet", "train", *map(str, command), threads=self._threads)
        return out

    def prepare(self, runs: Iterable[Run]) -> None:
        """Builds the sets, one after the other: several runs may ask for the same."""
        for place in dict.fromkeys(place for run in runs for place in run.sets):
            self._sets.place(place.partition("=")[0])

    def measure(self, run: Run, seed: int) -> list[dict[str, Any]]:
        """A row for each variant and task: PSNR and SSIM, and what training cost."""
        out = self.train(run, seed)
        results = out / "evaluation" / "results.json"
        if not results.is_file():
            command = ["--weights", out, "--protocol", "aio-paper", "--sigma", "25", "--out", results.parent]
            for name in TESTS:
                command += ["--benchmark", f"{name}={self._test(name)}"]
            run_program("dynet", "evaluate", *map(str, command), "--device", self._device, threads=self._threads)
        told = json.loads(results.read_text())
        costs = {"step_seconds": step_seconds(out / "metrics.jsonl")}
        if run.init is not None:
            costs["init_step_seconds"] = step_seconds(self.folder(run.init, seed) / "metrics.jsonl")
        return [
            {
                "run": run.name,
                "seed": seed,
                "variant": row["variant"],
                "task": row["benchmark"],
                "psnr": round(row["psnr"]["mean"], 4),
                "ssim": round(row["ssim"]["mean"], 5),
                "pictures": row["images"],
                **costs,
                **run.tags,
            }
            for row in told["results"]
            if row["variant"] != "input"
        ]

    def _test(self, name: str) -> Path:
        """The folder of a test set, or one with every nth of its pictures."""
        whole, count = TESTS[name], self.scale.pictures
        if count is None:
            return whole
        part = self._work / "tests" / f"{name}-{count}"
        sides = [side.name for side in whole.iterdir() if side.is_dir()] or [""]
        for side in sides:
            files = sorted(path for path in (whole / side).iterdir() if path.is_file())
            (part / side).mkdir(parents=True, exist_ok=True)
            for file in files[:: len(files) // count][:count]:
                link = part / side / file.name
                if not link.is_symlink():
                    link.symlink_to(file)
        return part


def step_seconds(metrics: Path) -> float:
    """The median time of a step, as the run itself logged it, over all variants."""
    lines = [json.loads(line) for line in metrics.read_text().splitlines()]
    return round(statistics.median(1 / line["images_per_s"] for line in lines), 5)


Report = Callable[[list[dict[str, Any]], Scale, Path], str]
"""Rows to Markdown, tables and the sentences that they carry, and to a chart in the file."""


def main(name: str, doc: str | None, plan: Callable[[Scale], Sequence[Run]], report: Report) -> None:
    """The command line of a study: trains, measures, writes the raw numbers as it goes, prints the report."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", choices=SCALES, default="cpu")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--work", type=Path, default=WORK, help="where sets and runs are; may be deleted afterwards")
    parser.add_argument("--out", type=Path, help="the file of raw numbers; the chart lies beside it then")
    parser.add_argument("--report", action="store_true", help="only print what the raw numbers say")
    arguments = parser.parse_args()
    out = arguments.out or RESULTS / f"{name}.json"
    picture = arguments.out.with_suffix(".svg") if arguments.out else IMAGES / f"{name}.svg"
    if arguments.report:
        told = json.loads(out.read_text())
        print(report(told["rows"], SCALES[told["scale"]], picture))
        return
    scale = SCALES[arguments.scale]
    trainer = Trainer(scale, arguments.work / arguments.scale, arguments.device)
    rows = run_all(trainer, plan(scale), arguments.seeds, lambda rows: _write(out, arguments.scale, rows))
    print(report(rows, scale, picture))


def run_all(
    trainer: Trainer, runs: Sequence[Run], seeds: Sequence[int], write: Callable[[list[dict[str, Any]]], None]
) -> list[dict[str, Any]]:
    """First what others begin with, then what is measured; `write` is called after each run with all rows so far."""
    inits = dict.fromkeys(_key(run.init) for run in runs if run.init)
    begun_with = {_key(run.init): run.init for run in runs if run.init}
    trainer.prepare([*begun_with.values(), *runs])
    found: dict[tuple[int, int], list[dict[str, Any]]] = {}
    one_at_a_time = Lock()

    def measure(job: tuple[int, int]) -> None:
        rows = trainer.measure(runs[job[0]], seeds[job[1]])
        with one_at_a_time:
            found[job] = rows
            write([row for done in sorted(found) for row in found[done]])
        print(f"{runs[job[0]].name}, seed {seeds[job[1]]}: measured", file=sys.stderr, flush=True)

    with ThreadPoolExecutor(trainer.scale.jobs) as pool:
        first = [(begun_with[key], seed) for seed in seeds for key in inits]
        list(pool.map(lambda job: trainer.train(*job), first))
        list(pool.map(measure, [(number, at) for at in range(len(seeds)) for number in range(len(runs))]))
    return [row for done in sorted(found) for row in found[done]]


def _key(run: Run | None) -> str:
    return json.dumps([run.stage, run.changes, run.sets], sort_keys=True) if run else ""


def _write(out: Path, scale: str, rows: list[dict[str, Any]]) -> None:
    result = {"machine": describe(), "command": " ".join(["python", *sys.argv]), "scale": scale}
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = out.with_suffix(".tmp")
    temporary.write_text(json.dumps(result | {"sizes": vars(SCALES[scale]), "rows": rows}, indent=1) + "\n")
    temporary.replace(out)
