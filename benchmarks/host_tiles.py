"""What tiles of other programs do to a restored photograph, with and without local statistics in the file.

`python benchmarks/host_tiles.py --weights benchmarks/weights/dynet-noise-rain --window 96 192` writes a file for
spandrel, loads it with spandrel, and restores a photograph of the shared data, 1280 pixels wide with noise of 25
levels, whole and as ComfyUI does: in tiles of 512 that begin every 480 pixels, each faded in and out along a line of
32. PSNR and the largest difference, in levels of 255, are between tiled and whole; "to clean" is the PSNR against the
clean image, whole and tiled. "Seam" is how much steeper the difference is where tiles begin or end than elsewhere: 1
means no seam. `--precisions` restores a crop of 128 pixels in float32, bfloat16 and float16 instead, and prints the
largest product in its attention, which is a sum over pixels: float16 ends at 65504.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import spandrel
import torch
from machine import ROOT, describe, photographs
from PIL import Image
from torch import Tensor
from waiting import wait_passively

from dynet import DyNet, Variant
from dynet.evaluation.metrics import psnr
from dynet.exporting.spandrel_file import serialise
from dynet.inference.restore import prepare_for_inference
from dynet.model.blocks import ChannelAttention
from dynet.spandrel import register

RESULT = ROOT / "benchmarks" / "results" / "host_tiles.json"
TILE, OVERLAP = 512, 32
ALONG = 20
"""Steps are averaged over this many pixels along an edge before taking the absolute value: a seam has one sign."""
Float = npt.NDArray[np.float32]


def tiled(run: Callable[[Tensor], Tensor], image: Tensor) -> Tensor:
    """Restore (1, 3, H, W) in tiles; where they overlap, their weights rise and fall in a straight line."""
    total, weights = torch.zeros_like(image), torch.zeros(image.shape[-2:])
    for top in starts(image.shape[-2]):
        for left in starts(image.shape[-1]):
            tile = image[..., top : top + TILE, left : left + TILE]
            weight = torch.outer(ramp(tile.shape[-2]), ramp(tile.shape[-1]))
            total[..., top : top + TILE, left : left + TILE] += run(tile) * weight
            weights[top : top + TILE, left : left + TILE] += weight
    return total / weights


def starts(length: int) -> list[int]:
    """Return where tiles begin along a side."""
    return list(range(0, length - OVERLAP, TILE - OVERLAP)) if length > TILE else [0]


def ramp(length: int) -> Tensor:
    """Return the weight of each row of a tile, (length,): up to 1 and down again over the overlap."""
    rising = (torch.arange(length) + 1).clamp(max=OVERLAP) / OVERLAP
    return rising * rising.flip(0)


def seam(difference: Float) -> float:
    """Return the mean step at edges of tiles divided by that elsewhere; difference: (H, W, 3), tiled minus whole."""
    at_edges, elsewhere = [], []
    for part in (difference, difference.swapaxes(0, 1)):
        steps = np.diff(part, axis=0)
        along = steps[:, : part.shape[1] // ALONG * ALONG].reshape(len(steps), -1, ALONG, 3).mean(axis=2)
        by_row = np.abs(along).mean(axis=(1, 2))
        edges = [start for start in starts(len(part)) if start] + [start + TILE for start in starts(len(part))]
        at_edge = np.isin(np.arange(1, len(part)), edges)
        at_edges.append(by_row[at_edge])
        elsewhere.append(by_row[~at_edge])
    return float(np.concatenate(at_edges).mean() / np.concatenate(elsewhere).mean())


def loaded(model: DyNet, variant: Variant, window: int | None) -> Any:
    """Write a file, and return what spandrel makes of it."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "w.safetensors"
        file.write_bytes(serialise(model, variant, {}, local_statistics=window))
        return spandrel.ModelLoader().load_from_file(file).eval()


def measure(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Measure a row for each variant and kind of statistics."""
    model = DyNet.from_pretrained(arguments.weights)
    noisy, clean = _noisy_and_clean(photographs()[arguments.picture], arguments.width)
    rows = []
    for variant in model.variants[: arguments.variants]:
        for window in (None, *arguments.window):
            descriptor = loaded(model, variant, window)
            if window is None:  # the same within rounding, in a quarter of the memory
                prepare_for_inference(descriptor.model.network, torch.float32, None)
            with torch.inference_mode():
                whole, parts = _as_array(descriptor(noisy)), _as_array(tiled(descriptor, noisy))
            row = {
                "variant": variant.name,
                "window": window,
                "psnr": round(psnr(parts, whole), 2),
                "most_levels": round(float(np.abs(parts - whole).max() * 255), 1),
                "whole_to_clean": round(psnr(whole, clean), 3),
                "tiled_to_clean": round(psnr(parts, clean), 3),
                "seam": round(seam(parts - whole), 2),
            }
            rows.append(row)
            print(row, flush=True)
    return rows


def measure_precisions(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Restore a crop in three types, and say how large attention's products get; they grow with the pixels."""
    model = DyNet.from_pretrained(arguments.weights)
    noisy, clean = _noisy_and_clean(photographs()[arguments.picture], arguments.width)
    crop, target = noisy[..., 100:228, 300:428], clean[100:228, 300:428]
    rows = []
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        largest: list[float] = []

        def note(
            attention: ChannelAttention, inputs: tuple[Tensor, ...], _: Tensor, seen: list[float] = largest
        ) -> None:
            q, k = attention.mix_qkv(attention.to_qkv(inputs[0]))[0].float().flatten(1).chunk(3)[:2]
            parts = [part.unflatten(0, (attention.heads, -1)) for part in (q, k)]
            seen.append(float((parts[0] @ parts[1].transpose(1, 2)).abs().max()))

        network = loaded(model, model.variants[0], None).model.to(dtype)
        for module in network.modules():
            if isinstance(module, ChannelAttention):
                module.register_forward_hook(note)
        with torch.inference_mode():
            restored = network(crop.to(dtype)).float()
        row = {"type": str(dtype), "to_clean": round(psnr(_as_array(restored), target), 3)}
        row |= {"largest_product": round(max(largest)), "in_tiles_of_512": round(max(largest) * 16)}
        rows.append(row)
        print(row, flush=True)
    return rows


def _as_array(image: Tensor) -> Float:
    return image[0].clamp(0, 1).permute(1, 2, 0).numpy()


def _noisy_and_clean(path: Path, width: int) -> tuple[Tensor, Float]:
    with Image.open(path) as image:
        size = (width, round(image.height * width / image.width))
        clean = np.asarray(image.convert("RGB").resize(size, Image.Resampling.LANCZOS))
    noisy = np.clip(clean + np.random.default_rng(0).normal(0, 25, clean.shape), 0, 255)
    as_tensor = torch.from_numpy((np.rint(noisy) / 255).astype(np.float32)).permute(2, 0, 1)[None].contiguous()
    return as_tensor, (clean / 255).astype(np.float32)


def main() -> None:
    """Measure, print and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", required=True)
    parser.add_argument("--window", type=int, nargs="*", default=[], help="sides of windows of local statistics")
    parser.add_argument("--width", type=int, default=1280, help="width of the image")
    parser.add_argument("--picture", type=int, default=0, help="which of the photographs")
    parser.add_argument("--variants", type=int, default=1, help="how many of the variants, from the smallest")
    parser.add_argument("--precisions", action="store_true")
    arguments = parser.parse_args()
    wait_passively()
    register()
    rows = (measure_precisions if arguments.precisions else measure)(arguments)
    if not arguments.precisions:
        result = {"machine": describe(), "command": " ".join(["python", *sys.argv]), "rows": rows}
        RESULT.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
