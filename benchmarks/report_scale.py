"""Processor time, peak memory and size of card and report, and of `explain`, by the number of candidates.

Ledgers made by `synthetic.py`: 2 % of the rows pass, one in ten of these is a near copy. Every step runs in a process
of its own.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from machine import describe
from synthetic import keys_of, ledger_blocks

from million_ird import ledger
from million_ird.config.loading import load
from million_ird.dataset.shards import WriteSummary
from million_ird.ledger_stream import LedgerStream
from million_ird.maintenance.explain import explain
from million_ird.reporting.card import write_card
from million_ird.reporting.report import write_report
from million_ird.runtime.storage import Folder

PASSING = 0.02
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
        explain(folder, keys_of(np.array([12_345]))[0].as_py())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    return {"cpu_s": time.process_time() - started, "peak_MB": peak}


def make_build(out: Folder, rows: int) -> None:
    """Write recipe and ledger of a build of so many candidates."""
    recipe = load("million_ird.yaml")
    schema = ledger.ledger_schema(recipe.ledger_entries)
    out.write("recipe.yaml", recipe.dump().encode())
    ledger.save(out, ledger_blocks(0, rows, recipe, PASSING, schema), rows, schema)


if __name__ == "__main__":
    main()
