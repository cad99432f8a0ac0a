"""Processor time, peak memory and size of card and report, and of `explain`, by the number of candidates.

Synthetic ledgers: every column that a build has but the signatures; 2 % of the rows are kept, one of these in ten has a
copy, each gate drops some. Every step runs in a process of its own.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
from machine import describe

from million_ird import ledger
from million_ird.config.loading import load
from million_ird.config.recipe import Recipe
from million_ird.dataset.shards import WriteSummary
from million_ird.ledger_stream import LedgerStream
from million_ird.maintenance.explain import explain
from million_ird.reporting.card import write_card
from million_ird.reporting.report import write_report
from million_ird.runtime.storage import Folder
from million_ird.schema import DROPPED, FAILED, KEPT, NEAR

BATCH = 20_000
KEPT_SHARE, COPY_SHARE = 0.02, 0.002
STEPS = ("nothing", "card", "report", "explain")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", type=int, nargs="*", default=[100_000, 1_000_000])
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.step:
        print(json.dumps(run(arguments.step, arguments.folder)))
        return
    results: dict[str, object] = {"machine": describe()}
    for rows in arguments.rows:
        with tempfile.TemporaryDirectory() as folder:
            make_build(Folder(folder), rows)
            results[str(rows)] = measured = {step: in_child(step, folder) for step in STEPS}
            measured["report"]["report_MB"] = (Path(folder) / "report/index.html").stat().st_size / 1e6
        line = ", ".join(f"{step} {one['cpu_s']:.1f} s, {one['peak_MB']:.0f} MB" for step, one in measured.items())
        print(f"{rows:,} rows: {line}; the report has {measured['report']['report_MB']:.2f} MB", flush=True)
    Path(__file__).parent.joinpath("results", "report_scale.json").write_text(json.dumps(results, indent=1))


def in_child(step: str, folder: str) -> dict[str, float]:
    """Return the figures of one step, run in another process."""
    command = [sys.executable, __file__, "--step", step, "--folder", folder]
    figures: dict[str, float] = json.loads(subprocess.check_output(command, text=True))
    return figures


def run(step: str, folder: str) -> dict[str, float]:
    """Do one step and return seconds of processor time and the peak memory of this process."""
    recipe, out, started = load("million_ird.yaml"), Folder(folder), time.process_time()
    if step == "card":
        write_card(out, LedgerStream.of_build(out), recipe, WriteSummary())
    elif step == "report":
        write_report(out, LedgerStream.of_build(out), recipe, {}, {})
    elif step == "explain":
        explain(folder, key_of(12_345))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    return {"cpu_s": time.process_time() - started, "peak_MB": peak}


def make_build(out: Folder, rows: int) -> None:
    """Write recipe and ledger of a build of so many candidates."""
    recipe = load("million_ird.yaml")
    schema = ledger.ledger_schema(recipe.ledger_entries)
    out.write("recipe.yaml", recipe.dump().encode())
    ledger.save(out, synthetic_rows(schema, rows, recipe), rows, schema)


def key_of(number: int) -> str:
    """Return a key that looks like a hash; different numbers have different keys."""
    return f"{number * 0x9E3779B97F4A7C15 % 2**64:016x}{number:016x}"


def synthetic_rows(schema: pa.Schema, rows: int, recipe: Recipe) -> Iterator[pa.Table]:
    """Yield rows of a decided ledger."""
    for start in range(0, rows, BATCH):
        numbers = np.arange(start, min(rows, start + BATCH))
        columns = _columns(numbers, recipe, np.random.default_rng(start))
        arrays = [
            pa.array(columns[field.name], field.type, from_pandas=True)
            if field.name in columns
            else pa.nulls(len(numbers), field.type)
            for field in schema
        ]
        yield pa.Table.from_arrays(arrays, schema=schema)


def _columns(numbers: np.ndarray, recipe: Recipe, random: np.random.Generator) -> dict[str, object]:
    count = len(numbers)
    fate = random.random(count)
    kept, copy = fate < KEPT_SHARE, (fate >= KEPT_SHARE) & (fate < KEPT_SHARE + COPY_SHARE)
    copy &= np.arange(count) > np.flatnonzero(kept).min(initial=count)
    failed = fate > 0.95
    original = np.maximum.accumulate(np.where(kept, np.arange(count), 0))
    gate = random.integers(0, len(recipe.gates), count)
    reasons = np.array([one.drop_reason for one in recipe.gates], object)[gate]
    reasons = np.where(copy, NEAR, np.where(kept | failed, None, reasons))
    keys = np.array([key_of(int(number)) for number in numbers], object)
    clustered = copy | np.isin(np.arange(count), original[copy])
    columns: dict[str, object] = {
        "key": keys,
        "source": np.array(["a table", "b table"], object)[numbers % 2],
        "uri": [f"https://host-{i % 997}.example/albums/{i // 100}/IMG_{i}.jpg" for i in numbers.tolist()],
        "licence": np.array(["CC0-1.0", "CC BY 4.0", None], object)[numbers % 3],
        "id": [None if bad else f"{i:064x}" for i, bad in zip(numbers.tolist(), failed.tolist(), strict=True)],
        "bytes": random.integers(50_000, 900_000, count),
        "width": random.integers(500, 4000, count),
        "height": random.integers(500, 4000, count),
        "phash": np.where(kept | copy, [key[:16] for key in keys], None),
        "tier": np.where(kept | copy, 4, 1),
        "failure_class": np.where(failed, "not_found", None),
        "failure_detail": np.where(failed, "404", None),
        "verdict": np.where(kept, KEPT, np.where(failed, FAILED, DROPPED)),
        "reason": reasons,
        "cluster": np.where(clustered, keys[original], None),
        "duplicate_of": np.where(copy, keys[original], None),
        "split": np.where(kept, "train", None),
        "vanished": np.zeros(count, bool),
    }
    for field in sorted({*recipe.tiers} - {*columns}):
        limits = [one.min if one.min is not None else one.max for one in recipe.gates if one.field == field]
        values = (limits[0] or 1.0) * random.normal(1.2, 0.4, count) if limits else random.lognormal(1, 1, count)
        columns[field] = np.where((random.random(count) < 0.3) | kept | copy, values, np.nan)
    return columns


if __name__ == "__main__":
    main()
