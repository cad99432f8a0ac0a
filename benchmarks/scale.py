"""Deciding, the ledger, card and report of many synthetic candidates: processor time, memory and number of files.

Row files as a scan leaves them, made by `synthetic.py`: 2 % of the rows pass. Every step is a process of its own; its
workers are watched, too. `--passing 0.73` is the ledger of few refusals.
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
from pathlib import Path

import pyarrow.parquet as pq
from decide import high_water
from machine import describe
from synthetic import scanned_blocks

from million_ird.build_folder import INDEX, save_recipe, save_sources
from million_ird.config.loading import load
from million_ird.dataset.shards import WriteSummary
from million_ird.ledger import scanned_schema
from million_ird.ledger_stream import LedgerStream, count_verdicts
from million_ird.reporting.card import write_card
from million_ird.reporting.report import write_report
from million_ird.runtime.executor import Executor
from million_ird.runtime.storage import Folder
from million_ird.workflow import decide_stage

FILE_ROWS = 500_000
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
            started = time.process_time()
            make_scan(Folder(folder), rows, arguments.passing)
            figures: dict[str, object] = {"made_cpu_s": time.process_time() - started, "workers": arguments.workers}
            figures["files of rows"] = len(list(Path(folder, ".work", "scan").rglob("*.parquet")))
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


def make_scan(out: Folder, rows: int, passing: float) -> None:
    """Write the row files of a scan and its index; one block is in memory."""
    recipe = load("million_ird.yaml")
    schema = scanned_schema(recipe.ledger_entries)
    save_recipe(out, recipe)
    save_sources(out, [])
    names = []
    for start in range(0, rows, FILE_ROWS):
        names.append(f".work/scan/{start // FILE_ROWS % 256:02x}/{start:012d}-rows.parquet")
        with out.writing(names[-1]) as file, pq.ParquetWriter(file, schema, compression="zstd") as writer:
            for table in scanned_blocks(start, min(rows, start + FILE_ROWS), recipe, passing, schema):
                writer.write_table(table)
    out.write_json(INDEX, {"units": names, "measures": recipe.ledger_entries, "vanished": 0})


if __name__ == "__main__":
    main()
