"""Compare whole images, tiles, local statistics and bfloat16: PSNR of one set of weights on noisy CBSD68.

`python benchmarks/local_statistics.py --weights runs/three --crop 128`: `--crop` is the crop size of the training;
windows and tiles are 1.5 times as large. All forms restore the same noisy images; "whole" in float32 is the reference.
"""

import argparse
import json
import sys
import time
from typing import Any

import numpy as np
import torch
from machine import ROOT, SHARED, describe
from waiting import wait_passively

from dynet import DyNet
from dynet.evaluation.benchmark import BenchmarkSet
from dynet.evaluation.metrics import psnr
from dynet.evaluation.plan import plan_tasks
from dynet.evaluation.protocol import STRICT, as_float
from dynet.inference.restore import RestoreOptions, prepare_for_inference, restore_rgb

RESULT = ROOT / "benchmarks" / "results" / "local_statistics.json"
SIGMAS = (15.0, 25.0, 50.0)
WHOLE = 2**20
"""A tile that is larger than any image."""


def forms(window: int) -> dict[str, tuple[torch.dtype, int | None, int]]:
    """Return by name: number format, window of local statistics, tile."""
    return {
        "whole": (torch.float32, None, WHOLE),
        f"tiles of {window}": (torch.float32, None, window),
        f"local statistics, {window}": (torch.float32, window, WHOLE),
        f"local statistics, {window}, tiles of {2 * window}": (torch.float32, window, 2 * window),
        "whole, bfloat16": (torch.bfloat16, None, WHOLE),
    }


def measure(weights: str, window: int, pictures: int | None) -> list[dict[str, Any]]:
    """Return a row for each variant, sigma and form: the mean PSNR in dB, and the difference to "whole"."""
    benchmark = BenchmarkSet.parse(f"CBSD68={SHARED / 'benchmarks' / 'CBSD68'}")
    images = benchmark.images[:: max(1, len(benchmark.images) // (pictures or len(benchmark.images)))]
    model, device = DyNet.from_pretrained(weights), torch.device("cpu")
    rows = []
    for task in plan_tasks([benchmark], SIGMAS):
        pairs = [tuple(as_float(part) for part in task.read(image, STRICT)) for image in images]
        for variant in model.variants:
            whole: list[Any] = []
            for name, (kind, local, tile) in forms(window).items():
                # A new network, since each form changes settings of the blocks.
                network = DyNet.from_pretrained(weights)
                prepare_for_inference(network, kind, local)
                how = RestoreOptions(model=network, variants=(variant,), device=device, tile=tile)
                start = time.perf_counter()
                restored = [STRICT.postprocess(restore_rgb(noisy, variant, how)) for noisy, _ in pairs]
                seconds = time.perf_counter() - start
                whole = whole or restored
                rows.append(
                    {"sigma": task.sigma, "variant": variant.name, "form": name, "seconds": round(seconds, 1)}
                    | compare(restored, whole, [clean for _, clean in pairs])
                )
                print(line(rows[-1]), flush=True)
    return rows


def compare(restored: list[Any], whole: list[Any], clean: list[Any]) -> dict[str, float]:
    """Return the mean PSNR, its change against `whole` on average and at worst, and the share of equal samples."""
    values = np.array([psnr(image, truth) for image, truth in zip(restored, clean, strict=True)])
    change = values - [psnr(one, truth) for one, truth in zip(whole, clean, strict=True)]
    equal = np.mean([np.mean(one == other) for one, other in zip(restored, whole, strict=True)])
    most = max(np.abs(one - other).max() for one, other in zip(restored, whole, strict=True)) * 255
    return {
        "psnr": round(float(values.mean()), 3),
        "change": round(float(change.mean()), 4),
        "lowest_change": round(float(change.min()), 4),
        "equal_samples": round(float(equal), 4),
        "most_levels": round(float(most)),
    }


def line(row: dict[str, Any]) -> str:
    """Return a line of the table."""
    cells = [f"σ{row['sigma']:g}", row["variant"], row["form"], f"{row['psnr']:.2f}", f"{row['change']:+.3f}"]
    cells += [
        f"{row['lowest_change']:+.3f}",
        f"{row['equal_samples']:.1%}",
        row["most_levels"],
        f"{row['seconds']:.0f}",
    ]
    return "| " + " | ".join(map(str, cells)) + " |"


def main() -> None:
    """Measure, print and write `benchmarks/results/local_statistics.json`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", required=True)
    parser.add_argument("--crop", type=int, required=True, help="side in pixels of the crops that they were trained on")
    parser.add_argument("--pictures", type=int, help="measure about this many of the 68 images instead of all")
    arguments = parser.parse_args()
    wait_passively()
    print("| noise | variant | form | PSNR, dB | change | lowest of a picture | equal samples | most, levels | s |")
    print("|" + "---|" * 9)
    window = arguments.crop * 3 // 2
    result = {"machine": describe(), "command": " ".join(["python", *sys.argv]), "window": window}
    result["rows"] = measure(arguments.weights, window, arguments.pictures)
    RESULT.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
