"""An exported network in onnxruntime compared with the torch model on the same image: `python benchmarks/export.py`.

The weights are fresh, at full width, which takes the same time as trained ones. Each engine is measured in a process of
its own, so that the peak memory is its own. Run it with nothing else on the machine.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from machine import ROOT, describe, photographs
from PIL import Image

from dynet import LARGE, SMALL, DyNet
from dynet.exporting import onnx_file
from dynet.exporting.export import FORMATS, describe_weights, export
from dynet.exporting.files import plan_files
from dynet.runtime.memory import keep_freed_memory

RESULT = ROOT / "benchmarks" / "results" / "export.json"
VARIANTS = {variant.name: variant for variant in (SMALL, LARGE)}
ENGINES = ("torch", "onnxruntime")


def _megabytes(key: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(key)).split()[1]) / 1024


def test_image(height: int, width: int) -> np.ndarray:
    """Return the middle of a photograph, (1, 3, height, width) float32 in [0, 1]."""
    with Image.open(photographs()[0]) as opened:
        rgb = np.asarray(opened.convert("RGB"), dtype=np.float32) / 255
    top, left = (rgb.shape[0] - height) // 2, (rgb.shape[1] - width) // 2
    return np.ascontiguousarray(rgb[top : top + height, left : left + width].transpose(2, 0, 1)[np.newaxis])


def torch_engine(task: dict[str, Any]) -> Callable[[np.ndarray], np.ndarray]:
    torch.set_num_threads(task["threads"])
    keep_freed_memory()
    model, variant = DyNet.from_pretrained(task["weights"]), VARIANTS[task["variant"]]

    def run(image: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return model(torch.from_numpy(image), variant).numpy()

    return run


def onnx_engine(task: dict[str, Any]) -> Callable[[np.ndarray], np.ndarray]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = task["threads"]
    session = onnxruntime.InferenceSession(task["file"], options, providers=["CPUExecutionProvider"])
    return lambda image: session.run([onnx_file.OUTPUT], {onnx_file.INPUT: image})[0]


def measure(task: dict[str, Any]) -> None:
    """Measure one engine at one size in this process: seconds of the first call, least of the others, peak memory."""
    image = test_image(*task["size"])
    started = time.perf_counter()
    run = {"torch": torch_engine, "onnxruntime": onnx_engine}[task["engine"]](task)
    loaded, before = time.perf_counter() - started, _megabytes("VmRSS")
    times = []
    for _ in range(1 + task["repeats"]):
        started = time.perf_counter()
        restored = run(image)
        times.append(time.perf_counter() - started)
    np.save(task["result"], restored)
    row = {"load_s": round(loaded, 2), "first_s": round(times[0], 2), "s": round(min(times[1:]), 3)}
    print(json.dumps(row | {"peak_mb": round(_megabytes("VmHWM") - before)}))


def compare(arguments: argparse.Namespace, variant: str, folder: Path) -> list[dict[str, Any]]:
    """Compare both engines at each size for one variant."""
    weights = folder / "weights.safetensors"
    torch.manual_seed(0)
    model = DyNet().eval()
    model.save(weights)
    files = plan_files("onnx", folder / f"{variant}.onnx", (VARIANTS[variant],), overwrite=True)
    started = time.perf_counter()
    (exported,) = export(model, describe_weights(weights), FORMATS["onnx"], files)
    seconds, megabytes = time.perf_counter() - started, exported.path.stat().st_size / 1e6
    print(f"{variant}: exported and compared in {seconds:.0f} s, {megabytes:.1f} MB")
    rows = []
    for size in arguments.sizes:
        row: dict[str, Any] = {
            "variant": variant,
            "size": size,
            "export_s": round(seconds),
            "file_mb": round(megabytes, 1),
        }
        for engine in ENGINES:
            task = {"engine": engine, "variant": variant, "size": size, "weights": str(weights)}
            task |= {"file": str(exported.path), "result": str(folder / f"{engine}.npy")}
            task |= {"threads": arguments.threads, "repeats": arguments.repeats}
            command = [sys.executable, __file__, "--measure", json.dumps(task)]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            row[engine] = json.loads(done.stdout.splitlines()[-1])
        ours, theirs = (np.load(folder / f"{engine}.npy") for engine in ENGINES)
        row["ratio"] = round(row["onnxruntime"]["s"] / row["torch"]["s"], 2)
        row["difference"] = float(f"{np.abs(ours - theirs).max():.1e}")
        rows.append(row)
        cells = [variant, "x".join(map(str, reversed(size)))]
        cells += [f"{row[engine]['s']:.2f} | {row[engine]['peak_mb']}" for engine in ENGINES]
        print("| " + " | ".join([*cells, f"{row['ratio']:.2f}", f"{row['difference']:.0e}"]) + " |", flush=True)
    return rows


def height_and_width(text: str) -> list[int]:
    height, width = text.split("x")
    return [int(height), int(width)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--variants", nargs="+", default=["S", "L"], choices=list(VARIANTS))
    parser.add_argument("--sizes", nargs="+", type=height_and_width, default=[[256, 256], [321, 481]], metavar="HxW")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, default=RESULT)
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        measure(json.loads(arguments.measure))
        return
    print("| variant | size | torch s | MB | onnxruntime s | MB | onnxruntime / torch | difference |")
    with tempfile.TemporaryDirectory() as folder:
        rows = [row for variant in arguments.variants for row in compare(arguments, variant, Path(folder))]
    about = describe() | {"threads": arguments.threads}
    arguments.out.write_text(json.dumps({"machine": about, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
