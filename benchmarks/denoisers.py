"""Our weights beside other denoisers on the same pixels: PSNR, SSIM and seconds a megapixel, in one run.

```
pip install bm3d                                    # for this script only; its licence allows no commercial use
python benchmarks/denoisers.py --real PAIRS --time  # everything; CBM3D takes 30 core-seconds for one of the 68 pictures
python benchmarks/denoisers.py --methods dynet,nlm,wavelets --resume     # all but CBM3D, first
python benchmarks/denoisers.py --tasks noise25,noise50,float25,float50 --resume           # CBM3D where it is published
python benchmarks/denoisers.py --time only --tile 640                    # 12 megapixels with `dynet restore`, only
```

Methods: every variant of `--weights` as `dynet restore` runs it (blind; its number format, its choice of tiles), and
in `--self-ensemble` orientations, those of `classical_denoisers.py`, and the input itself. Tasks:

| task | input | sigma for the classical |
|---|---|---|
| noise15, noise25, noise50 | CBSD68 with the noise of `dynet evaluate --protocol strict`, in 8 bits | given |
| float25, float50 | the same noise, neither clipped nor rounded | given |
| weak5 | noise of 5 levels by protocol strict | estimated |
| jpeg10 to jpeg40, clean | CBSD68 as JPEG with 4:2:0, and as it is | estimated |
| real | the pairs in the folder `--real`, such as `noisy/` and `clean/` | estimated |

The published 30.71 and 27.38 dB of CBM3D are to be compared with its float25 and float50. `--blind` estimates sigma for
the first two rows, too. Outputs are clipped to [0, 1]; and rounded to 8 bits except for float25 and float50. Non-local
means takes 8 bits only, so it rounds its own input there. A PSNR above 54.2 dB (an error of half a level) counts as
that, as in `dynet evaluate --protocol harm`: it is what an unchanged clean picture has.

Every method runs in `--threads` threads (1), one after the other on each picture; core-seconds are of the processor,
and hardly change if the machine is busy. A second table has the wall time of one picture in one thread and in one for
each core.
`--time` measures `dynet restore` in its own process on one photograph enlarged to 12 megapixels, with its peak memory.

Raw rows go to `--out` after every picture; `--resume` keeps those that are there, of the same weights and settings.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from classical_denoisers import CLASSICAL, check_installed, denoiser, stop
from denoiser_tasks import (
    INPUT,
    REAL,
    TASKS,
    Float,
    Picture,
    Restore,
    Row,
    measure,
    print_task,
    read_picture,
    spread,
    summary,
)
from machine import ROOT, SHARED, describe, photographs
from PIL import Image
from restore import run
from waiting import wait_passively

from dynet.errors import DyNetError
from dynet.evaluation.benchmark import BenchmarkSet
from dynet.evaluation.protocol import STRICT
from dynet.inference import memory
from dynet.inference.precision import choose_dtype
from dynet.inference.restore import RestoreOptions, prepare_for_inference, restore_rgb
from dynet.inference.tiling import round_tile_to_stride
from dynet.model.variants import Variant
from dynet.model.weight_parts import sha256_of
from dynet.runtime.atomic_files import write_atomically
from dynet.spandrel.any_weights import load_any_weights

RESULT = ROOT / "benchmarks" / "results" / "denoisers.json"
WEIGHTS = ("weights/dynet-laptop", "benchmarks/weights/dynet-noise-rain")
OURS = "dynet"


def our_methods(
    sources: Sequence[str], tile: int | None, self_ensembles: Sequence[int]
) -> Iterator[tuple[str, Restore]]:
    """Yield a label and a function for each variant and number of orientations, prepared as `dynet restore` does."""
    device = torch.device("cpu")
    memory.keep_small_freed_blocks()
    for source in sources:
        model, file = load_any_weights(source)
        prepare_for_inference(model, choose_dtype("auto", device), None)
        options = RestoreOptions(model=model, variants=model.variants, device=device, tile=round_tile_to_stride(tile))
        name = file.stem if Path(source).is_file() else file.parent.name
        for variant in model.variants:
            for count in self_ensembles:
                label = f"{name} {variant.name}" + (f" ×{count}" if count > 1 else "")
                yield label, _restore_by(variant, replace(options, self_ensemble=count))


def _restore_by(variant: Variant, options: RestoreOptions) -> Restore:
    def restore(image: Float, sigma: float | None) -> tuple[Float, None]:
        # Noise that is not clipped has values that no file holds, and the network was trained on files.
        return restore_rgb(np.clip(image, 0, 1), variant, options), None

    return restore


def all_methods(arguments: argparse.Namespace, threads: int) -> dict[str, Restore]:
    """Return the methods by label, in the order of the tables, set to a number of threads."""
    torch.set_num_threads(threads)
    ours: dict[str, Restore] = {}
    if OURS in arguments.methods:
        ours = dict(our_methods(arguments.weights, arguments.tile, arguments.self_ensemble))
    return ours | {name: denoiser(name, threads) for name in arguments.methods if name != OURS}


def measure_all(arguments: argparse.Namespace, rows: list[Row], save: Callable[[], None]) -> None:
    """Measure what is not among the rows yet, and save after each picture; print a table after each task."""
    methods: dict[str, Restore | None] = {INPUT: None, **all_methods(arguments, arguments.threads)}
    crop = np.random.default_rng(0).random((64, 64, 3), dtype=np.float32)
    warm_up = Picture(crop, crop, sigma=25.0, rounded=False)
    for restore in methods.values():  # no picture's time includes what is done at a first call
        measure("", "", "", restore, warm_up)
    done = {(row.task, row.image, row.method) for row in rows}
    for task in arguments.tasks:
        benchmark = arguments.real if task == REAL else arguments.benchmark
        images = spread(benchmark.images, arguments.count)
        for image in images:
            missing = [name for name in methods if (task, image.name, name) not in done]
            if missing:
                picture = read_picture(task, benchmark, image, arguments.blind)
                rows += [measure(task, image.name, name, methods[name], picture) for name in missing]
                save()
        names = {image.name for image in images}
        print_task(task, [row for row in rows if row.task == task and row.image in names])


def measure_threads(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Measure the wall time of one picture in one thread and in as many as there are cores."""
    image = arguments.benchmark.images[0]
    picture = read_picture("noise25", arguments.benchmark, image, blind=False)
    counts = sorted({1, os.cpu_count() or 1})
    found: dict[str, dict[str, Any]] = {}
    for threads in counts:
        for name, restore in all_methods(arguments, threads).items():
            row = measure("noise25", image.name, name, restore, picture)
            assert row.seconds is not None
            seconds = found.setdefault(name, {"method": name, "image": image.name, "seconds_per_megapixel": {}})
            seconds["seconds_per_megapixel"][str(threads)] = round(row.seconds / row.megapixels, 2)
    print(f"\nSeconds a megapixel of one picture, σ 25\n\n| method | {' | '.join(f'{n} threads' for n in counts)} |")
    print(f"|{'---|' * (len(counts) + 1)}")
    for name, row in found.items():
        print(
            f"| {name} | {' | '.join(f'{value:.1f}' for value in row['seconds_per_megapixel'].values())} |", flush=True
        )
    return list(found.values())


def measure_photograph(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Measure `dynet restore` on a photograph of 12 megapixels with noise, in its own process, from JPEG to JPEG."""
    height = round((arguments.megapixels * 1e6 * 3 / 4) ** 0.5)
    rows = []
    print("\n| weights | image | tile | restoring, s | whole command, s | peak MB |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        file = Path(name) / "photograph.jpg"
        source = Image.open(photographs()[0]).convert("RGB").resize((height * 4 // 3, height), Image.Resampling.BICUBIC)
        noise = np.random.default_rng(0).standard_normal((height, height * 4 // 3, 3), dtype=np.float32) * 10
        Image.fromarray(np.clip(np.rint(np.asarray(source) + noise), 0, 255).astype(np.uint8)).save(file, quality=95)
        for source_of_weights in arguments.weights:
            model, _ = load_any_weights(source_of_weights)
            for variant in model.variants:
                command = ["-m", "dynet", "restore", file, "--out", Path(name) / "restored", "--overwrite", "--json"]
                command += ["--weights", source_of_weights, "--variants", variant.name, "--device", "cpu"]
                start = time.perf_counter()
                result, peak = run(*command, *(["--tile", arguments.tile] if arguments.tile else []))
                whole = time.perf_counter() - start
                output = result["outputs"][variant.name]
                row = {"weights": source_of_weights, "variant": variant.name, "width": result["width"]}
                row |= {"height": result["height"], "tile": output["tile"], "seconds": output["seconds"]}
                rows.append(row | {"command_seconds": round(whole, 1), "peak_mb": peak})
                cells = [
                    f"{source_of_weights} {variant.name}",
                    f"{row['width']}×{row['height']}",
                    output["tile"] or "whole",
                ]
                print(
                    f"| {' | '.join(map(str, cells))} | {output['seconds']:.0f} | {whole:.0f} | {peak:,} |", flush=True
                )
    return rows


def settings_of(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return what rows depend on, besides task, image and method."""
    weights = {source: sha256_of(load_any_weights(source)[1]) for source in arguments.weights}
    dtype = str(choose_dtype("auto", torch.device("cpu"))).removeprefix("torch.")
    settings = {"weights": weights, "dtype": dtype, "threads": arguments.threads, "blind": arguments.blind}
    return settings | {"tile": arguments.tile, "benchmark": arguments.benchmark.name, "protocol": STRICT.name}


def rows_before(out: Path, settings: Mapping[str, Any]) -> tuple[list[Row], dict[str, Any]]:
    """Return the rows of an earlier call, and its other measurements; stop if it had other weights or settings."""
    if not out.is_file():
        return [], {}
    before = json.loads(out.read_text(encoding="utf-8"))
    for name, value in settings.items():
        if before["settings"].get(name) != value:
            stop(f"--resume: {out} was measured with {name} {before['settings'].get(name)}, not {value}")
    return [Row(**row) for row in before["rows"]], {
        name: before[name] for name in ("threads", "photograph") if name in before
    }


def parse() -> argparse.Namespace:
    """Read the arguments; one that cannot be used stops the script."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    has_weights = [name for name in WEIGHTS if any((ROOT / name).glob("weights*.safetensors"))]
    default = has_weights[0] if has_weights else None
    parser.add_argument(
        "--weights", nargs="+", default=[default], help=f"one or more, as for dynet; default: {default}"
    )
    parser.add_argument(
        "--benchmark", type=Path, default=SHARED / "benchmarks" / "CBSD68", help="a folder of clean images"
    )
    parser.add_argument("--real", type=Path, help="a folder of pairs with real noise")
    parser.add_argument(
        "--methods", default=",".join((OURS, *CLASSICAL)), help="separated by commas; default: %(default)s"
    )
    parser.add_argument("--tasks", default=",".join(TASKS), help="separated by commas; default: %(default)s")
    parser.add_argument("--count", type=int, help="how many pictures of each task, evenly spread; default: all")
    parser.add_argument("--threads", type=int, default=1, help="of each method in the tables of quality")
    parser.add_argument("--blind", action="store_true", help="estimate sigma in every task")
    parser.add_argument("--tile", type=int, help="for ours, as for dynet restore")
    parser.add_argument(
        "--self-ensemble", nargs="+", type=int, choices=(1, 2, 4, 8), default=[1], help="for ours, each in turn"
    )
    parser.add_argument("--time", nargs="?", const="also", choices=("also", "only"), help="measure a large photograph")
    parser.add_argument("--megapixels", type=float, default=12, help="its size")
    parser.add_argument("--resume", action="store_true", help="keep the rows that --out has")
    parser.add_argument("--out", type=Path, default=RESULT)
    arguments = parser.parse_args()
    arguments.methods = listed("--methods", arguments.methods, (OURS, *CLASSICAL))
    arguments.tasks = listed("--tasks", arguments.tasks, TASKS)
    if arguments.count is not None and arguments.count < 1:
        stop(f"--count {arguments.count}: must be at least 1")
    if arguments.weights == [None]:
        stop("--weights: there are none in weights/")
    check_installed([name for name in arguments.methods if name != OURS])
    arguments.benchmark = BenchmarkSet.parse(f"{arguments.benchmark.name}={arguments.benchmark}").clean_side()
    if arguments.real is None:
        arguments.tasks = [task for task in arguments.tasks if task != REAL]
    else:
        arguments.real = BenchmarkSet.parse(f"{REAL}={arguments.real}")
        if not arguments.real.paired:
            stop(f"--real {arguments.real.folder}: holds no pairs")
    return arguments


def listed(option: str, text: str, known: Sequence[str]) -> list[str]:
    """Return the names of a comma-separated list, in the order of `known`."""
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in known:
            stop(f"{option}: {name!r} is none of {', '.join(known)}")
    return [name for name in known if name in names]


def main() -> None:
    """Measure, print and write `benchmarks/results/denoisers.json`."""
    arguments = parse()
    settings = settings_of(arguments)
    rows, others = rows_before(arguments.out, settings) if arguments.resume else ([], {})

    def save() -> None:
        result: dict[str, Any] = {"machine": describe(), "command": " ".join(["python", *sys.argv])}
        result |= {
            "settings": settings,
            "means": {task: summary([r for r in rows if r.task == task]) for task in TASKS},
        }
        result["means"] = {task: means for task, means in result["means"].items() if means}
        result |= others | {"rows": [asdict(row) for row in rows]}
        write_atomically(arguments.out, json.dumps(result, indent=1, ensure_ascii=False) + "\n")

    if arguments.time != "only":
        measure_all(arguments, rows, save)
        now = measure_threads(arguments)
        measured = {row["method"] for row in now}
        others["threads"] = now + [row for row in others.get("threads", ()) if row["method"] not in measured]
    if arguments.time:
        others["photograph"] = measure_photograph(arguments)
    save()


if __name__ == "__main__":
    wait_passively()
    try:
        main()
    except DyNetError as error:
        stop(f"denoisers.py: {error}")
