"""The plan of a table: `python benchmarks/table_plan.py 1000000`.

A table of web addresses on 1,000 hosts is read and dealt into chunks with their names: row by row in one process, as it
was before; by pieces, in this process and by worker processes; and once more, when nothing has changed. Nothing is
fetched. For each way, a process of its own reports the time, the processor time of it and of its workers, and the
highest resident memory of the driver and of a worker. All ways must give the same chunks.
"""

import argparse
import hashlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
from machine import ROOT, describe

from million_ird.config.recipe import Recipe
from million_ird.runtime.executor import Executor
from million_ird.runtime.storage import Folder
from million_ird.scan.deal.deal import TableDeal
from million_ird.scan.planned_chunk import chunk_name
from million_ird.sources.tables import TableSource
from million_ird.sources.web.links import LinkFetcher

HOSTS = 1000
GROUP_ROWS = 100_000
RECIPE = Recipe.model_validate({"columns": ["score"]})


def write_table(path: Path, rows: int) -> None:
    """Write a parquet table, or a csv of the same rows; one row of a hundred repeats an earlier one."""
    writer: pq.ParquetWriter | None = None
    with path.open("w") if path.suffix == ".csv" else tempfile.TemporaryFile("w") as text:
        text.write("url,width,height,licence,score\n")
        for start in range(0, rows, GROUP_ROWS):
            draw = np.random.default_rng(start)
            numbers = np.arange(start, min(rows, start + GROUP_ROWS))
            numbers = np.where(draw.random(len(numbers)) < 0.01, numbers // 2, numbers)
            urls = [f"https://images{n % HOSTS}.example.org/photos/{n:09d}/original.jpg?w=2048" for n in numbers]
            sides = draw.integers(200, 4000, (2, len(numbers)))
            scores = draw.random(len(numbers))
            if path.suffix == ".csv":
                lines = zip(urls, *sides.tolist(), scores.tolist(), strict=True)
                text.writelines(f"{url},{width},{height},CC-BY,{score}\n" for url, width, height, score in lines)
                continue
            columns = {"url": urls, "width": sides[0], "height": sides[1], "licence": ["CC-BY"] * len(urls)}
            table = pa.table({**columns, "score": scores})
            writer = writer or pq.ParquetWriter(path, table.schema)
            writer.write_table(table)
    if writer:
        writer.close()


def run(table: str, out: str, workers: int, *, row_by_row: bool) -> dict[str, object]:
    """Plan once, in this process."""
    source = TableSource("urls", table, LinkFetcher(web=RECIPE.web, max_bytes=RECIPE.limits.max_bytes), ("score",))
    digest, chunks, rows = hashlib.blake2b(digest_size=8), 0, 0
    started, worker_peak = time.perf_counter(), 0
    with Executor(workers) as executor:
        if row_by_row:
            planned = ((chunk.slot, chunk_name(chunk, RECIPE), len(chunk.entries)) for chunk in source.chunks())
        else:
            deal = TableDeal(Folder(out), source, RECIPE)
            planned = ((one.chunk.slot, one.name, one.size) for one in deal.chunks(executor))
        for slot, name, size in planned:
            digest.update(f"{slot} {name} {size}\n".encode())
            chunks, rows = chunks + 1, rows + size
        seconds = time.perf_counter() - started
        children = psutil.Process().children(recursive=True)
        worker_peak = max((_peak(child.pid) for child in children), default=0)
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    processor = [one.ru_utime + one.ru_stime for one in used]
    return {
        "rows": rows,
        "chunks": chunks,
        "seconds": round(seconds, 2),
        "processor_seconds_driver": round(processor[0], 2),
        "processor_seconds_workers": round(processor[1], 2),
        "peak_mb_driver": round(_peak(os.getpid()) / 1e6),
        "peak_mb_worker": round(worker_peak / 1e6),
        "digest": digest.hexdigest(),
    }


def _peak(pid: int) -> int:
    """Return the highest resident memory that a process has had, in bytes."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM")), 0)


def in_process(table: Path, out: Path, workers: int, *, row_by_row: bool = False) -> dict[str, object]:
    """Plan once, in a process of its own."""
    options = ["--only", str(table), str(out), str(workers), "rows" if row_by_row else "pieces"]
    done = subprocess.run([sys.executable, __file__, *options], capture_output=True, text=True, check=True)
    result: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return result


def main() -> None:
    """Run all ways, and print and write `benchmarks/results/table_plan.json`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", type=int, nargs="*", default=[1_000_000])
    parser.add_argument("--kind", choices=["parquet", "csv"], default="parquet")
    parser.add_argument("--result", default="table_plan.json")
    parser.add_argument("--only", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only:
        table, out, workers, way = options.only
        print(json.dumps(run(table, out, int(workers), row_by_row=way == "rows")))
        return
    runs = []
    for rows in options.rows:
        with tempfile.TemporaryDirectory(prefix="table-plan-") as name:
            table = Path(name) / f"urls.{options.kind}"
            write_table(table, rows)
            time.sleep(2.1)  # a table that was just written is not recognised
            ways = {
                "row by row, in the driver": in_process(table, Path(name), 0, row_by_row=True),
                "pieces, in the driver": in_process(table, Path(name) / "out0", 0),
                "pieces, 1 worker": in_process(table, Path(name) / "out1", 1),
                "pieces, 2 workers": in_process(table, Path(name) / "out2", 2),
                "once more": in_process(table, Path(name) / "out2", 2),
            }
        assert len({str(one["digest"]) for one in ways.values()}) == 1, "the chunks differ"
        runs.append({"rows": rows, "kind": options.kind, "ways": ways})
        print(json.dumps(runs[-1], indent=1), flush=True)
    text = json.dumps({"machine": describe(), "runs": runs}, indent=1, ensure_ascii=False)
    (ROOT / "benchmarks" / "results" / options.result).write_text(text + "\n")


if __name__ == "__main__":
    main()
