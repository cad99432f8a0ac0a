"""Measure what a scan gains from a second worker: `python benchmarks/workers.py`.

Images of BSDS500 (../shared/data/train), all measures (`measure_all`), 1 worker and 2 workers alternately. The time is
that of the scan, without the start of the workers. Run it without other load on the machine.
"""

import json
import shutil
import tempfile
import time
from pathlib import Path

from machine import ROOT, SHARED, describe

from million_ird.config.loading import load
from million_ird.workflow import Options, build

IMAGES = 400


class Clock:
    """A listener that records when units of the scan are finished."""

    def __init__(self) -> None:
        self.times: list[tuple[float, int]] = []

    def stage(self, name: str, total: int, unit: str) -> None:
        self.name = name

    def more(self, units: int) -> None:
        """Do nothing: all units of a folder are known at the start."""

    def advance(self, done: int) -> None:
        if self.name == "scan":
            self.times.append((time.perf_counter(), done))

    def rate(self) -> float:
        """Return images per second, after the first unit was finished."""
        return sum(done for _, done in self.times[1:]) / (self.times[-1][0] - self.times[0][0])


def scan_rate(workers: int) -> float:
    """Return the images per second of one build."""
    folder = Path(tempfile.mkdtemp(prefix="workers-"))
    recipe = load("million_ird.yaml").model_copy(update={"measure_all": True})
    clock = Clock()
    try:
        options = Options(workers=workers, limit=IMAGES, listener=clock)
        build([str(SHARED / "train" / "BSDS500")], str(folder / "out"), recipe, options)
        return clock.rate()
    finally:
        shutil.rmtree(folder)


def main() -> None:
    """Run, print and write `benchmarks/results/workers.json`."""
    rates = {workers: [] for workers in (1, 2)}
    for _ in range(2):
        for workers in rates:
            rates[workers].append(scan_rate(workers))
            print(workers, f"{rates[workers][-1]:.1f} images/s", flush=True)
    best = {workers: max(measured) for workers, measured in rates.items()}
    result = {"machine": describe(), "images_a_second": rates, "gain": round(best[2] / best[1], 2)}
    print(json.dumps(result, indent=1))
    (ROOT / "benchmarks" / "results" / "workers.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
