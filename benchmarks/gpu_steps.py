"""Compare steps and forward passes on a GPU, published form and ours, in one process: `python benchmarks/gpu_steps.py`.

`train_speed.py --device cuda` starts a process for each row, and each needs half a minute to load kernels on a machine
that was just started. This script takes about a minute, for a GPU that is available for a short time: full width,
batches of 32 crops of 128×128, the mean of `--repeats` after two passes that are not counted. It also prints where the
time of a step goes, and the time of the 3×3 depth-wise convolutions, a fifth of a step, in both memory layouts. With
`--weights W --pictures FOLDER` it also measures time and PSNR of restoring in each precision: the first three images
with noise of σ 25, compared with convolutions without TF32.
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from machine import ROOT, describe
from PIL import Image
from speed_forms import Form, build
from torch.nn import functional as F

from dynet import LARGE, DyNet
from dynet.evaluation.metrics import psnr

RESULT = ROOT / "benchmarks" / "results" / "gpu_steps.json"
OURS = Form(adds="ours", channels_last=True, norm=True, attention=True, feed_forward=True, fused=True)
PUBLISHED = Form(adds="published", fused=True)
DEPTHWISE = ((144, 128), (256, 128), (512, 64))
"""Channels and side of the features of depth-wise convolutions at full width."""


def milliseconds(call: Callable[[], object], repeats: int, device: torch.device) -> float:
    """Return the mean time of a call, after two calls that are not counted."""

    def wait() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    for _ in range(2):
        call()
    wait()
    start = time.perf_counter()
    for _ in range(repeats):
        call()
    wait()
    return (time.perf_counter() - start) / repeats * 1e3


def network_call(form: Form, model: DyNet, x: torch.Tensor, *, training: bool) -> Callable[[], None]:
    """Return a training step, or a forward pass, of L as a function."""
    network = build(form, model, x.device)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-6, fused=form.fused)

    def forward() -> None:
        with torch.inference_mode(), form.autocast(x.device):
            network(x, LARGE)

    def step() -> None:
        with form.autocast(x.device):
            restored = network(x, LARGE)
        (restored.float() - x).abs().mean().backward()
        optimizer.step()
        optimizer.zero_grad()

    return step if training else forward


def kernel_times(call: Callable[[], None], device: torch.device, count: int = 20) -> list[dict[str, Any]]:
    """Return the kernels that take most time in one call, the longest first."""
    from torch.profiler import ProfilerActivity, profile

    activity = ProfilerActivity.CUDA if device.type == "cuda" else ProfilerActivity.CPU
    with profile(activities=[activity]) as profiler:
        call()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
    total: dict[str, list[float]] = {}
    for event in profiler.profiler.kineto_results.events():
        entry = total.setdefault(event.name()[:120], [0.0, 0])
        entry[0] += event.duration_ns() / 1e6
        entry[1] += 1
    largest = sorted(total.items(), key=lambda item: -item[1][0])[:count]
    return [{"name": name, "ms": round(ms, 2), "calls": int(calls)} for name, (ms, calls) in largest]


def depthwise(channels: int, side: int, batch: int, layout: torch.memory_format, device: torch.device) -> list[float]:
    """Return milliseconds of a depth-wise convolution in bfloat16, forward and backward."""
    x = torch.randn(batch, channels, side, side, device=device, dtype=torch.bfloat16)
    x = x.contiguous(memory_format=layout).requires_grad_()
    weight = torch.randn(channels, 1, 3, 3, device=device, dtype=torch.bfloat16, requires_grad=True)
    out = F.conv2d(x, weight, padding=1, groups=channels)
    gradient = torch.randn_like(out)
    forward = milliseconds(lambda: F.conv2d(x.detach(), weight.detach(), padding=1, groups=channels), 8, device)
    backward = milliseconds(lambda: torch.autograd.grad(out, (x, weight), gradient, retain_graph=True), 8, device)
    return [round(forward, 2), round(backward, 2)]


def precisions(weights: str, folder: Path, device: torch.device) -> list[dict[str, Any]]:
    """Return milliseconds, PSNR in dB, and the largest difference to exact float32 in levels, for whole images."""
    model, rows = DyNet.from_pretrained(weights).to(device), []
    for file in sorted(folder.iterdir())[:3]:
        clean = np.asarray(Image.open(file).convert("RGB")).astype(np.float32) / 255
        noisy = clean + np.random.default_rng(0).normal(0, 25 / 255, clean.shape).astype(np.float32)
        x = torch.from_numpy(noisy).permute(2, 0, 1)[None].contiguous().to(device)
        for variant in model.variants:
            exact = None
            for precision in ("float32, exact", "float32, TF32", "bfloat16"):
                torch.backends.cudnn.allow_tf32 = precision != "float32, exact"
                with (
                    torch.inference_mode(),
                    torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16"),
                ):
                    ms = milliseconds(partial(model, x, variant), 1, device)
                    restored = model(x, variant).float()[0].permute(1, 2, 0).cpu().numpy()
                exact = restored if exact is None else exact
                row = {"picture": file.name, "variant": variant.name, "precision": precision, "ms": round(ms, 1)}
                row |= {"psnr": round(psnr(restored, clean), 4)}
                rows.append(row | {"levels": round(float(np.abs(restored - exact).max() * 255), 3)})
                print(rows[-1], flush=True)
    return rows


def main() -> None:
    """Measure, print, and write the file of results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--crop", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--weights", help="also measure restoring with these weights")
    parser.add_argument("--pictures", type=Path, help="a folder of clean images, such as CBSD68")
    parser.add_argument("--out", type=Path, default=RESULT)
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    name = torch.cuda.get_device_name() if device.type == "cuda" else "CPU"
    torch.manual_seed(0)
    model, x = DyNet(), torch.rand(arguments.batch, 3, arguments.crop, arguments.crop, device=device)
    rows = []
    for training in (True, False):
        for form in (PUBLISHED, replace(PUBLISHED, bf16=True), OURS, replace(OURS, bf16=True)):
            ms = milliseconds(network_call(form, model, x, training=training), arguments.repeats, device)
            row = {"what": "training step" if training else "forward pass", "form": form.adds, "ms": round(ms, 1)}
            rows.append(row | {"precision": "bf16" if form.bf16 else "fp32"})
            print(rows[-1], flush=True)
    spent = kernel_times(network_call(replace(OURS, bf16=True), model, x, training=True), device)
    print("\n".join(f"{entry['ms']:8.2f} ms {entry['calls']:6d}  {entry['name']}" for entry in spent))
    layouts = {"channels last": torch.channels_last, "plain": torch.contiguous_format}
    convolutions = [
        {"channels": c, "side": s, "layout": layout, "ms": depthwise(c, s, arguments.batch, order, device)}
        for c, s in DEPTHWISE
        for layout, order in layouts.items()
    ]
    print("\n".join(map(str, convolutions)))
    restoring = precisions(arguments.weights, arguments.pictures, device) if arguments.weights else []
    result = {"machine": describe() | {"gpu": name}, "command": "python benchmarks/gpu_steps.py", "rows": rows}
    arguments.out.write_text(
        json.dumps(result | {"kernels": spent, "depthwise": convolutions, "restoring": restoring}, indent=1) + "\n"
    )


if __name__ == "__main__":
    main()
