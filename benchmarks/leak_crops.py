"""Recall of leaks: crops of test images as candidates, and candidates that contain test images as crops.

CBSD68's images are cropped at random positions to a share of each side and saved as JPEG 85. They are compared with all
68 at once, so a match with the wrong image counts as missed. Reads ../shared/data, writes
benchmarks/results/leak_crops.json.
"""

import json
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
from alterations import cropped
from leaks import TESTS, sign
from machine import describe, process_pool
from PIL import Image

from million_ird.decide.leaks import find_leaks
from million_ird.fingerprints import get_fingerprints
from million_ird.reference_sets import ReferenceSet
from million_ird.runtime.executor import Executor

RESULTS = Path(__file__).parent / "results" / "leak_crops.json"
KEPT = (0.9, 0.7, 0.5, 0.4, 0.3)


def crops_of(folder: Path, kept: float, into: Path) -> None:
    for number, path in enumerate(sorted(folder.glob("*.jpg"))):
        crop = cropped(1 - kept)(Image.open(path).convert("RGB"), np.random.default_rng(number))
        crop.save(into / path.name, "JPEG", quality=85)


def count_leaks(files: list[Path], benchmark: pa.Table, pool: ProcessPoolExecutor) -> tuple[int, int]:
    """Return how many are matched with the right image, and how many with a wrong one."""
    table = pa.Table.from_pylist(list(pool.map(sign, files, chunksize=4)))
    leaks = find_leaks(lambda names: iter([table.select(list(names))]), np.ones(len(files), bool), {"": benchmark})
    right = sum(leak.name == f"/{files[leak.row].name}" for leak in leaks)
    return right, len(leaks) - right


def main() -> None:
    folder = TESTS["CBSD68"]
    originals = sorted(folder.glob("*.jpg"))
    results = {}
    with process_pool(2) as pool, Executor(0) as executor:
        whole = get_fingerprints(ReferenceSet("CBSD68", str(folder)), executor)
        for kept in KEPT:
            with tempfile.TemporaryDirectory() as scratch:
                crops_of(folder, kept, Path(scratch))
                crops = count_leaks(sorted(Path(scratch).glob("*.jpg")), whole, pool)
                holders = count_leaks(originals, get_fingerprints(ReferenceSet("crops", scratch), executor), pool)
            results[f"{kept:.0%}"] = {"crop": crops[0], "holds": holders[0], "wrong": crops[1] + holders[1]}
            print(f"| {kept:.0%} | {crops[0]} of 68 | {holders[0]} of 68 | wrong {crops[1] + holders[1]}", flush=True)
    result = {"command": "python benchmarks/leak_crops.py", "machine": describe(), "pictures": 68, "kept": results}
    RESULTS.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
