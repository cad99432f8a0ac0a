"""Compare the speed of our NIQE and BRISQUE with pyiqa's, in one run: `python benchmarks/nss.py`.

One thread, one 1536×1024 photograph, the same parameters. The result also lists the parts of our times, and a lower
bound of each: the bytes that have to be moved and the arithmetic that has to be done, at rates measured here.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable

import cv2
import numba
import numpy as np
import torch
from machine import ROOT, SHARED, describe, photographs
from nss_reference import Reference
from PIL import Image

from million_ird.measures import nss, nss_features, nss_planes
from million_ird.measures import nss_kernels as kernels
from million_ird.measures.nss_models import load_brisque, load_niqe, load_niqe_ird

WIDTH, HEIGHT = 1536, 1024
RESULT = ROOT / "benchmarks" / "results" / "nss.json"

# Floating-point operations per pixel at full size, counted in the code; half size adds a quarter of each.
BRISQUE_FILTER = 7 * 7 * 2 * 2 + 7
NIQE_FILTER = 2 * (13 + 12) + 14 + 8
SUMS = 5 * 9


def milliseconds(function: Callable[[], object], repeats: int) -> dict[str, float]:
    """Return median and minimum of `repeats` runs in milliseconds, after one warm-up run."""
    function()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append((time.perf_counter() - start) * 1e3)
    return {"median": round(statistics.median(times), 2), "least": round(min(times), 2)}


def first_call() -> float:
    """Return the seconds of the first score in this process, which compiles or loads compiled code from the cache."""
    start = time.perf_counter()
    nss.score(np.zeros((96, 96, 3), np.uint8) + np.arange(96, dtype=np.uint8)[:, None], niqe_ird=load_niqe_ird())
    return round(time.perf_counter() - start, 2)


@numba.njit(fastmath={"reassoc", "nsz", "contract"})
def _fused(values: np.ndarray, rounds: int) -> float:
    total = np.float32(0)
    for _ in range(rounds):
        for x in range(values.shape[0]):
            total += values[x] * values[x]
    return total


def lower_bounds(pixels: int) -> dict[str, float]:
    """Return the milliseconds that arithmetic and bytes take at the rates that this machine reaches."""
    values, rounds = np.ones(2048, np.float32), 20_000
    rate = 2 * len(values) * rounds / (milliseconds(lambda: _fused(values, rounds), 5)["least"] * 1e6)
    big = np.ones(32 << 20, np.uint8)
    copy = 2 * len(big) / (milliseconds(big.copy, 5)["least"] * 1e6)
    scales = 1.25 * pixels
    # Read RGB, write luma; read luma for each score at each scale, write and read both half-size planes in float32.
    moved = pixels * (3 + 1 + 2 + 2 * 2 + 2 * (4 + 4) / 4)
    return {
        "reached_gflops_float32": round(rate, 1),
        "reached_gb_per_s": round(copy, 1),
        "bytes_ms": round(moved / copy / 1e6, 2),
        # A vector register holds half as many float64.
        "brisque_filter_ms": round(scales * BRISQUE_FILTER / rate / 1e6, 2),
        "niqe_filter_ms": round(scales * NIQE_FILTER * 2 / rate / 1e6, 2),
        "sums_ms": round(2 * scales * SUMS / rate / 1e6, 2),
    }


def main() -> None:
    """Measure, print and write `benchmarks/results/nss.json`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=15)
    repeats: int = parser.parse_args().repeats
    first = first_call()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    numba.set_num_threads(1)
    own, niqe, brisque = load_niqe_ird(), load_niqe(SHARED / "params"), load_brisque(SHARED / "params")
    reference = Reference(niqe, brisque)
    rgb = np.asarray(Image.open(photographs()[0]).convert("RGB").resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS))
    luma = nss_planes.luma(rgb)
    half = nss_planes.halve(luma, 1)
    pyiqa_times = {
        "niqe": milliseconds(lambda: reference.niqe(rgb), 5),
        "brisque": milliseconds(lambda: reference.brisque(rgb), 5),
        "both": milliseconds(lambda: (reference.niqe(rgb), reference.brisque(rgb)), 5),
    }
    our_times = {
        "niqe_ird": milliseconds(lambda: nss.score(rgb, niqe_ird=own), repeats),
        "niqe": milliseconds(lambda: nss.score(rgb, niqe=niqe), repeats),
        "brisque": milliseconds(lambda: nss.score(rgb, brisque=brisque), repeats),
        "both": milliseconds(lambda: nss.score(rgb, niqe=niqe, brisque=brisque), repeats),
        "all three": milliseconds(lambda: nss.score(rgb, niqe_ird=own, niqe=niqe, brisque=brisque), repeats),
    }
    blocks = kernels.block_sums(luma, 1, 96)
    parts = {
        "luma": milliseconds(lambda: nss_planes.luma(rgb), repeats),
        "halving, twice": milliseconds(lambda: (nss_planes.halve(luma, 1), nss_planes.halve(luma, 255)), repeats),
        "BRISQUE full size": milliseconds(lambda: kernels.whole_sums(luma), repeats),
        "BRISQUE half size": milliseconds(lambda: kernels.whole_sums(half), repeats),
        "NIQE full size": milliseconds(lambda: kernels.block_sums(luma, 1, 96), repeats),
        "NIQE half size": milliseconds(lambda: kernels.block_sums(half, 1, 48), repeats),
        "NIQE features": milliseconds(lambda: nss_features.niqe_features(blocks, 96 * 96), repeats),
    }
    scores = nss.score(rgb, niqe=niqe, brisque=brisque)
    result = {
        "machine": describe(),
        "picture": f"{WIDTH}×{HEIGHT}, one thread, milliseconds",
        "pyiqa": pyiqa_times,
        "ours": our_times,
        "ratio": {kind: round(pyiqa_times["both"][kind] / our_times["both"][kind], 1) for kind in ("median", "least")},
        "parts": parts,
        "floor": lower_bounds(WIDTH * HEIGHT),
        "first_call_s": first,
        "scores": {
            "ours": [scores.niqe, scores.brisque],
            "pyiqa": [reference.niqe(rgb), reference.brisque(rgb)],
        },
    }
    text = json.dumps(result, indent=1, ensure_ascii=False)
    print(text)
    RESULT.write_text(text + "\n")


if __name__ == "__main__":
    main()
