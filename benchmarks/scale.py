"""Deciding, the ledger, card and report of many synthetic candidates: processor time, memory and number of files.

Rows as a scan leaves them, in units of 250 that are joined into parts of about 100 MB, made by `synthetic.py`: 2 % of
the rows pass. Every step is a process of its own; its workers are watched, too. `--passing 0.73` is the ledger of few
refusals.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from itertools import chain, repeat
from pathlib import Path

import pyarrow.parquet as pq
from decide import high_water
from machine import describe, process_pool
from synthetic import scanned_blocks

from million_ird.build_folder import INDEX, save_recipe, save_sources
from million_ird.config.loading import load
from million_ird.dataset.shards import WriteSummary
from million_ird.ledger import REPEATING, scanned_schema
from million_ird.ledger_stream import LedgerStream, count_verdicts
from million_ird.reporting.card import write_card
from million_ird.reporting.report import write_report
from million_ird.runtime.executor import Executor
from million_ird.runtime.storage import Folder
from million_ird.scan.join_units import GROUP_ROWS
from million_ird.scan.row_index import PARTS, ROWS, UNITS
from million_ird.workflow import decide_stage

PART_ROWS, UNIT_ROWS = 500_000, 250
STEPS = ("decide", "card", "report")
RESULTS = Path(__file__).parent / "results" / "scale.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", type=int, nargs="*", default=[1_000_000, 10_000_000])
    parser.add_argument("--passing", type=float, default=0.02)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.step:
        run(arguments.step, Folder(arguments.folder), arguments.workers)
        return
    for rows in arguments.rows:
        with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
            make_scan(Folder(folder), rows, arguments.passing, arguments.workers)
            figures: dict[str, object] = {"workers": arguments.workers}
            figures["files of rows"] = len(list(Path(folder, ROWS).rglob("*.parquet")))
            for step in STEPS:
                figures[step] = one = watched(step, folder, arguments.workers)
                print(f"{rows:,} rows, {arguments.passing:.0%} pass, {step}: {one}", flush=True)
            out = Folder(folder)
            funnel = count_verdicts(LedgerStream.of_build(out))
            assert funnel.candidates == rows
            figures |= {"kept": funnel.kept, "near": funnel.dropped.get("duplicate_near", 0)}
            figures["ledger_MB"] = sum(path.stat().st_size for path in Path(folder, "ledger").iterdir()) / 1e6
            figures["ledger_files"] = len(out.names("ledger"))
            figures["report_MB"] = Path(folder, "report", "index.html").stat().st_size / 1e6
        keep(f"{rows} rows, {arguments.passing:.0%} pass", figures)


def keep(name: str, figures: dict[str, object]) -> None:
    """Add figures to those of earlier runs."""
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    RESULTS.write_text(json.dumps({**results, "machine": describe(), name: figures}, indent=1))


def watched(step: str, folder: str, workers: int) -> dict[str, float]:
    """Run one step in another process; return seconds, processor seconds, and peak memory of driver and of a worker.

    `driver_MB` is what the process had for itself at most, sampled; `driver_with_files_MB` counts pages of files that
    it had mapped, too, which the system takes back when it needs them.
    """
    command = [sys.executable, __file__, "--step", step, "--folder", folder, "--workers", str(workers)]
    started = time.perf_counter()
    process = subprocess.Popen(command)
    peaks: Counter[str] = Counter()
    seconds: dict[int, float] = {}
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.05):
            for pid in (process.pid, *children(process.pid)):
                who = "driver" if pid == process.pid else "worker"
                peaks[f"{who}_MB"] = max(peaks[f"{who}_MB"], own_memory(pid))
                peaks[f"{who}_with_files_MB"] = max(peaks[f"{who}_with_files_MB"], int(high_water(pid)))
                seconds[pid] = max(seconds.get(pid, 0), processor_seconds(pid))

    watcher = threading.Thread(target=watch)
    watcher.start()
    code = process.wait()
    done.set()
    watcher.join()
    if code:
        sys.exit(f"{step}: exit code {code}")
    driver = seconds.pop(process.pid, 0.0)
    times = {"seconds": time.perf_counter() - started, "driver_cpu_s": driver, "workers_cpu_s": sum(seconds.values())}
    return {name: round(value, 1) for name, value in (times | dict(peaks)).items()}


def children(pid: int) -> list[int]:
    """Return the processes that a process has started, and those that these have."""
    found = []
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            found += [int(child) for child in Path(f"/proc/{pid}/task/{task}/children").read_text().split()]
    except OSError:
        return found
    return found + [other for child in found for other in children(child)]


def own_memory(pid: int) -> int:
    """Return the memory of a process that no file is behind, in MB."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith(("RssAnon:", "RssShmem:"))) // 1000


def processor_seconds(pid: int) -> float:
    """Return the processor time of a process so far."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def run(step: str, out: Folder, workers: int) -> None:
    """Do one step."""
    recipe = load("million_ird.yaml")
    if step == "decide":
        with Executor(workers) as executor:
            decide_stage(out, recipe, executor)
    elif step == "card":
        write_card(out, LedgerStream.of_build(out), recipe, WriteSummary())
    else:
        write_report(out, LedgerStream.of_build(out), recipe, {}, {})


def make_scan(out: Folder, rows: int, passing: float, workers: int) -> None:
    """Write the joined parts of a scan and its index; each process holds one block."""
    recipe = load("million_ird.yaml")
    save_recipe(out, recipe)
    save_sources(out, [])
    starts = range(0, rows, PART_ROWS)
    stops = [min(rows, start + PART_ROWS) for start in starts]
    with process_pool(workers) as pool:
        units = list(chain.from_iterable(pool.map(write_part, repeat(out), starts, stops, repeat(passing))))
    out.write_json(INDEX, {"units": units, "measures": recipe.ledger_entries, "vanished": 0})


def write_part(out: Folder, start: int, stop: int, passing: float) -> list[str]:
    """Write the candidates from number `start` to `stop` as a part; return the names of its units."""
    recipe = load("million_ird.yaml")
    schema = scanned_schema(recipe.ledger_entries)
    firsts = range(start, stop, UNIT_ROWS)
    units = [(f"{first % 256:02x}/{first:012d}", 0, min(UNIT_ROWS, stop - first)) for first in firsts]
    with (
        out.writing(f"{PARTS}/{start:012d}.parquet") as file,
        pq.ParquetWriter(file, schema, compression="zstd", use_dictionary=[*REPEATING]) as writer,
    ):
        for table in scanned_blocks(start, stop, recipe, passing, schema):
            writer.write_table(table, row_group_size=GROUP_ROWS)
        writer.add_key_value_metadata({UNITS: json.dumps(units).encode()})
    return [f"{ROWS}/{name}.parquet" for name, _, _ in units]


if __name__ == "__main__":
    main()
