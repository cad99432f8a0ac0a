"""Shared code of the studies: runs of `dynet train`, each measured by `dynet evaluate`, and a file of raw numbers.

A study is a list of runs; each has a recipe, datasets, and possibly a run whose weights it starts from. A run that
several studies need is trained once: the name of its folder is a digest of everything that its result depends on. A
study that was stopped continues, with `dynet train --resume`, when the same command is given again. A run whose digest
is in the file of raw numbers is not trained again, even if its folder is gone.
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

from dynet.training.metrics_log import read_lines, values_of

RESULTS = ROOT / "benchmarks" / "results" / "studies"
IMAGES = ROOT / "docs" / "images" / "studies"
WORK = ROOT / "build" / "studies"

Row = dict[str, Any]
"""One variant of one run on one test set."""


class StudyRunner:
    """Trains and measures runs, each of them once."""

    def __init__(self, scale: Scale, work: Path, device: str) -> None:
        self.scale, self._work, self._device = scale, work, device
        self._sets = Sets(work / "sets")
        self._threads = max((os.cpu_count() or 1) // scale.jobs, 1)

    def folder(self, run: Run, seed: int) -> Path:
        """Return the folder of a run, named by everything that its weights depend on."""
        return self._work / "runs" / f"{self.digest(run, seed)}-{seed}"

    def recipe(self, run: Run, seed: int) -> dict[str, Any]:
        """Return the complete recipe of a run."""
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
        """Return the digest of everything that the weights depend on, and of the test images."""
        init = self.digest(run.init, seed) if run.init else None
        key = {"recipe": self.recipe(run, seed), "sets": run.sets, "init": init, "pictures": self.scale.pictures}
        if (run.tests, run.sigmas) != (Run.tests, Run.sigmas):
            key["evaluation"] = (run.tests, run.sigmas)
        return hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:12]

    def train(self, run: Run, seed: int) -> Path:
        """Train a run, or resume it if it was started; return the folder of the finished run."""
        out = self.folder(run, seed)
        if (out / "weights.safetensors").is_file():
            return out
        out.parent.mkdir(parents=True, exist_ok=True)
        recipe = out.with_suffix(".yaml")
        recipe.write_text(yaml.safe_dump(self.recipe(run, seed), sort_keys=False))
        command = ["--stage", run.stage, "--config", recipe, "--out", out, "--resume", "--device", self._device]
        for dataset in run.sets:
            name, _, weight = dataset.partition("=")
            command += ["--data", f"{self._sets.folder_of(name)}{'=' + weight if weight else ''}"]
        if run.init is not None:
            command += ["--init", self.folder(run.init, seed)]
        run_program("dynet", "train", *map(str, command), threads=self._threads)
        return out

    def prepare(self, runs: Iterable[Run]) -> None:
        """Build the datasets one after the other, since several runs may need the same."""
        for dataset in dict.fromkeys(dataset for run in runs for dataset in run.sets):
            self._sets.folder_of(dataset.partition("=")[0])

    def measure(self, run: Run, seed: int) -> list[Row]:
        """Return a row for each variant and task with PSNR, SSIM and the time of a training step."""
        out = self.train(run, seed)
        results = out / "evaluation" / "results.json"
        if not results.is_file():
            sigmas = ",".join(map(str, run.sigmas))
            command = ["--weights", out, "--protocol", "aio-paper", "--sigma", sigmas, "--out", results.parent]
            for name in run.tests:
                command += ["--benchmark", f"{name}={self._test_folder(name)}"]
            run_program("dynet", "evaluate", *map(str, command), "--device", self._device, threads=self._threads)
        evaluation = json.loads(results.read_text())
        costs = {"step_seconds": step_seconds(out / "metrics.jsonl", self.scale.batch)}
        if run.init is not None:
            costs["init_step_seconds"] = step_seconds(self.folder(run.init, seed) / "metrics.jsonl", self.scale.batch)
        return [
            {
                "run": run.name,
                "digest": self.digest(run, seed),
                "seed": seed,
                "variant": row["variant"],
                "task": row["benchmark"] if len(run.sigmas) == 1 else f"{row['benchmark']} σ {row['sigma']:g}",
                "psnr": round(row["psnr"]["mean"], 4),
                "ssim": round(row["ssim"]["mean"], 5),
                "pictures": row["images"],
                **costs,
            }
            for row in evaluation["results"]
            if row["variant"] != "input"
        ]

    def _test_folder(self, name: str) -> Path:
        """Return the folder of a test set, or one with every nth of its images."""
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
    """Return the median time of a step over all variants, from the run's log, without the first `settling` steps."""
    lines = read_lines(metrics, values_of)[settling:]
    return round(statistics.median(batch / line["images_per_s"] for line in lines), 5)


Report = Callable[[list[Row], Scale, Path], str]
"""Turns rows into Markdown (tables and the sentences that they support), and writes a chart to the file."""


def main(name: str, doc: str | None, plan: Callable[[Scale], Sequence[Run]], report: Report) -> None:
    """Run a study from the command line: train, measure, write the raw numbers after each run, print the report."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", choices=SCALES, default="cpu")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--only", nargs="+", metavar="RUN", help="the names of the runs to train now; default: all")
    parser.add_argument("--device", default="cpu")
    parser.add_argument(
        "--work", type=Path, default=WORK, help="folder for datasets and runs; may be deleted afterwards"
    )
    parser.add_argument("--out", type=Path, help="the file of raw numbers; the chart is written next to it")
    parser.add_argument("--report", action="store_true", help="only print the report of the raw numbers")
    arguments = parser.parse_args()
    out = arguments.out or RESULTS / f"{name}.json"
    chart_file = arguments.out.with_suffix(".svg") if arguments.out else IMAGES / f"{name}.svg"
    if arguments.report:
        raw = json.loads(out.read_text())
        print(report(raw["rows"], SCALES[raw["scale"]], chart_file))
        return
    scale = SCALES[arguments.scale]
    runner, runs = StudyRunner(scale, arguments.work / arguments.scale, arguments.device), plan(scale)
    known = json.loads(out.read_text()) if out.is_file() else {"scale": arguments.scale, "rows": []}
    if known["scale"] != arguments.scale:
        sys.exit(f"{out} holds numbers of scale {known['scale']}: give another --out")

    for name in arguments.only or ():
        if name not in {run.name for run in runs}:
            sys.exit(f"--only {name!r}: the runs are {', '.join(repr(run.name) for run in runs)}")

    def write(rows: list[Row]) -> None:
        _write(out, arguments.scale, rows)

    rows = run_all(runner, runs, arguments.seeds, known["rows"], write, arguments.only)
    write(rows)
    print(report(rows, scale, chart_file))


def run_all(
    runner: StudyRunner,
    runs: Sequence[Run],
    seeds: Sequence[int],
    known: list[Row],
    write: Callable[[list[Row]], None],
    only: Sequence[str] | None = None,
) -> list[Row]:
    """Train the runs that others start from, then train and measure the runs of the study, or those named by `only`.

    `write` is called after each run with all rows so far. Known rows of other seeds are kept if they are of these runs.
    """
    all_seeds = dict.fromkeys([*seeds, *(row["seed"] for row in known)])
    jobs = [(run, seed) for seed in all_seeds for run in runs]
    rows_of_job = {job: _known(known, run.name, runner.digest(run, seed)) for job, (run, seed) in enumerate(jobs)}
    missing = [
        job
        for job, (run, seed) in enumerate(jobs)
        if seed in seeds and (not only or run.name in only) and not rows_of_job[job]
    ]
    needed = [(run.init, seed) for run, seed in map(jobs.__getitem__, missing) if run.init]
    inits = {runner.digest(init, seed): (init, seed) for init, seed in needed}
    runner.prepare([*(run for run, _ in inits.values()), *(jobs[job][0] for job in missing)])
    lock = Lock()

    def measure(job: int) -> None:
        run, seed = jobs[job]
        rows = runner.measure(run, seed)
        with lock:
            rows_of_job[job] = rows
            write([row for rows in rows_of_job.values() for row in rows])
        print(f"{run.name}, seed {seed}: measured", file=sys.stderr, flush=True)

    with ThreadPoolExecutor(runner.scale.jobs) as pool:
        list(pool.map(lambda init: runner.train(*init), inits.values()))
        list(pool.map(measure, missing))
    return [row for rows in rows_of_job.values() for row in rows]


def _known(rows: list[Row], run: str, digest: str) -> list[Row]:
    return [row for row in rows if (row["run"], row.get("digest")) == (run, digest)]


def _write(out: Path, scale: str, rows: list[Row]) -> None:
    result = {"machine": describe(), "command": " ".join(["python", *sys.argv]), "scale": scale}
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = out.with_suffix(".tmp")
    temporary.write_text(json.dumps(result | {"sizes": vars(SCALES[scale]), "rows": rows}, indent=1) + "\n")
    temporary.replace(out)
