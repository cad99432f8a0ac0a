"""How a scan gains by a second worker: `python benchmarks/workers.py`.

Pictures of BSDS500 (../shared/data/train), everything measured (`measure_all`), 1 worker and 2, by turns; the time is
that of the scan without the start of the workers. Run it with nothing else on the machine.
"""

import json
import shutil
import tempfile
import time
from pathlib import Path

from machine import ROOT, SHARED, describe

from million_ird.config.recipe import load
from million_ird.workflow import Options, build

PICTURES = 400


class Clock:
    """Times from the first finished unit to the last."""

    def __init__(self) -> None:
        self.times: list[tuple[float, int]] = []

    def stage(self, name: str, total: int, unit: str) -> None:
        self.name = name

    def more(self, things: int) -> None:
        """Nothing here is found out late."""

    def advance(self, done: int) -> None:
        if self.name == "scan":
            self.times.append((time.perf_counter(), done))

    def rate(self) -> float:
        """Pictures a second after the first unit was done."""
        return sum(done for _, done in self.times[1:]) / (self.times[-1][0] - self.times[0][0])


def one(workers: int) -> float:
    folder = Path(tempfile.mkdtemp(prefix="workers-"))
    recipe = load("million_ird.yaml").model_copy(update={"measure_all": True})
    clock = Clock()
    try:
        how = Options(workers=workers, limit=PICTURES, listener=clock)
        build([str(SHARED / "train" / "BSDS500")], str(folder / "out"), recipe, how)
        return clock.rate()
    finally:
        shutil.rmtree(folder)


def main() -> None:
    """Runs, prints and writes `benchmarks/results/workers.json`."""
    rates = {workers: [] for workers in (1, 2)}
    for _ in range(2):
        for workers in rates:
            rates[workers].append(one(workers))
            print(workers, f"{rates[workers][-1]:.1f} images/s", flush=True)
    best = {workers: max(found) for workers, found in rates.items()}
    result = {"machine": describe(), "images_a_second": rates, "gain": round(best[2] / best[1], 2)}
    print(json.dumps(result, indent=1))
    (ROOT / "benchmarks" / "results" / "workers.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
