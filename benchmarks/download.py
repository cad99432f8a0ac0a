"""Compares downloading with img2dataset: `python benchmarks/download.py --img2dataset /path/to/its/python`.

A loopback server in a separate process sends real JPEGs (crops of the photographs of ../shared/data) after a random
delay per path (log-normal, median 40 ms), on 16 addresses. Both programs get the same table, the same number of
concurrent requests and the same number of retries, and neither resizes. million-ird runs `FetchTask`: with robots.txt,
opt-outs, checked addresses (loopback allowed), limits per host, content detection, retries and its download cache.
img2dataset runs with `--resize_mode no`, `--disallowed_header_directives []` (its fastest setting) and webdataset
output. Then both run with 5 % faults: half of them are one response 503, half are connections that break in the middle
of the first try. CPU seconds and highest resident memory include all processes of a program, but not the server.

img2dataset needs its own environment: `python -m venv /tmp/i2d && /tmp/i2d/bin/pip install img2dataset`.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
from aiohttp import web
from loopback import Respond, crops, serving
from machine import ROOT, describe

HOSTS = 16
BODIES = 64
CONCURRENCY = 64
RETRIES = 2


def late(bodies: list[bytes]) -> Respond:
    """Respond with a delay; in runs that are named faulty, some first tries fail."""
    tries: Counter[str] = Counter()

    async def answer(request: web.Request, number: int) -> web.StreamResponse:
        draw = np.random.default_rng(number)
        await asyncio.sleep(min(1.0, 0.04 * float(draw.lognormal(0, 0.6))))
        tries[request.path] += 1
        body = bodies[number % len(bodies)]
        if "faulty" in request.path and tries[request.path] == 1 and number % 20 == 0:
            return web.Response(status=503) if number % 40 == 0 else await broken_off(request, body)
        return web.Response(body=body, content_type="image/jpeg")

    return answer


async def broken_off(request: web.Request, body: bytes) -> web.StreamResponse:
    """Send half of the image, then break the connection."""
    response = web.StreamResponse(headers={"Content-Length": str(len(body)), "Content-Type": "image/jpeg"})
    await response.prepare(request)
    await response.write(body[: len(body) // 2])
    assert request.transport is not None
    request.transport.abort()
    return response


def table(path: Path, count: int, port: int, run: str) -> None:
    urls = [f"http://127.0.0.{n % HOSTS + 1}:{port}/{run}/{n}.jpg" for n in range(count)]
    pq.write_table(pa.table({"url": urls}), path)


def ours(source: Path, out: Path, processes: int) -> None:
    """Stream the table's chunks as a scan does, in `processes` processes; write how many images arrived."""
    code = f"""
from million_ird.runtime.executor import Executor
from million_ird.scan.fetch import FetchTask, fetch_name
from million_ird.sources.registry import SourceContext, open_sources
from million_ird.config.recipe import Recipe
from million_ird.scan.disk_queue import DiskQueue
from million_ird.config.source_spec import SourceSpec
from million_ird.runtime.storage import Folder

web = {{"lanes": 4, "concurrency": {CONCURRENCY}, "per_host": {CONCURRENCY}, "retries": {RETRIES}}}
recipe = Recipe.model_validate({{"web": web}})
out = Folder({str(out)!r})
context = SourceContext(recipe=recipe, out=out, allow_private_hosts=True)
sources = open_sources([SourceSpec(uri={str(source)!r})], context)

class Work:
    def __init__(self):
        self.queue, self.busy, self.came = DiskQueue(None), set(), 0
        for source in sources.values():
            for chunk in source.chunks():
                task = FetchTask(out=out, source=source, chunk=chunk, recipe=recipe, name=fetch_name(chunk, recipe),
                                 concurrency={CONCURRENCY // processes})
                self.queue.add(task, chunk.host_group)
    def next(self):
        for group in self.queue.lanes():
            if group not in self.busy and len(self.busy) < {processes}:
                self.busy.add(group)
                return self.queue.take(group)
    def complete(self, task, note):
        self.busy.discard(task.chunk.host_group)
        self.came += note.rows - sum(note.failures.values())
    def __len__(self):
        return len(self.queue)

if __name__ == "__main__":
    work = Work()
    with Executor({0 if processes == 1 else processes}) as executor:
        for _ in executor.work(work):
            pass
    print(work.came)
"""
    script = out.parent / "ours.py"
    script.write_text(code)
    done = subprocess.run([sys.executable, str(script)], check=True, capture_output=True, text=True)
    (out / "came").write_text(done.stdout.split()[-1])


def theirs(python: str, source: Path, out: Path, processes: int) -> None:
    """Run img2dataset by its command line; write how many images arrived."""
    arguments = ["--url_list", source, "--input_format", "parquet", "--url_col", "url", "--output_folder", out]
    arguments += ["--output_format", "webdataset", "--resize_mode", "no", "--processes_count", processes]
    arguments += ["--thread_count", CONCURRENCY // processes, "--retries", RETRIES, "--timeout", 20]
    arguments += ["--number_sample_per_shard", 500, "--disallowed_header_directives", "[]"]
    program = Path(python).parent / "img2dataset"
    environment = os.environ | {"NO_ALBUMENTATIONS_UPDATE": "1", "WANDB_MODE": "disabled"}
    subprocess.run([program, *map(str, arguments)], check=True, capture_output=True, env=environment)
    stats = [json.loads(path.read_text()) for path in out.glob("*_stats.json")]
    (out / "came").write_text(str(sum(shard["successes"] for shard in stats)))


class Cost:
    """CPU seconds and highest resident memory of all child processes except the server."""

    def __init__(self, server: int) -> None:
        self._server = server
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.peak = 0

    def __enter__(self) -> "Cost":
        self._before = os.times()
        self._started = time.perf_counter()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = time.perf_counter() - self._started
        self._ended.set()
        self._thread.join()
        after = os.times()
        self.cpu = sum(after[2:4]) - sum(self._before[2:4])

    def _run(self) -> None:
        me = psutil.Process()
        while not self._ended.wait(0.2):
            total = 0
            for child in me.children(recursive=True):
                if child.pid != self._server:
                    try:
                        total += child.memory_info().rss
                    except psutil.Error:
                        continue
            self.peak = max(self.peak, total)


def measure(kind: str, side: str, name: str, port: int, server: int, options: argparse.Namespace) -> dict[str, object]:
    """Run one program once."""
    with tempfile.TemporaryDirectory(prefix="download-") as temporary:
        folder = Path(temporary)
        table(folder / "urls.parquet", options.count, port, name)
        (folder / "out").mkdir()
        with Cost(server) as cost:
            if side == "ours":
                ours(folder / "urls.parquet", folder / "out", options.processes)
            else:
                theirs(options.img2dataset, folder / "urls.parquet", folder / "out", options.processes)
        came = int((folder / "out" / "came").read_text())
    return {
        "kind": kind,
        "side": side,
        "images_a_second": round(came / cost.seconds, 1),
        "cpu_seconds_per_1000": round(cost.cpu / came * 1000, 2),
        "peak_mb": round(cost.peak / 1e6),
        "success": round(came / options.count, 4),
        "seconds": round(cost.seconds, 1),
    }


def main() -> None:
    """Run both programs, and print and write `benchmarks/results/download.json`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--img2dataset", default="/tmp/i2d/bin/python", help="python of its environment")
    parser.add_argument("--count", type=int, default=4000)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=2)
    options = parser.parse_args()
    rows: list[dict[str, object]] = []
    with serving(late, crops(BODIES, 512), HOSTS) as (port, server):
        for kind in ("clean", "faulty"):
            for side in ("ours", "img2dataset") * options.repeat:
                rows.append(measure(kind, side, f"{kind}-{side}-{len(rows)}", port, server, options))
                print(rows[-1], flush=True)
    best = {
        (kind, side): max(float(str(r["images_a_second"])) for r in rows if (r["kind"], r["side"]) == (kind, side))
        for kind in ("clean", "faulty")
        for side in ("ours", "img2dataset")
    }
    ratios = {kind: round(best[kind, "ours"] / best[kind, "img2dataset"], 2) for kind in ("clean", "faulty")}
    print(ratios)
    settings = {"count": options.count, "concurrency": CONCURRENCY, "processes": options.processes, "hosts": HOSTS}
    result = {"machine": describe(), "settings": settings, "ratio": ratios, "runs": rows}
    text = json.dumps(result, indent=1, ensure_ascii=False)
    (ROOT / "benchmarks" / "results" / "download.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
