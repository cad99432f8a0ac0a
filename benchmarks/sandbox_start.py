"""How soon a process that measures images answers, forked by the sandbox's server, and started by `multiprocessing`.

    python benchmarks/sandbox_start.py

A process is replaced whenever an image crashes it, hangs it or fills its memory. Wall time from the wish for a process
to its first answer, with all compiled measures loaded, by turns; the first has to start the server, too. Writes
benchmarks/results/sandbox_start.json.
"""

import json
import multiprocessing
import os
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from statistics import median

from machine import ROOT, describe

from million_ird.config.loading import load
from million_ird.measures.identity import MeasuringIdentity
from million_ird.runtime.sandbox import WorkerProcess
from million_ird.scan.isolated_measuring import MeasureWorker, prepare_before_fork

RUNS = 7
RECIPE = load("million_ird")
ARGUMENTS = (RECIPE, None, MeasuringIdentity.expected(RECIPE.measures))
RESULT = ROOT / "benchmarks" / "results" / "sandbox_start.json"


def forked() -> None:
    """Wait for the first answer of a process of the sandbox."""
    process = WorkerProcess("million_ird.scan.isolated_measuring:MeasureWorker", ARGUMENTS)
    process.call("seconds")
    process.kill()


def _answer(pipe: Connection) -> None:
    prepare_before_fork()
    pipe.send(MeasureWorker(*ARGUMENTS).seconds())


def spawned() -> None:
    """Wait for the first answer of a process that `multiprocessing` starts afresh."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_answer, args=(theirs,))
    process.start()
    ours.recv()
    process.kill()
    process.join()


def seconds(start: Callable[[], None]) -> float:
    """Return the wall time of a call."""
    begun = time.perf_counter()
    start()
    return time.perf_counter() - begun


def main() -> None:
    """Measure, print and write."""
    first = seconds(forked)
    pairs = [(seconds(forked), seconds(spawned)) for _ in range(RUNS)]
    ours, theirs = (median(column) for column in zip(*pairs, strict=True))
    print(f"first, with the server: {first:.2f} s")
    print(f"forked by the server:   {ours * 1000:.0f} ms")
    print(f"multiprocessing, spawn: {theirs:.2f} s, {theirs / ours:.0f} times as long")
    content = {"command": "python benchmarks/sandbox_start.py", "machine": describe(), "load": os.getloadavg()[0]}
    content |= {"first_seconds": round(first, 3), "forked_seconds": round(ours, 4), "spawned_seconds": round(theirs, 3)}
    RESULT.write_text(json.dumps(content | {"runs": RUNS}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
