"""Builds from tables of URLs of any length: `python benchmarks/url_table.py 100000 1000000`.

A loopback server in a separate process sends small real JPEGs (cut from the photographs of ../shared/data). The table
declares sizes; images that are declared too small are never requested. Every half second, the benchmark samples the
resident memory of the driver, of each worker and of each process that decodes, and the rate. For each length it reports
the maximum of each, the rates of the first and the last fifth, and the time. Fetching, measuring, deciding and writing
are included; every protection is on except the one against private addresses.
"""

import argparse
import json
import shutil
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
from aiohttp import web
from loopback import Respond, crops, serving
from machine import ROOT, describe

from million_ird.config.recipe import Recipe
from million_ird.workflow import Options, build

HOSTS = 32
BODIES = 512
SIDE = 64
RECIPE = Recipe.model_validate(
    {
        "gates": [
            {"field": "short_side", "min": SIDE, "reason": "small"},
            {"field": "sharpest_blocks", "min": 12, "reason": "blurred"},
        ],
        "duplicates": {"radius": None},
        "patches": {"size": SIDE},
        "web": {"lanes": 16, "concurrency": 64},
    }
)


def at_once(bodies: list[bytes]) -> Respond:
    """Respond with the image."""

    async def answer(request: web.Request, number: int) -> web.Response:
        return web.Response(body=bodies[number % len(bodies)], content_type="image/jpeg")

    return answer


def write_table(path: Path, rows: int, port: int, fetched: float) -> None:
    """Write a table in row groups; a share `fetched` of the rows declares a size that the recipe accepts."""
    schema = pa.schema([("url", pa.string()), ("width", pa.int32()), ("height", pa.int32()), ("licence", pa.string())])
    with pq.ParquetWriter(path, schema) as writer:
        for start in range(0, rows, 50_000):
            numbers = np.arange(start, min(rows, start + 50_000))
            large = np.random.default_rng(start).random(len(numbers)) < fetched
            sides = np.where(large, SIDE, 32).astype(np.int32)
            urls = [f"http://127.0.0.{n % HOSTS + 1}:{port}/{n}.jpg" for n in numbers]
            columns = [pa.array(urls), pa.array(sides), pa.array(sides), pa.array(["CC0"] * len(numbers))]
            writer.write_table(pa.Table.from_arrays(columns, schema=schema))


class Watch:
    """Samples the highest resident memory by kind of process, and the progress of the build over time."""

    def __init__(self, ignore: int) -> None:
        self.peaks: dict[str, int] = {}
        self.scanning = True
        self.done: list[tuple[float, int]] = []
        self.ended = threading.Event()
        self._ignore = ignore
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._started = time.monotonic()

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        self._thread.join()

    def stage(self, name: str, total: int, unit: str) -> None:
        self.name, self._remaining = name, total

    def more(self, things: int) -> None:
        """Ignore it: the number of rows is known from the start."""

    def advance(self, done: int) -> None:
        if self.name == "scan":
            self._remaining -= done
            self.scanning = self._remaining > 0
            before = self.done[-1][1] if self.done else 0
            self.done.append((time.monotonic() - self._started, before + done))

    def _run(self) -> None:
        me = psutil.Process()
        while not self.ended.wait(0.5):
            self._see("driver, scanning" if self.scanning else "driver, later", me)
            for child in me.children(recursive=True):
                if child.pid != self._ignore:
                    try:
                        line = " ".join(child.cmdline())
                    except psutil.Error:
                        continue
                    self._see("decoder" if "fork_server" in line else "worker", child)

    def _see(self, kind: str, process: psutil.Process) -> None:
        try:
            self.peaks[kind] = max(self.peaks.get(kind, 0), process.memory_info().rss)
        except psutil.Error:
            return

    def rates(self) -> tuple[float, float]:
        """Return the candidates per second in the first and in the last fifth of the scan."""
        times, counts = np.array(self.done).T
        marks = np.interp(np.array([0, 0.2, 0.8, 1]) * counts[-1], counts, times)
        return counts[-1] * 0.2 / (marks[1] - times[0]), counts[-1] * 0.2 / (marks[3] - marks[2])


def measure(rows: int, port: int, server: int, workers: int, fetched: float) -> dict[str, object]:
    """Build from a table of this many rows."""
    folder = Path(tempfile.mkdtemp(prefix="url-table-"))
    try:
        write_table(folder / "urls.parquet", rows, port, fetched)
        started = time.perf_counter()
        with Watch(server) as watch:
            options = Options(workers=workers, allow_private_hosts=True, listener=watch)
            result = build([str(folder / "urls.parquet")], str(folder / "out"), RECIPE, options)
        seconds = time.perf_counter() - started
        first, last = watch.rates()
        return {
            "rows": rows,
            "fetched_share": fetched,
            "workers": workers,
            "seconds": round(seconds, 1),
            "seconds_before_the_first": round(watch.done[0][0], 1),
            "rows_a_second": round(rows / seconds, 1),
            "rows_a_second_first_fifth": round(first, 1),
            "rows_a_second_last_fifth": round(last, 1),
            "peak_mb": {kind: round(peak / 1e6) for kind, peak in sorted(watch.peaks.items())},
            "kept": result.funnel.kept,
            "dropped": result.funnel.dropped,
            "failures": result.funnel.failures,
        }
    finally:
        shutil.rmtree(folder)


def main() -> None:
    """Run all lengths, and print and write `benchmarks/results/url_table.json`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", type=int, nargs="*", default=[100_000, 1_000_000])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument(
        "--fetched", type=float, default=0.1, help="share of the rows whose declared size the recipe accepts"
    )
    parser.add_argument("--result", default="url_table.json")
    options = parser.parse_args()
    runs = []
    with serving(at_once, crops(BODIES, SIDE), HOSTS) as (port, server):
        for rows in options.rows:
            runs.append(measure(rows, port, server, options.workers, options.fetched))
            print(json.dumps(runs[-1], indent=1), flush=True)
    text = json.dumps({"machine": describe(), "runs": runs}, indent=1, ensure_ascii=False)
    (ROOT / "benchmarks" / "results" / options.result).write_text(text + "\n")


if __name__ == "__main__":
    main()
