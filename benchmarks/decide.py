"""Time and peak memory of `million-ird decide` for a synthetic ledger of a million rows.

Measured twice: gates only, and with the complete search for duplicates, where one row in ten is a copy.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from machine import describe

from million_ird import ledger
from million_ird.config.loading import load
from million_ird.config.recipe import Recipe
from million_ird.measures.signature import FRAME, KEYPOINT
from million_ird.runtime.storage import Folder

BATCH = 50_000
TEXTS = {"source": "photos", "format": "JPEG", "mode": "RGB", "icc": "none", "verdict": "kept"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    rows = parser.parse_args().rows
    recipe = load("million_ird.yaml")
    gates_only = recipe.model_copy(
        update={"duplicates": recipe.duplicates.model_copy(update={"exact": False, "radius": None})}
    )
    result: dict[str, object] = {"machine": describe(), "rows": rows}
    with tempfile.TemporaryDirectory() as temporary:
        out = Folder(temporary)
        schema = ledger.ledger_schema(recipe.ledger_entries)
        ledger.save(out, synthetic_rows(schema, rows, recipe), rows, schema)
        for name, chosen in (("gates only", gates_only), ("with duplicates", recipe)):
            out.write("recipe.yaml", chosen.dump().encode())
            seconds, peak, counted = timed(temporary)
            assert counted["candidates"] == rows
            assert 0 < counted["kept"] < rows
            copies = {reason: n for reason, n in counted["dropped"].items() if reason.startswith("duplicate")}
            result_line = f"{seconds:.1f} s from command to prompt, peak {peak:,.0f} MB, {counted['kept']:,} kept"
            print(f"{rows:,} rows, {name}: {result_line}, {copies}", flush=True)
            result[name] = {"seconds": seconds, "peak_MB": peak, "kept": counted["kept"], **copies}
    Path(__file__).parent.joinpath("results", "decide.json").write_text(json.dumps(result, indent=1))


def timed(folder: str) -> tuple[float, float, dict[str, Any]]:
    """Return seconds, peak MB and JSON result of deciding."""
    start = time.perf_counter()
    command = [str(Path(sys.executable).parent / "million-ird"), "decide", folder, "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    peak = 0.0
    while process.poll() is None:
        peak = max(peak, high_water(process.pid))
        time.sleep(0.02)
    seconds = time.perf_counter() - start
    assert process.stdout is not None
    return seconds, peak, json.loads(process.stdout.read().splitlines()[-1])


def synthetic_rows(schema: pa.Schema, rows: int, recipe: Recipe) -> Iterator[pa.Table]:
    """Yield rows whose numbers are around the recipe's limits, so that every gate drops some."""
    random = np.random.default_rng(0)
    limits = {gate.field: gate.min if gate.min is not None else gate.max for gate in recipe.gates}
    for start in range(0, rows, BATCH):
        count = min(BATCH, rows - start)
        columns = []
        # One row in ten has the signature of the row before it.
        signature_of = np.arange(count)
        signature_of[9::10] -= 1
        for field in schema:
            if field.name in {"key", "id"}:
                width = 32 if field.name == "key" else 64
                values: object = [f"{i:0{width}x}" for i in range(start, start + count)]
            elif field.name == "uri":
                values = [f"folder_{i % 1000}/IMG_{i:09d}.jpg" for i in range(start, start + count)]
            elif field.name == "phash":
                values = [f"{number:016x}" for number in random.integers(0, 2**63, count)[signature_of]]
            elif pa.types.is_binary(field.type):
                size = FRAME.itemsize if field.name == "frame" else 192 * KEYPOINT.itemsize
                values = [row.tobytes() for row in random.integers(0, 256, (count, size), np.uint8)[signature_of]]
            elif field.name in TEXTS:
                values = [TEXTS[field.name]] * count
            elif pa.types.is_string(field.type):
                values = [None] * count
            elif pa.types.is_boolean(field.type):
                values = [False] * count
            elif field.name in limits:
                side = 1 if any(g.min is not None for g in recipe.gates if g.field == field.name) else -1
                values = (limits[field.name] or 1.0) * (1 + side * random.normal(0.4, 0.2, count))
            elif pa.types.is_floating(field.type):
                values = random.random(count)
            else:
                values = random.integers(1, 100, count)
            columns.append(pa.array(values, field.type))
        yield pa.Table.from_arrays(columns, schema=schema)


def high_water(pid: int) -> float:
    """Return the peak resident memory of a process so far, in MB."""
    try:
        match = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    except OSError:
        return 0.0
    return int(match.group(1)) / 1e3 if match else 0.0


if __name__ == "__main__":
    main()
