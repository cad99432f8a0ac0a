"""Crops of test pictures as candidates, and candidates that hold test pictures as crops: how many are found.

CBSD68's pictures, cropped at random places to a share of each side, saved as JPEG 85; against all 68 at once, so that a
wrong name counts as missed. Reads ../shared/data, writes benchmarks/results/leak_crops.json.
"""

import json
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
from alterations import cropped
from leaks import TESTS, sign
from machine import describe
from PIL import Image

from million_ird.decide.leaks import find_leaks
from million_ird.fingerprints import Benchmark, fingerprints
from million_ird.runtime.executor import Engine

RESULTS = Path(__file__).parent / "results" / "leak_crops.json"
KEPT = (0.9, 0.7, 0.5, 0.4, 0.3)


def crops_of(folder: Path, kept: float, into: Path) -> None:
    for number, path in enumerate(sorted(folder.glob("*.jpg"))):
        crop = cropped(1 - kept)(Image.open(path).convert("RGB"), np.random.default_rng(number))
        crop.save(into / path.name, "JPEG", quality=85)


def found(files: list[Path], benchmark: pa.Table, pool: ProcessPoolExecutor) -> tuple[int, int]:
    """How many are found as what they are, and as something else."""
    table = pa.Table.from_pylist(list(pool.map(sign, files, chunksize=4)))
    leaks = find_leaks(lambda names: iter([table.select(list(names))]), np.ones(len(files), bool), {"": benchmark})
    right = sum(leak.name == f"/{files[leak.row].name}" for leak in leaks)
    return right, len(leaks) - right


def main() -> None:
    folder = TESTS["CBSD68"]
    originals = sorted(folder.glob("*.jpg"))
    results = {}
    with ProcessPoolExecutor(2) as pool, Engine(0) as engine:
        whole = fingerprints(Benchmark("CBSD68", str(folder)), engine)
        for kept in KEPT:
            with tempfile.TemporaryDirectory() as scratch:
                crops_of(folder, kept, Path(scratch))
                crop_is = found(sorted(Path(scratch).glob("*.jpg")), whole, pool)
                holds = found(originals, fingerprints(Benchmark("crops", scratch), engine), pool)
            results[f"{kept:.0%}"] = {"crop": crop_is[0], "holds": holds[0], "wrong": crop_is[1] + holds[1]}
            print(f"| {kept:.0%} | {crop_is[0]} of 68 | {holds[0]} of 68 | wrong {crop_is[1] + holds[1]}", flush=True)
    told = {"command": "python benchmarks/leak_crops.py", "machine": describe(), "pictures": 68, "kept": results}
    RESULTS.write_text(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    main()
