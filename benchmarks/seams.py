"""What tiles change: a picture restored in tiles against the same picture restored whole.

`python benchmarks/seams.py --weights runs/three --window 192`: photographs of the shared data, 2048 pixels wide, with
noise of 25 levels. PSNR and the largest difference, in levels of 255, are between tiled and whole; "to clean" is what
tiles do to the PSNR against the clean picture. "Seam" is how much steeper the difference is across the edges of tiles,
where they begin and where they end, than it is elsewhere: 1 for none. The last row has tiles that do not overlap, for
contrast.

Figures of the docs are of weights trained by `dynet train --data my-set --stage finetune --config
benchmarks/narrow.yaml --out build/narrow`, where my-set is the set `bsds` of `benchmarks/studies/sets.py`.
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
"""Over so many pixels along an edge steps are averaged before their size is taken: those of a seam have one sign."""
Float = npt.NDArray[np.float32]


def seam(difference: Float, tile: int, overlap: int) -> float:
    """difference: (H, W, 3), tiled minus whole: its mean step across edges of tiles over its mean step elsewhere."""
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
    """A row for each variant, kind of statistics and tile: means over the pictures, and the largest difference."""
    rows = []
    variants = DyNet.from_pretrained(arguments.weights).variants
    pictures = [_noisy(path, arguments.width) for path in photographs()[:: -(-31 // arguments.pictures)]]
    for variant in variants:
        for window in (None, arguments.window):
            model = DyNet.from_pretrained(arguments.weights)
            prepare_for_inference(model, torch.float32, window)
            wholes = [_restored(model, variant, noisy, WHOLE) for noisy, _ in pictures]
            for tile, overlapping in [*((tile, True) for tile in arguments.tiles), (arguments.tiles[0], False)]:
                restore.OVERLAP = 8 if overlapping else WHOLE
                found = []
                for (noisy, clean), whole in zip(pictures, wholes, strict=True):
                    tiled = _restored(model, variant, noisy, tile)
                    found.append(
                        {
                            "psnr": psnr(tiled, whole),
                            "most_levels": float(np.abs(tiled - whole).max() * 255),
                            "to_clean": psnr(tiled, clean) - psnr(whole, clean),
                            "seam": seam(tiled - whole, tile, tile // restore.OVERLAP),
                        }
                    )
                restore.OVERLAP = 8
                row: dict[str, Any] = {"variant": variant.name, "window": window, "tile": tile, "overlap": overlapping}
                row |= {name: round(float(np.mean([one[name] for one in found])), 3) for name in found[0]}
                row["most_levels"] = round(max(one["most_levels"] for one in found), 1)
                rows.append(row)
                print(_line(row), flush=True)
    return rows


def _restored(model: DyNet, variant: Variant, noisy: Float, tile: int) -> Float:
    how = RestoreOptions(model=model, variants=(variant,), device=torch.device("cpu"), tile=tile)
    return np.clip(restore_rgb(noisy, variant, how), 0, 1)


def _noisy(path: Any, width: int) -> tuple[Float, Float]:
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
    """Measures, prints and writes `benchmarks/results/seams.json`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", required=True)
    parser.add_argument("--window", type=int, required=True, help="of local statistics: 1.5 times the crop of training")
    parser.add_argument("--width", type=int, default=2048, help="of the pictures")
    parser.add_argument("--pictures", type=int, default=3, help="about how many of the 31")
    parser.add_argument("--tiles", type=int, nargs="+", default=[256, 384, 640])
    arguments = parser.parse_args()
    wait_passively()
    print("| variant | statistics | tile | PSNR to whole, dB | most, levels | to clean, dB | seam |\n|" + "---|" * 7)
    result = {"machine": describe(), "command": " ".join(["python", *sys.argv]), "rows": measure(arguments)}
    RESULT.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
