"""Time and memory of restoring at full width: the published network compared with ours, then the whole command.

`python benchmarks/restore.py` first restores a photograph of 1 megapixel in the same tiles with the network as it was
published (`published_form.py`: eager, float32, plain layout), and with ours in float32 and in bfloat16. Then it
restores 12 megapixels with `dynet restore` itself, from JPEG to JPEG. Each row is measured in its own process; its
memory is the largest resident set of that process, including Python and torch. The photograph is one of
scikit-image's, enlarged, with noise; the weights are random, which affects neither time nor memory. The machine should
be idle.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from machine import ROOT, describe
from PIL import Image

RESULT = ROOT / "benchmarks" / "results" / "restore.json"
FORMS = ("published", "fp32", "bf16")
VARIANTS = ("S", "L")


def photograph(height: int, width: int) -> Image.Image:
    """Return scikit-image's coffee, enlarged, with noise of 25 levels."""
    from skimage import data

    enlarged = Image.fromarray(data.coffee()).resize((width, height), Image.Resampling.BICUBIC)
    noise = np.random.default_rng(0).standard_normal((height, width, 3), dtype=np.float32) * 25
    return Image.fromarray(np.clip(np.asarray(enlarged) + noise, 0, 255).astype(np.uint8))


def measure(task: dict[str, Any]) -> None:
    """Measure one row of the first table in this process: print the seconds and save the output."""
    import torch
    from published_form import published_form

    from dynet import DyNet
    from dynet.inference import memory
    from dynet.inference.precision import choose_dtype
    from dynet.inference.restore import OVERLAP, RestoreOptions, prepare_for_inference, restore_rgb
    from dynet.inference.tiling import run_tiled
    from dynet.runtime.memory import keep_freed_memory

    model, device = DyNet.from_pretrained(task["weights"]), torch.device("cpu")
    variant = {variant.name: variant for variant in model.variants}[task["variant"]]
    rgb = np.divide(Image.open(task["image"]), 255, dtype=np.float32)
    tile = task["tile"]
    if task["form"] == "published":
        network = published_form(model).eval()
        if task["keep_memory"]:
            keep_freed_memory()
        with torch.inference_mode():
            image = torch.from_numpy(rgb.transpose(2, 0, 1)[None].copy())
            start = time.perf_counter()
            restored = run_tiled(lambda x: network(x, variant), image, tile, tile // OVERLAP)
            seconds = time.perf_counter() - start
        output = restored[0].permute(1, 2, 0).numpy()
    else:
        memory.keep_small_freed_blocks()
        prepare_for_inference(model, choose_dtype(task["form"], device), None)
        options = RestoreOptions(model=model, variants=(variant,), device=device, tile=tile)
        start = time.perf_counter()
        output = restore_rgb(rgb, variant, options)
        seconds = time.perf_counter() - start
    np.save(task["output"], output)
    print(json.dumps({"seconds": round(seconds, 2)}))


def run(*command: object) -> tuple[dict[str, Any], int]:
    """Run a process, and return its last line as JSON and its largest resident set in MB of 2^20 bytes."""
    environment = os.environ | {"OMP_WAIT_POLICY": "PASSIVE"}  # as `dynet.cli.app.main` sets it
    process = subprocess.Popen([sys.executable, *map(str, command)], stdout=subprocess.PIPE, env=environment)
    assert process.stdout is not None
    printed = process.stdout.read().decode()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{command}: ended with {os.waitstatus_to_exitcode(status)}")
    return json.loads(printed.splitlines()[-1]), round(usage.ru_maxrss / 1024)


def measure_tiled(folder: Path, weights: Path, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Measure the first table."""
    image = folder / "tiled.png"
    photograph(arguments.side, arguments.side).save(image)
    rows = []
    for variant in VARIANTS:
        first: dict[str, Any] = {}
        for form in FORMS:
            output = folder / f"{variant}.{form}.npy"
            task = {"form": form, "variant": variant, "image": str(image), "weights": str(weights)}
            task |= {"tile": arguments.tile, "output": str(output), "keep_memory": arguments.keep_memory}
            runs = [run(__file__, "--measure", json.dumps(task)) for _ in range(arguments.repeats)]
            row = {"variant": variant, "form": form, "seconds": min(result["seconds"] for result, _ in runs)}
            row["peak_mb"] = max(peak for _, peak in runs)
            first = first or row
            row["ratio"] = round(first["seconds"] / row["seconds"], 2)
            reference = np.load(folder / f"{variant}.{FORMS[0]}.npy")
            row["difference"] = float(f"{np.abs(np.load(output) - reference).max():.1e}")
            rows.append(row)
            cells = (variant, form, f"{row['seconds']:.1f}", f"{row['ratio']:.2f}", f"{row['peak_mb']:,}")
            print(f"| {' | '.join(cells)} | {row['difference']:.0e} |", flush=True)
    return rows


def measure_command(folder: Path, weights: Path, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Measure the second table: the whole command."""
    height = round((arguments.megapixels * 1e6 * 3 / 4) ** 0.5)
    image = folder / "alone.jpg"
    photograph(height, height * 4 // 3).save(image, quality=95)
    rows = []
    for variant in VARIANTS:
        command = ["-m", "dynet", "restore", image, "--out", folder / "restored", "--weights", weights]
        start = time.perf_counter()
        result, peak = run(*command, "--variants", variant, "--device", "cpu", "--json", "--overwrite")
        whole = time.perf_counter() - start
        output = result["outputs"][variant]
        row = {"variant": variant, "width": result["width"], "height": result["height"], "tile": output["tile"]}
        row |= {"seconds": output["seconds"], "command_seconds": round(whole, 1), "peak_mb": peak}
        rows.append(row)
        size = f"{row['width']}×{row['height']}"
        cells = (variant, size, row["tile"] or "whole", f"{row['seconds']:.0f}", f"{whole:.0f}", f"{peak:,}")
        print(f"| {' | '.join(map(str, cells))} |", flush=True)
    return rows


def main() -> None:
    """Measure, print and write `benchmarks/results/restore.json`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=1024, help="side of the first photograph in pixels")
    parser.add_argument("--tile", type=int, default=640, help="side of its tiles in pixels")
    parser.add_argument("--megapixels", type=float, default=12, help="size of the second photograph")
    parser.add_argument(
        "--repeats", type=int, default=1, help="repetitions for the first table; the shortest time counts"
    )
    parser.add_argument("--keep-memory", action="store_true", help="let the published form keep freed memory, too")
    parser.add_argument("--out", type=Path, default=RESULT)
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure is not None:
        measure(json.loads(arguments.measure))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make = (
            "import torch; from dynet import DyNet; torch.manual_seed(0); DyNet().save_pretrained({!r}); print('{{}}')"
        )
        run("-c", make.format(str(folder / "weights")))
        result: dict[str, Any] = {"machine": describe(), "command": " ".join(["python", *sys.argv])}
        result |= {"side": arguments.side, "tile": arguments.tile, "megapixels": arguments.megapixels}
        print("| variant | form | s | × | peak MB | difference |\n|---|---|---|---|---|---|")
        result["tiled"] = measure_tiled(folder, folder / "weights", arguments)
        print("\n| variant | image | tile | restoring, s | whole command, s | peak MB |\n|---|---|---|---|---|---|")
        result["alone"] = measure_command(folder, folder / "weights", arguments)
    arguments.out.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
