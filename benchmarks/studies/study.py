"""What the studies share: runs of `dynet train`, each measured by `dynet evaluate`, and a file of raw numbers.

A study is a list of runs; each has a recipe, sets to train on, and maybe a run whose weights it begins with. Runs that
several studies ask for are trained once: their folder is named by the digest of all that decides them. A study that is
stopped goes on where it was, by `dynet train --resume`, when the same command is given again. What stands in its file
of raw numbers, by the same digest, is not trained again even where the folders are gone.
"""

import argparse
import hashlib
import json
import os
import statistics
import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from typing import Any

import yaml
from runs import SCALES, Run, Scale
from sets import ROOT, TESTS, Sets, run_program

sys.path.insert(0, str(ROOT / "benchmarks"))
from machine import describe

RESULTS = ROOT / "benchmarks" / "results" / "studies"
IMAGES = ROOT / "docs" / "images" / "studies"
WORK = ROOT / "build" / "studies"

Row = dict[str, Any]
"""One variant of one run on one test set."""


class Trainer:
    """Trains and measures runs, each once."""

    def __init__(self, scale: Scale, work: Path, device: str) -> None:
        self.scale, self._work, self._device = scale, work, device
        self._sets = Sets(work / "sets")
        self._threads = max((os.cpu_count() or 1) // scale.jobs, 1)

    def folder(self, run: Run, seed: int) -> Path:
        """Named by what decides its weights."""
        return self._work / "runs" / f"{self.digest(run, seed)}-{seed}"

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

    def digest(self, run: Run, seed: int) -> str:
        """Of all that decides the weights, and on what they are measured."""
        init = self.digest(run.init, seed) if run.init else None
        decisive = {"recipe": self.recipe(run, seed), "sets": run.sets, "init": init, "pictures": self.scale.pictures}
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

    def measure(self, run: Run, seed: int) -> list[Row]:
        """A row for each variant and task: PSNR and SSIM, and what training cost."""
        out = self.train(run, seed)
        results = out / "evaluation" / "results.json"
        if not results.is_file():
            command = ["--weights", out, "--protocol", "aio-paper", "--sigma", "25", "--out", results.parent]
            for name in TESTS:
                command += ["--benchmark", f"{name}={self._test(name)}"]
            run_program("dynet", "evaluate", *map(str, command), "--device", self._device, threads=self._threads)
        told = json.loads(results.read_text())
        costs = {"step_seconds": step_seconds(out / "metrics.jsonl", self.scale.batch)}
        if run.init is not None:
            costs["init_step_seconds"] = step_seconds(self.folder(run.init, seed) / "metrics.jsonl", self.scale.batch)
        return [
            {
                "run": run.name,
                "digest": self.digest(run, seed),
                "seed": seed,
                "variant": row["variant"],
                "task": row["benchmark"],
                "psnr": round(row["psnr"]["mean"], 4),
                "ssim": round(row["ssim"]["mean"], 5),
                "pictures": row["images"],
                **costs,
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


def step_seconds(metrics: Path, batch: int, settling: int = 0) -> float:
    """The median time of a step, as the run itself logged it, over all variants; without the first `settling` steps."""
    lines = [json.loads(line) for line in metrics.read_text().splitlines()[settling:]]
    return round(statistics.median(batch / line["images_per_s"] for line in lines), 5)


Report = Callable[[list[Row], Scale, Path], str]
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
    trainer, runs = Trainer(scale, arguments.work / arguments.scale, arguments.device), plan(scale)
    known = json.loads(out.read_text()) if out.is_file() else {"scale": arguments.scale, "rows": []}
    if known["scale"] != arguments.scale:
        sys.exit(f"{out} holds numbers of scale {known['scale']}: give another --out")

    def write(rows: list[Row]) -> None:
        _write(out, arguments.scale, rows)

    rows = run_all(trainer, runs, arguments.seeds, known["rows"], write)
    write(rows)
    print(report(rows, scale, picture))


def run_all(
    trainer: Trainer, runs: Sequence[Run], seeds: Sequence[int], known: list[Row], write: Callable[[list[Row]], None]
) -> list[Row]:
    """First what others begin with, then what is measured; `write` is called after each run with all rows so far.

    Rows of other seeds stay, as long as they are of the same runs.
    """
    of_seeds = dict.fromkeys([*seeds, *(row["seed"] for row in known)])
    jobs = [(run, seed) for seed in of_seeds for run in runs]
    found = {job: _known(known, run.name, trainer.digest(run, seed)) for job, (run, seed) in enumerate(jobs)}
    missing = [job for job, rows in found.items() if not rows and jobs[job][1] in seeds]
    begun_with = [(run.init, seed) for run, seed in map(jobs.__getitem__, missing) if run.init]
    inits = {trainer.digest(init, seed): (init, seed) for init, seed in begun_with}
    trainer.prepare([*(run for run, _ in inits.values()), *(jobs[job][0] for job in missing)])
    one_at_a_time = Lock()

    def measure(job: int) -> None:
        run, seed = jobs[job]
        rows = trainer.measure(run, seed)
        with one_at_a_time:
            found[job] = rows
            write([row for of_job in found.values() for row in of_job])
        print(f"{run.name}, seed {seed}: measured", file=sys.stderr, flush=True)

    with ThreadPoolExecutor(trainer.scale.jobs) as pool:
        list(pool.map(lambda init: trainer.train(*init), inits.values()))
        list(pool.map(measure, missing))
    return [row for of_job in found.values() for row in of_job]


def _known(rows: list[Row], run: str, digest: str) -> list[Row]:
    return [row for row in rows if (row["run"], row.get("digest")) == (run, digest)]


def _write(out: Path, scale: str, rows: list[Row]) -> None:
    result = {"machine": describe(), "command": " ".join(["python", *sys.argv]), "scale": scale}
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = out.with_suffix(".tmp")
    temporary.write_text(json.dumps(result | {"sizes": vars(SCALES[scale]), "rows": rows}, indent=1) + "\n")
    temporary.replace(out)
