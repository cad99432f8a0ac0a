"""Measure speed and memory of publishing a dataset: `python benchmarks/publish.py --gigabytes 5`.

A folder with the layout of a build, and shards of 500 MB that do not compress, is pushed by the unmodified client in
one process to the tests' Hub in another process, on loopback, over LFS (Xet is off). Nothing is verified: that is
measured elsewhere, and these shards hold no images. The second run has nothing to send; before the third, one shard is
renamed and another replaced. The results of each run: seconds, MB/s, the peak resident memory of the publishing
process, and the requests to the server. Both processes share the processor and the disk, and each hashes all bytes.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from importlib import metadata
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from machine import ROOT, describe

SHARD_BYTES = 500_000_000
ROW_BYTES = 1_000_000
MAX_RESIDENT = 500
"""Megabytes that the publishing process may use."""
NAME = "user/bench"
TOKEN = "hf_token"
SERVE = """
import sys
from pathlib import Path
from tests.hub_server import Account, Hub, served
with served(Hub(store=Path(sys.argv[1]), accounts={sys.argv[2]: Account("user")})) as hub:
    print(hub.endpoint, flush=True)
    for _ in sys.stdin:
        puts = sum(line.startswith("PUT") for line in hub.asked)
        commits = sum("/commit/" in line for line in hub.asked)
        print(len(hub.asked), puts, commits, flush=True)
        hub.asked.clear()
"""
PUSH = """
import json, sys, time
from pathlib import Path
from million_ird.runtime.storage import Folder
from million_ird.hub.push import push
started = time.perf_counter()
done = push(Folder(sys.argv[1]), sys.argv[2])
seconds = time.perf_counter() - started
# getrusage would count what the process was before it became this program.
peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
print(json.dumps([seconds, int(peak.split()[1]) * 1024, sum(done.uploaded.values()), len(done.deleted)]))
"""


def write_shard(path: Path, seed: int) -> None:
    """Write a parquet file of random bytes, in row groups as a build writes them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    schema = pa.schema([("id", pa.string()), ("image", pa.binary())])
    with pq.ParquetWriter(path, schema, compression="none") as writer:
        for group in range(SHARD_BYTES // (64 * ROW_BYTES) + 1):
            rows = min(64, SHARD_BYTES // ROW_BYTES - 64 * group)
            images = [random.bytes(ROW_BYTES) for _ in range(rows)]
            writer.write_table(pa.table({"id": [f"{seed}-{group}-{n}" for n in range(rows)], "image": images}, schema))


def lay_out(out: Path, gigabytes: float) -> list[Path]:
    """Write the folder, half of the shards under `data`, half under `patches`, and return the shards' paths."""
    shards = max(2, round(gigabytes * 1e9 / SHARD_BYTES))
    paths = []
    for number in range(shards):
        kind, count = ("data", shards - shards // 2) if number % 2 == 0 else ("patches", shards // 2)
        paths.append(out / kind / f"train-{number // 2:05d}-of-{count:05d}.parquet")
        write_shard(paths[-1], number)
    (out / "report").mkdir()
    small = {"README.md": "---\npretty_name: bench\n---\n", "recipe.yaml": "# x\n", "report/index.html": "<p>"}
    for name, text in small.items():
        (out / name).write_text(text)
    return paths


def stored_bytes(out: Path) -> int:
    """Return the bytes of large files that the server holds."""
    return sum(path.stat().st_size for path in (out.parent / "store").iterdir())


def push_once(name: str, out: Path, server: "subprocess.Popen[str]", environment: dict[str, str]) -> dict[str, object]:
    """Push once, and return and print the measurements."""
    before = stored_bytes(out)
    command = [sys.executable, "-c", PUSH, str(out), NAME]
    process = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    seconds, peak, changed, deleted = json.loads(process.stdout)
    assert server.stdin
    assert server.stdout
    server.stdin.write("\n")
    server.stdin.flush()
    sent = stored_bytes(out) - before
    requests, puts, commits = map(int, server.stdout.readline().split())
    row = {
        "what": name,
        "seconds": round(seconds, 1),
        "changed_mb": round(changed / 1e6),
        "sent_mb": round(sent / 1e6),
        "sent_mb_a_second": round(sent / 1e6 / seconds, 1),
        "peak_mb": round(peak / 1e6),
        "requests": requests,
        "puts": puts,
        "commits": commits,
        "deleted": deleted,
    }
    print(json.dumps(row), flush=True)
    return row


def main() -> None:
    """Run, print and write `benchmarks/results/publish.json`; stop with one line if too much memory was used."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gigabytes", type=float, default=5)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="publish-"))
    try:
        (folder / "store").mkdir()
        started = time.perf_counter()
        shards = lay_out(folder / "out", options.gigabytes)
        print(f"{len(shards)} shards made in {time.perf_counter() - started:.0f} s", flush=True)
        inherited = os.environ | {"PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-c", SERVE, str(folder / "store"), TOKEN]
        with subprocess.Popen(
            command, env=inherited, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as server:
            assert server.stdout
            client = {"HF_ENDPOINT": server.stdout.readline().strip(), "HF_HOME": str(folder / "hf"), "HF_TOKEN": TOKEN}
            client |= {"HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1", "NO_PROXY": "127.0.0.1,localhost"}
            runs = [push_once("the whole set", folder / "out", server, inherited | client)]
            runs.append(push_once("the same again", folder / "out", server, inherited | client))
            shards[0].rename(shards[0].with_name("train-00099-of-00100.parquet"))
            write_shard(shards[1], 10_000)
            runs.append(push_once("one shard renamed, one replaced", folder / "out", server, inherited | client))
            assert server.stdin
            server.stdin.close()
    finally:
        shutil.rmtree(folder)
    machine = describe() | {"huggingface_hub": metadata.version("huggingface_hub")}
    text = json.dumps({"machine": machine, "gigabytes": options.gigabytes, "runs": runs}, indent=1)
    (ROOT / "benchmarks" / "results" / "publish.json").write_text(text + "\n")
    peak = max(run["peak_mb"] for run in runs)  # type: ignore[type-var]
    if peak >= MAX_RESIDENT:  # type: ignore[operator]
        sys.exit(f"{peak} MB resident: more than {MAX_RESIDENT}")


if __name__ == "__main__":
    main()
