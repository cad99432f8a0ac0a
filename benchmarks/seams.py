"""The effect of tiles: images restored in tiles compared with the same images restored whole.

`python benchmarks/seams.py --weights runs/three --window 192` uses photographs of the shared data, 2048 pixels wide,
with noise of 25 levels. PSNR and the largest difference, in levels of 255, are between tiled and whole; "to clean" is
how much tiles change the PSNR against the clean image. "Seam" is how much steeper the difference is at the edges of
tiles than elsewhere: 1 means no seam. The last row has tiles without overlap, for comparison.

The figures of the docs are for weights trained with `dynet train --data my-set --stage finetune --config
benchmarks/narrow.yaml --out build/narrow`, where my-set is the dataset `bsds` of `benchmarks/studies/sets.py`.
"""

import argparse
import json
import sys
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from machine import ROOT, describe, photographs
from PIL import Image
from waiting import wait_passively

from dynet import DyNet, Variant
from dynet.evaluation.metrics import psnr
from dynet.inference import restore
from dynet.inference.restore import RestoreOptions, prepare_for_inference, restore_rgb
from dynet.inference.tiling import tile_spans

RESULT = ROOT / "benchmarks" / "results" / "seams.json"
WHOLE = 2**20
ALONG = 20
"""Steps are averaged over this many pixels along an edge before taking the absolute value: a seam has one sign."""
Float = npt.NDArray[np.float32]


def seam(difference: Float, tile: int, overlap: int) -> float:
    """Return the mean step at edges of tiles divided by that elsewhere; difference: (H, W, 3), tiled minus whole."""
    across, elsewhere = [], []
    for part in (difference, difference.swapaxes(0, 1)):
        steps = np.diff(part, axis=0)  # between each row and the next, (H-1, W, 3)
        along = steps[:, : part.shape[1] // ALONG * ALONG].reshape(len(steps), -1, ALONG, 3).mean(axis=2)
        by_row = np.abs(along).mean(axis=(1, 2))
        spans = tile_spans(len(part), tile, overlap)
        edges = {first for first, _ in spans[1:]} | {end for _, end in spans[:-1]}
        at_edge = np.isin(np.arange(1, len(part)), list(edges))
        across.append(by_row[at_edge])
        elsewhere.append(by_row[~at_edge])
    return float(np.concatenate(across).mean() / np.concatenate(elsewhere).mean())


def measure(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Measure a row for each variant, kind of statistics and tile: means over images, and the largest difference."""
    rows = []
    variants = DyNet.from_pretrained(arguments.weights).variants
    images = [_noisy_and_clean(path, arguments.width) for path in photographs()[:: -(-31 // arguments.pictures)]]
    for variant in variants:
        for window in (None, arguments.window):
            model = DyNet.from_pretrained(arguments.weights)
            prepare_for_inference(model, torch.float32, window)
            wholes = [_restored(model, variant, noisy, WHOLE) for noisy, _ in images]
            for tile, overlapping in [*((tile, True) for tile in arguments.tiles), (arguments.tiles[0], False)]:
                restore.OVERLAP = 8 if overlapping else WHOLE
                figures = []
                for (noisy, clean), whole in zip(images, wholes, strict=True):
                    tiled = _restored(model, variant, noisy, tile)
                    figures.append(
                        {
                            "psnr": psnr(tiled, whole),
                            "most_levels": float(np.abs(tiled - whole).max() * 255),
                            "to_clean": psnr(tiled, clean) - psnr(whole, clean),
                            "seam": seam(tiled - whole, tile, tile // restore.OVERLAP),
                        }
                    )
                restore.OVERLAP = 8
                row: dict[str, Any] = {"variant": variant.name, "window": window, "tile": tile, "overlap": overlapping}
                row |= {name: round(float(np.mean([figure[name] for figure in figures])), 3) for name in figures[0]}
                row["most_levels"] = round(max(figure["most_levels"] for figure in figures), 1)
                rows.append(row)
                print(_line(row), flush=True)
    return rows


def _restored(model: DyNet, variant: Variant, noisy: Float, tile: int) -> Float:
    options = RestoreOptions(model=model, variants=(variant,), device=torch.device("cpu"), tile=tile)
    return np.clip(restore_rgb(noisy, variant, options), 0, 1)


def _noisy_and_clean(path: Any, width: int) -> tuple[Float, Float]:
    with Image.open(path) as image:
        size = (width, round(image.height * width / image.width))
        clean = np.asarray(image.convert("RGB").resize(size, Image.Resampling.LANCZOS))
    noisy = np.clip(clean + np.random.default_rng(0).normal(0, 25, clean.shape), 0, 255)
    return (np.rint(noisy) / 255).astype(np.float32), (clean / 255).astype(np.float32)


def _line(row: dict[str, Any]) -> str:
    statistics = f"windows of {row['window']}" if row["window"] else "of the tile"
    tile = row["tile"] if row["overlap"] else f"{row['tile']}, no overlap"
    figures = f"{row['psnr']:.1f} | {row['most_levels']:.1f} | {row['to_clean']:+.3f} | {row['seam']:.2f}"
    return f"| {row['variant']} | {statistics} | {tile} | {figures} |"


def main() -> None:
    """Measure, print and write `benchmarks/results/seams.json`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", required=True)
    parser.add_argument(
        "--window",
        type=int,
        required=True,
        help="side of the windows of local statistics: 1.5 times the crop of training",
    )
    parser.add_argument("--width", type=int, default=2048, help="width of the images")
    parser.add_argument("--pictures", type=int, default=3, help="approximate number of the 31 images")
    parser.add_argument("--tiles", type=int, nargs="+", default=[256, 384, 640])
    arguments = parser.parse_args()
    wait_passively()
    print(
        "| variant | statistics | tile | PSNR to whole, dB | largest difference, levels | to clean, dB | seam |\n|"
        + "---|" * 7
    )
    result = {"machine": describe(), "command": " ".join(["python", *sys.argv]), "rows": measure(arguments)}
    RESULT.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
