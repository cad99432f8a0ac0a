"""Images that two test sets have in common: `python benchmarks/benchmark_overlaps.py`.

Compares the fingerprints of a folder (../shared/data/fingerprints) with each other, as candidates are compared in a
build. Writes benchmarks/results/benchmark_overlaps.json.
"""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from machine import SHARED, describe

from million_ird.decide.leaks import find_leaks
from million_ird.known_benchmarks import KNOWN

RESULTS = Path(__file__).parent / "results" / "benchmark_overlaps.json"


def main() -> None:
    folder = SHARED / "fingerprints"
    tables = {known.name: pq.read_table(folder / f"{known.name}.parquet") for known in KNOWN}
    pairs = []
    for name, table in tables.items():
        for other, theirs in tables.items():
            if other == name:
                continue
            everything = np.ones(table.num_rows, bool)
            files = table["file"].to_pylist()

            def read(columns, table=table):
                return iter([table.select(list(columns))])

            leaks = find_leaks(read, everything, {other: theirs})
            pairs += [
                [name, files[leak.row], *leak.name.split("/", 1), leak.match.relation.name.lower()] for leak in leaks
            ]
            if leaks:
                print(f"{name:<9} {len(leaks):>3} of {table.num_rows} are in {other}", flush=True)
    result = {"command": "python benchmarks/benchmark_overlaps.py", "machine": describe(), "pairs": pairs}
    RESULTS.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
