"""Compare speed and memory of the published form and ours, one change at a time: `python benchmarks/train_speed.py`.

Forward passes and training steps of S and L at full width. Each row is measured in its own process, so that peak memory
is that of the row. Run it with nothing else on the machine. On a GPU: `--device cuda --compile --batch 32`.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from loss_curves import draw
from machine import ROOT, describe
from speed_floor import floor
from speed_forms import Form, build, ladder

from dynet import LARGE, SMALL, DyNet
from dynet.runtime.memory import keep_freed_memory

RESULT = ROOT / "benchmarks" / "results" / "train_speed.json"
VARIANTS = (SMALL, LARGE)


def _resident_mb(key: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(key)).split()[1]) / 1024


class Memory:
    """Peak memory of network, features and optimiser: torch's tensors on a GPU, the resident set on a CPU."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._before = 0.0 if device.type == "cuda" else _resident_mb("VmRSS")

    def restart(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        else:
            Path("/proc/self/clear_refs").write_text("5")

    def peak_mb(self) -> int:
        if self.device.type == "cuda":
            return round(torch.cuda.max_memory_allocated(self.device) / 2**20)
        return round(_resident_mb("VmHWM") - self._before)


def measure(task: dict[str, Any]) -> dict[str, Any]:
    """Measure one row in this process: seconds (least of the repeats) and peak memory for each variant."""
    form, device = Form(**task["form"]), torch.device(task["device"])
    if form.keep_memory:
        keep_freed_memory()
    torch.manual_seed(0)
    memory = Memory(device)
    network = build(form, DyNet(), device)
    x = torch.rand(task["shape"], generator=torch.Generator().manual_seed(1)).to(device)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-6, fused=form.fused) if task["training"] else None
    row: dict[str, Any] = {}
    for variant in VARIANTS:
        memory.restart()
        times = []
        for _ in range(task["repeats"] + task["warm_up"]):
            start = time.perf_counter()
            with form.autocast(device), torch.inference_mode(optimizer is None):
                out = network(x, variant)
            if optimizer is not None:
                (out.float() - x).abs().mean().backward()
                optimizer.step()
                optimizer.zero_grad()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            times.append(time.perf_counter() - start)
        seconds = min(times[task["warm_up"] :])
        row[variant.name] = {"ms": round(seconds * 1e3, 1), "images_per_s": round(len(x) / seconds, 2)}
        row[variant.name] |= {"peak_mb": memory.peak_mb(), "first_call_s": round(times[0], 2)}
        if optimizer is None:
            torch.save(out.float().cpu(), Path(task["folder"]) / f"{task['row']}.{variant.name}.pt")
    return row


def rows(arguments: argparse.Namespace, device: torch.device, *, training: bool) -> list[dict[str, Any]]:
    """Measure all rows of one table with their ratios to the first, and the difference of outputs in forward passes."""
    shape = [arguments.train_batch if training else arguments.batch, 3]
    shape += [arguments.train_crop if training else arguments.crop] * 2
    forms = ladder(device, training=training, compiled=arguments.compile)
    table: list[dict[str, Any]] = [{"adds": form.adds, "shape": shape} for form in forms]
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(arguments.rounds):
            for number, (form, row) in enumerate(zip(forms, table, strict=True)):
                task = {"form": form.as_dict(), "device": arguments.device, "shape": shape, "training": training}
                task |= {"repeats": arguments.repeats, "warm_up": 1 + 2 * (device.type == "cuda")}
                task |= {"folder": folder, "row": number}
                command = [sys.executable, __file__, "--measure", json.dumps(task)]
                done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
                for name, entry in json.loads(done.stdout.splitlines()[-1]).items():
                    row[name] = min(row.get(name, entry), entry, key=lambda entry: entry["ms"])
        for number, row in enumerate(table):
            for variant in VARIANTS:
                entry, first = row[variant.name], table[0][variant.name]
                entry["ratio"] = round(first["ms"] / entry["ms"], 2)
                entry["memory_ratio"] = round(entry["peak_mb"] / first["peak_mb"], 2)
                if not training:
                    outputs = [
                        torch.load(Path(folder) / f"{row_number}.{variant.name}.pt") for row_number in (0, number)
                    ]
                    entry["difference"] = float(f"{(outputs[0] - outputs[1]).abs().max():.1e}")
            print(_line(row), flush=True)
    return table


def _line(row: dict[str, Any]) -> str:
    cells = [row["adds"]]
    for variant in VARIANTS:
        entry = row[variant.name]
        cells += [
            f"{entry['ms']:.0f}",
            f"{entry['images_per_s']:.2f}",
            f"{entry['ratio']:.2f}",
            f"{entry['peak_mb']:,}",
        ]
        cells += [f"{entry['difference']:.0e}"] if "difference" in entry else []
    return "| " + " | ".join(cells) + " |"


def _head(training: bool) -> str:
    names = ["ms", "images/s", "×", "peak MB"] + ([] if training else ["difference"])
    cells = ["one after the other"] + [f"{variant.name}: {name}" for variant in VARIANTS for name in names]
    return "\n| " + " | ".join(cells) + " |\n|" + "---|" * len(cells)


def main() -> None:
    """Measure, print and write `benchmarks/results/train_speed.json` (`train_speed_cuda.json` on a GPU)."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument(
        "--batch", type=int, default=None, help="batch of forward passes; default: 2 on a CPU, 32 on a GPU"
    )
    parser.add_argument("--crop", type=int, default=128)
    parser.add_argument(
        "--train-batch", type=int, default=None, help="batch of training steps; default: 2 on a CPU, 32 on a GPU"
    )
    parser.add_argument("--train-crop", type=int, default=None, help="default: 64 on a CPU, 128 on a GPU")
    parser.add_argument(
        "--repeats", type=int, default=None, help="default: 3 on a CPU, 10 on a GPU; the shortest time counts"
    )
    parser.add_argument(
        "--rounds", type=int, default=1, help="repetitions of all rows, for a machine with other programs"
    )
    parser.add_argument(
        "--compile", action="store_true", help="also measure compiled blocks, which takes some minutes on a CPU"
    )
    parser.add_argument("--curves", type=Path, help="draw the loss of 200 steps in both forms to this file (CPU)")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure is not None:
        print(json.dumps(measure(json.loads(arguments.measure))))
        return
    device = torch.device(arguments.device)
    gpu = device.type == "cuda"
    defaults = {"batch": (2, 32), "train_batch": (2, 32), "train_crop": (64, 128), "repeats": (3, 10)}
    for name, values in defaults.items():
        if getattr(arguments, name) is None:
            setattr(arguments, name, values[gpu])
    keep_freed_memory()  # in this process, which measures the rates of the floor
    result: dict[str, Any] = {"machine": describe(), "command": " ".join(["python", *sys.argv])}
    result["device"] = torch.cuda.get_device_name() if gpu else f"CPU, {torch.get_num_threads()} threads"
    for name, training in (("forward", False), ("training step", True)):
        print(_head(training))
        table = rows(arguments, device, training=training)
        shape = tuple(table[0]["shape"])
        floors = {variant.name: floor(variant, shape, device, training=training) for variant in VARIANTS}
        result[name] = {"rows": table, "floor": floors}
        print(f"\nfloor, {name} of {'×'.join(map(str, shape))}:")
        for variant, by_dtype in floors.items():
            print("\n".join(f"  {variant} {dtype}: {json.dumps(entry)}" for dtype, entry in by_dtype.items()))
    if arguments.curves is not None:
        result["curves"] = draw(arguments.curves)
        print(f"\nloss curves, {arguments.curves}: {json.dumps(result['curves'])}")
    path = RESULT.with_stem("train_speed_cuda") if gpu else RESULT
    path.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
