"""DyNet beside PromptIR with equal training: what do shared blocks cost or gain?

    python benchmarks/studies/against_promptir.py --jobs 2      # trains, measures, writes the raw numbers, reports
    python benchmarks/studies/against_promptir.py --report      # the tables from the raw numbers

PromptIR's form, DyNet-S, DyNet-L, and DyNet-L with blocks of their own (`promptir_form.py`), at a sixth of the width,
are trained from scratch in one thread each: the same crops in the same order, AdamW, L1, warm-up and cosine. Once for
the same number of steps; DyNet-S once more for the processor time that PromptIR's form took (a step of the other two
takes as long as one of PromptIR's form).
Tasks: rain alone; and noise, rain and haze (scattering model, invented depth) in turns. Tested on CBSD68 with σ 25, on
Rain100L, and on CBSD68's images behind haze, none of which was trained on: RGB, mean PSNR in dB.

Finished rows are kept: the same command goes on where it was stopped.
"""

import argparse
import functools
import json
import math
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from promptir_form import build, check_published_size, size_of
from sets import TESTS, Sets
from spread import Values, chart, difference, table, verdict
from study import IMAGES, RESULTS, WORK
from torch.nn import functional as F

from dynet import DyNet
from dynet.degradations.gaussian_noise import GaussianNoise
from dynet.degradations.haze import Haze
from dynet.degradations.rain import Rain
from dynet.evaluation.benchmark import BenchmarkSet
from dynet.evaluation.metrics import psnr
from dynet.evaluation.protocol import AIO_PAPER, as_float
from dynet.inference.images import read_image
from dynet.inference.restore import prepare_for_inference
from dynet.model.variants import Variant
from dynet.runtime.rng import generator, integer_seed

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from machine import describe

Image8 = npt.NDArray[np.uint8]
SHAPE = {"dim": 8, "prompt_channels": (8, 16, 48), "prompt_sizes": (32, 16, 8), "refinement_blocks": 2}
FORMS = ("PromptIR", "DyNet-S", "DyNet-L", "DyNet-L, not shared")
FASTER = ("DyNet-S",)
"""Whose steps take less time than those of PromptIR's form."""
STEPS, WARM_UP, BATCH, CROP, RATE = 400, 0.05, 4, 64, 2e-3
DEGRADE = {
    "noise": GaussianNoise(kind="gaussian_noise", sigma=(15, 50)),
    "rain": Rain(kind="rain"),
    "haze": Haze(kind="haze", beta=(0.4, 1.5)),
}
SETTINGS = {"rain": ("rain",), "three tasks": ("noise", "rain", "haze")}
TEST_OF = {"noise": "CBSD68 σ 25", "rain": "Rain100L", "haze": "CBSD68 behind haze"}


@dataclass(frozen=True, slots=True)
class Job:
    """One training: of which network, on what, and for how long."""

    form: str
    setting: str
    seed: int
    seconds: float | None
    """Processor time; None trains for STEPS steps."""
    pictures: int
    patches: str

    @property
    def key(self) -> tuple[str, str, int, str]:
        """What a row of raw numbers is known by."""
        return self.form, self.setting, self.seed, "steps" if self.seconds is None else "time"


@functools.cache
def patches(folder: str) -> list[Image8]:
    """Return the patches of the training set, (H, W, 3) each."""
    from datasets import load_dataset

    return [np.asarray(row["image"].convert("RGB")) for row in load_dataset(folder, "patches", split="train")]


def batch(job: Job, step: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return degraded and clean crops, (BATCH, 3, CROP, CROP) each: the same for every network of a seed."""
    pairs = []
    for index in range(BATCH):
        random = generator(job.seed, "study crop", step, index)
        all_patches, tasks = patches(job.patches), SETTINGS[job.setting]
        image = all_patches[int(random.integers(len(all_patches)))]
        top, left = (int(random.integers(side - CROP + 1)) for side in image.shape[:2])
        clean = np.rot90(image[top : top + CROP, left : left + CROP], int(random.integers(4)))
        clean = np.ascontiguousarray(clean[:, ::-1] if random.integers(2) else clean)
        pairs.append((DEGRADE[tasks[(step * BATCH + index) % len(tasks)]].apply(clean, random), clean))
    stacked = [torch.from_numpy(np.stack(side)).permute(0, 3, 1, 2).float() / 255 for side in zip(*pairs, strict=True)]
    return stacked[0], stacked[1]


def train(job: Job) -> tuple[DyNet, Variant, dict[str, float]]:
    """Train a network; return it with its depth, and the steps and the processor time that were spent."""
    torch.manual_seed(integer_seed(job.seed, "study weights"))
    model, variant = build(job.form, SHAPE)
    optimizer = torch.optim.AdamW(model.parameters(), RATE, weight_decay=1e-4)
    step, spent = 0, 0.0
    while (step < STEPS) if job.seconds is None else (spent < job.seconds):
        degraded, clean = batch(job, step)  # the time of making crops is that of no network
        start = time.process_time()
        done = step / STEPS if job.seconds is None else spent / job.seconds
        rate = RATE * min(1.0, (done + 1 / STEPS) / WARM_UP) * 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.zero_grad()
        F.l1_loss(model(degraded, variant), clean).backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        spent += time.process_time() - start
        step += 1
    return model.eval(), variant, {"steps": step, "seconds": round(spent, 2)}


def test_pairs(task: str, count: int) -> list[tuple[Image8, Image8]]:
    """Return degraded and clean images of a test, evenly spread over it."""
    name = "Rain100L" if task == "rain" else "CBSD68"
    images = BenchmarkSet.parse(f"{name}={TESTS[name]}").images
    pairs = []
    for image in images[:: max(1, len(images) // count)][:count]:
        clean = AIO_PAPER.crop_centre(read_image(image.clean).as_uint8_rgb())
        if image.degraded is not None:
            pairs.append((AIO_PAPER.crop_centre(read_image(image.degraded).as_uint8_rgb()), clean))
        elif task == "noise":
            pairs.append((AIO_PAPER.add_noise(clean, image.clean.stem, 25), clean))
        else:
            pairs.append((DEGRADE["haze"].apply(clean, generator(0, f"study haze {image.clean.stem}")), clean))
    return pairs


def run(job: Job) -> dict[str, Any]:
    """Train and measure; return a row of raw numbers."""
    torch.set_num_threads(1)
    model, variant, spent = train(job)
    prepare_for_inference(model, torch.float32, None)
    found, before = {}, {}
    for task in SETTINGS[job.setting]:
        values, inputs = [], []
        with torch.inference_mode():
            for degraded, clean in test_pairs(task, job.pictures):
                x = torch.from_numpy(as_float(degraded)).permute(2, 0, 1)[None]
                output = model(x, variant)[0].permute(1, 2, 0).clamp(0, 1).numpy()
                values.append(psnr(output, as_float(clean)))
                inputs.append(psnr(as_float(degraded), as_float(clean)))
        found[TEST_OF[task]], before[TEST_OF[task]] = (round(float(np.mean(one)), 4) for one in (values, inputs))
    form, setting, seed, limit = job.key
    return {"form": form, "setting": setting, "seed": seed, "equal": limit, **spent, "psnr": found, "input": before}


def report(rows: Sequence[dict[str, Any]], chart_file: Path) -> str:
    """Return the tables as Markdown, and a sentence for each comparison with PromptIR's form; draw the chart."""
    parts = []
    columns = [(setting, TEST_OF[task]) for setting, tasks in SETTINGS.items() for task in tasks]
    for limit, title in (("steps", f"The same {STEPS} steps"), ("time", "The processor time of PromptIR's form")):
        inputs = {test: value for row in rows for test, value in row["input"].items()}
        lines, words = [["input", *[""] * 4, *(f"{inputs.get(test, math.nan):.2f}" for _, test in columns)]], []
        # Its own time is what the others were given.
        own = [row | {"equal": limit} for row in rows if row["form"] == "PromptIR"]
        chosen = own + [row for row in rows if row["form"] != "PromptIR" and row["equal"] == limit]
        for form in FORMS:
            mine = [row for row in chosen if row["form"] == form]
            if not mine:
                continue
            parameters, gmacs = size_of(form, SHAPE)
            step = np.median([row["seconds"] / row["steps"] for row in mine])
            cells = [_values(mine, *column) for column in columns]
            steps = f"{np.mean([row['steps'] for row in mine]):.0f}"
            shown = [str(cell) if cell.of_seed else "" for cell in cells]
            lines.append([form, f"{parameters:,}", f"{gmacs:.2f}", f"{step:.3f}", steps, *shown])
            for column, cell in zip(columns, cells, strict=True) if form != "PromptIR" else ():
                reference = _values(own, *column)
                if cell.of_seed.keys() & reference.of_seed.keys():
                    gain = difference(cell, reference)
                    words.append(verdict(f"{form}, {', '.join(column)}", gain))
        if limit == "steps":
            draw(chosen, columns, chart_file)
        heads = ["network", "parameters", "GMACs", "s a step", "steps", *(", ".join(column) for column in columns)]
        parts.append(
            f"{title}:\n\n{table(heads, lines)}\n\nAgainst PromptIR's form:\n\n" + "\n".join(f"- {w}" for w in words)
        )
    return "\n\n".join(parts)


def draw(rows: Sequence[dict[str, Any]], columns: Sequence[tuple[str, str]], file: Path) -> None:
    """Draw each seed's PSNR after the same steps, a panel for each setting and test that PromptIR's form has."""
    bars = {}
    for setting, test in columns:
        of_form = {form: _values([row for row in rows if row["form"] == form], setting, test) for form in FORMS}
        if of_form["PromptIR"].of_seed:
            bars[f"{setting}, {test}"] = {form: found for form, found in of_form.items() if found.of_seed}
    if bars:
        chart(file, f"The same {STEPS} steps", bars, "PromptIR")


def _values(rows: Sequence[dict[str, Any]], setting: str, test: str) -> Values:
    return Values({row["seed"]: row["psnr"][test] for row in rows if row["setting"] == setting})


def jobs_of(arguments: argparse.Namespace, rows: Sequence[dict[str, Any]], folder: str) -> list[Job]:
    """Return what can be run now and is not among the rows: equal time only once PromptIR's time is known."""
    known = {(row["form"], row["setting"], row["seed"], row["equal"]): row for row in rows}
    found = []
    for seed in arguments.seeds:
        for setting in SETTINGS:
            for form in FORMS:
                found.append(Job(form, setting, seed, None, arguments.pictures, folder))
                reference = known.get(("PromptIR", setting, seed, "steps"))
                if reference is not None and form in FASTER:
                    found.append(Job(form, setting, seed, reference["seconds"], arguments.pictures, folder))
    return [job for job in found if job.key not in known]


def run_all(jobs: Sequence[Job], count: int, keep: Callable[[dict[str, Any]], None]) -> None:
    """Run jobs in processes of their own, and pass on each row as it is finished."""
    with ProcessPoolExecutor(count, mp_context=get_context("spawn")) as pool:
        for future in as_completed([pool.submit(run, job) for job in jobs]):
            keep(future.result())


def main() -> None:
    """Train, measure and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--jobs", type=int, default=1, help="trainings at the same time, one thread each")
    parser.add_argument("--pictures", type=int, default=12, help="of each test")
    parser.add_argument("--out", type=Path, help="the file of raw numbers; the chart is written next to it")
    parser.add_argument("--report", action="store_true", help="only print the report of the raw numbers")
    arguments = parser.parse_args()
    out = arguments.out or RESULTS / "against_promptir.json"
    chart_file = arguments.out.with_suffix(".svg") if arguments.out else IMAGES / "against_promptir.svg"
    rows: list[dict[str, Any]] = json.loads(out.read_text())["rows"] if out.is_file() else []
    check_published_size()

    def keep(row: dict[str, Any]) -> None:
        rows.append(row)
        rows.sort(key=lambda one: (one["seed"], one["setting"], one["equal"], FORMS.index(one["form"])))
        sizes = {"shape": SHAPE, "steps": STEPS, "batch": BATCH, "crop": CROP, "pictures": arguments.pictures}
        command = "python benchmarks/studies/against_promptir.py"
        result = {"machine": describe(), "command": command, "sizes": sizes, "rows": rows}
        temporary = out.with_suffix(".tmp")
        temporary.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
        temporary.replace(out)
        print(
            f"{row['form']}, {row['setting']}, seed {row['seed']}, equal {row['equal']}: {row['psnr']}", file=sys.stderr
        )

    if not arguments.report:
        folder = str(Sets(WORK / "cpu" / "sets").folder_of("bsds"))
        for _ in range(2):  # what is given PromptIR's time comes after it
            run_all(jobs_of(arguments, rows, folder), arguments.jobs, keep)
    print(report(rows, chart_file))


if __name__ == "__main__":
    main()
