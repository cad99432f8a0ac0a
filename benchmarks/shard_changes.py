"""Shards that change when images leave a dataset of 200,000: `python benchmarks/shard_changes.py`.

Synthetic images with log-normal sizes (median 1.2 MB), shards of 500 MB. Beside ours, shards cut in the order of the
rows, as most programs do it. Writes benchmarks/results/shard_changes.json.
"""

import itertools
import json
from pathlib import Path

import numpy as np
from machine import describe
from numpy.typing import NDArray

from million_ird.candidate import candidate_key
from million_ird.dataset.key_ranges import order_of_keys, shard_ranges

RESULTS = Path(__file__).parent / "results" / "shard_changes.json"
ROWS, MAX = 200_000, 500_000_000
Shards = dict[bytes, float]


def by_key(rows: NDArray[np.int64], weights: NDArray[np.float64]) -> Shards:
    """Return the weight of each of our shards by the bytes of its rows."""
    order, numbers = order_of_keys([candidate_key("photos", f"{row:06d}.jpg") for row in rows])
    ordered = rows[order]
    ranges = shard_ranges(numbers, float(weights[rows].sum()), MAX)
    return {ordered[a:b].tobytes(): float(weights[ordered[a:b]].sum()) for a, b in ranges}


def in_order(rows: NDArray[np.int64], weights: NDArray[np.float64]) -> Shards:
    """Return the same of shards that are full after one another."""
    which = (np.cumsum(weights[rows]) // MAX).astype(int)
    borders = [0, *np.flatnonzero(np.diff(which)) + 1, len(rows)]
    parts = [rows[a:b] for a, b in itertools.pairwise(borders)]
    return {part.tobytes(): float(weights[part].sum()) for part in parts}


def main() -> None:
    random = np.random.default_rng(0)
    weights = random.lognormal(np.log(1.2e6), 0.5, ROWS)
    results = []
    for removed in (1, ROWS // 1000):
        rows = np.sort(random.permutation(ROWS)[removed:])
        line: dict[str, object] = {"removed": removed}
        for name, cut in (("by key", by_key), ("in order", in_order)):
            before, after = cut(np.arange(ROWS), weights), cut(rows, weights)
            sizes = np.array(list(before.values())) / np.mean(list(before.values()))
            changed = len(after.keys() - before.keys())
            line[name] = {"shards": len(before), "written": changed, "least": sizes.min(), "largest": sizes.max()}
            print(f"{removed:>4} removed, {name:<8}: {changed} of {len(after)} shards are written again", flush=True)
        results.append(line)
    result = {"command": "python benchmarks/shard_changes.py", "machine": describe(), "results": results}
    RESULTS.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
