"""Search for pairs of near hashes, `python benchmarks/dedup.py [--quick]`, compared with brute force and faiss.

All pairs within 8 bits are searched among a million and ten million 64-bit hashes, of which a tenth are copies with 1
to 8 bits flipped. `even` hashes are random numbers. `skewed` ones have the frequencies and correlations of the bits of
real photographs' hashes (BSDS500 of ../shared/data), and 5,000 of them agree in 40 of 64 bits. Each figure is from a
process of its own, after the loops are compiled; its peak memory includes the interpreter, the libraries and the
hashes. faiss is not a dependency: `pip install faiss-cpu`, or its rows are left out.
"""

import argparse
import importlib.util
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numba
import numpy as np
from machine import ROOT, SHARED, describe
from numpy.typing import NDArray

from million_ird.dedup.hamming.kernels import popcount
from million_ird.dedup.hamming.pairs import pairs_between, pairs_within
from million_ird.measures.signature import phash
from million_ird.runtime.executor import Executor

RADIUS = 8
DENSE = 5_000
SPILLED = 512 << 20
BLOCK = 100_000
QUERIES_FLAT = 20_000
"""Queries of faiss's flat index at a million hashes: all would take minutes, so the time is extrapolated."""
Hashes = NDArray[np.uint64]


def flipped(hashes: Hashes, random: np.random.Generator) -> Hashes:
    """Return copies in which 1 to 8 bits differ."""
    copies = []
    for batch in np.array_split(hashes, 1 + len(hashes) // BLOCK):
        masks = np.uint64(1) << np.argsort(random.random((len(batch), 64)), axis=1)[:, :8].astype(np.uint64)
        masks[np.arange(8) >= random.integers(1, 9, len(batch))[:, None]] = 0
        copies.append(batch ^ np.bitwise_or.reduce(masks, axis=1))
    return np.concatenate(copies)


def even(count: int) -> Hashes:
    """Return random hashes; the last tenth are copies of the first."""
    random = np.random.default_rng(count)
    hashes = random.integers(0, 2**64, count - count // 10, np.uint64)
    return np.concatenate([hashes, flipped(hashes[: count // 10], random)])


def skewed(count: int) -> Hashes:
    """Return hashes like those of photographs, some of them similar; the last tenth are copies of the first."""
    random = np.random.default_rng(count)
    folder = SHARED / "train" / "BSDS500"
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in {".jpg", ".png"})
    if not files:
        sys.exit(f"{folder}: the photographs whose hashes this benchmark imitates are missing")
    pictures = [cv2.imread(str(path), cv2.IMREAD_COLOR_RGB) for path in files]
    real = np.array([phash(picture.astype(np.uint8)) for picture in pictures], np.uint64)
    bits = ((real[:, None] >> np.arange(64, dtype=np.uint64)) & np.uint64(1)).astype(float)
    noise = 1e-3 * random.normal(size=bits.shape)  # a bit that never changes has no correlation
    factor = np.linalg.cholesky(np.corrcoef(bits + noise, rowvar=False) + 1e-6 * np.eye(64))
    drawn, alike = [], np.uint64(0x0F0F_0000_00FF_FF00)
    for start in range(0, count - count // 10, BLOCK):
        normal = random.normal(size=(min(BLOCK, count - count // 10 - start), 64)) @ factor.T
        limits = np.quantile(normal, 1 - bits.mean(axis=0), axis=0).diagonal()
        on = (normal > limits).astype(np.uint64) << np.arange(64, dtype=np.uint64)
        drawn.append(np.bitwise_or.reduce(on, axis=1))
    hashes = np.concatenate(drawn)
    hashes[-DENSE:] = real[0] & ~alike
    hashes[-DENSE:] |= random.integers(0, 2**64, DENSE, np.uint64) & alike
    return np.concatenate([hashes, flipped(hashes[: count // 10], random)])


@numba.njit(parallel=True, cache=True)
def brute_force(hashes: Any, radius: int) -> int:
    """Count the pairs within the radius by comparing all; rows from both ends, so that threads do equal work."""
    limit, count, last = np.uint64(radius), 0, len(hashes) - 1
    for row in numba.prange((len(hashes) + 1) // 2):
        value, other, here = hashes[row], hashes[last - row], 0
        for j in range(np.uint64(row + 1), np.uint64(len(hashes))):
            here += np.int64(popcount(value ^ hashes[j]) <= limit)
        if last - row != row:
            for j in range(np.uint64(last - row + 1), np.uint64(len(hashes))):
                here += np.int64(popcount(other ^ hashes[j]) <= limit)
        count += here
    return count


def by_brute_force(hashes: Hashes, folder: Path) -> dict[str, object]:
    numba.set_num_threads(min(2, numba.config.NUMBA_NUM_THREADS))
    brute_force(hashes[:1000], RADIUS)
    return timed(lambda: brute_force(hashes, RADIUS), int)


def by_search(hashes: Hashes, folder: Path) -> dict[str, object]:
    return timed(lambda: pairs_within(hashes, RADIUS), lambda pairs: checked(hashes, pairs))


def by_spilling(hashes: Hashes, folder: Path) -> dict[str, object]:
    def search() -> NDArray[np.int64]:
        return pairs_within(hashes, RADIUS, memory=SPILLED, scratch=folder)

    return timed(search, lambda pairs: checked(hashes, pairs))


def by_two_workers(hashes: Hashes, folder: Path) -> dict[str, object]:
    with Executor(workers=2) as executor:
        # In several partitions, so that the workers start and load the loops.
        pairs_within(hashes[:BLOCK], RADIUS, memory=2 << 20, scratch=folder, run=executor.run)
        return timed(
            lambda: pairs_within(hashes, RADIUS, scratch=folder, run=executor.run),
            lambda pairs: checked(hashes, pairs),
        )


def by_increment(hashes: Hashes, folder: Path, new: int = 100_000) -> dict[str, object]:
    """Compare new hashes, half of them copies, with all."""
    random = np.random.default_rng(7)
    queries = np.concatenate(
        [flipped(hashes[: new // 2], random), random.integers(0, 2**64, new - new // 2, np.uint64)]
    )

    def count(pairs: NDArray[np.int64]) -> int:
        distinct, first = np.unique(queries, return_index=True)
        values, positions = np.unique(hashes, return_index=True)
        source = positions[np.searchsorted(values, hashes[: new // 2])]
        query = first[np.searchsorted(distinct, queries[: new // 2])]
        assert np.isin(packed(np.column_stack([query, source])), packed(pairs)).all()
        return len(pairs)

    return timed(lambda: pairs_between(queries, hashes, RADIUS), count)


def by_leak_check(hashes: Hashes, folder: Path) -> dict[str, object]:
    return by_increment(hashes, folder, 1_000)


def by_faiss(kind: str, flips: int = 0) -> Callable[[Hashes, Path], dict[str, object]]:
    """Return a method that uses one of faiss's binary indexes, which find each pair twice and each hash itself."""

    def run(hashes: Hashes, folder: Path) -> dict[str, object]:
        import faiss

        faiss.omp_set_num_threads(2)
        rows = hashes.view(np.uint8).reshape(-1, 8)
        asked = min(len(rows), QUERIES_FLAT) if kind == "flat" and len(rows) > 100_000 else len(rows)

        def search() -> Any:
            if kind == "flat":
                index = faiss.IndexBinaryFlat(64)
            elif kind == "multi":
                index = faiss.IndexBinaryMultiHash(64, 4, 16)
            else:
                index = faiss.IndexBinaryHash(64, 16)
            if flips:
                index.nflip = flips
            index.add(rows)
            return index.range_search(rows[:asked], RADIUS + 1)

        def count(found: Any) -> int:
            limits, _, there = found
            here = np.repeat(np.arange(asked), np.diff(limits.astype(np.int64)))
            return int((here < there).sum()) if asked == len(rows) else -1

        result = timed(search, count)
        if asked < len(rows):
            share = len(rows) / asked
            result |= {"seconds": result["seconds"] * share, "cpu": result["cpu"] * share, "pairs": None}
            result["note"] = f"from {asked:,} queries"
        return result

    return run


METHODS: dict[str, Callable[[Hashes, Path], dict[str, object]]] = {
    "this search": by_search,
    "this search, spilling (512 MB)": by_spilling,
    "this search, 2 dask workers": by_two_workers,
    "100 k new against all": by_increment,
    "1 k new against all": by_leak_check,
    "brute force, 2 threads": by_brute_force,
    "faiss IndexBinaryFlat": by_faiss("flat"),
    "faiss IndexBinaryMultiHash, 1 flip": by_faiss("multi", 1),
    "faiss IndexBinaryMultiHash, 2 flips": by_faiss("multi", 2),
    "faiss IndexBinaryHash, 2 flips": by_faiss("hash", 2),
}
OURS = [name for name in METHODS if "faiss" not in name and "brute" not in name]
APPROXIMATE = [name for name in METHODS if "Hash" in name]


def packed(pairs: NDArray[np.int64]) -> NDArray[np.int64]:
    return pairs[:, 0] << 32 | pairs[:, 1]


def checked(hashes: Hashes, pairs: NDArray[np.int64]) -> int:
    """Check that all planted pairs were found; return the number of pairs."""
    copies = len(hashes) // 10
    distinct, first = np.unique(hashes, return_index=True)
    here = first[np.searchsorted(distinct, hashes[:copies])]
    there = first[np.searchsorted(distinct, hashes[len(hashes) - copies :])]
    planted = np.sort(np.column_stack([here, there]), axis=1)
    assert np.isin(packed(planted[here != there]), packed(pairs)).all(), "a planted pair was not found"
    return len(pairs)


def timed(search: Callable[[], Any], count: Callable[[Any], int]) -> dict[str, object]:
    """Return wall seconds, processor seconds, and the peak memory of the largest process."""
    used, start = sum(processor(process) for process in family()), time.perf_counter()
    found = search()
    seconds, cpu = time.perf_counter() - start, sum(processor(process) for process in family()) - used
    peak = max(high_water(process) for process in family())
    return {"seconds": seconds, "cpu": cpu, "peak_MB": peak, "pairs": count(found)}


def family() -> list[Path]:
    """Return this process and its children, as folders of /proc."""
    own = Path(f"/proc/{os.getpid()}")
    children = [word for file in own.glob("task/*/children") for word in file.read_text().split()]
    return [own, *(Path("/proc") / child for child in children)]


def processor(process: Path) -> float:
    """Return the processor seconds that a process has used."""
    fields = (process / "stat").read_text().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def high_water(process: Path) -> float:
    """Return the peak resident memory of a process, in MB."""
    (line,) = [line for line in (process / "status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) / 1e3


def run_one(method: str, file: str) -> None:
    """Run a method in this process, and print its figures."""
    hashes = np.load(file)
    with tempfile.TemporaryDirectory(prefix="dedup-") as folder:
        for count in (20_000, 100_000):  # compiles, or loads what was compiled
            pairs_within(hashes[:count], RADIUS)
        pairs_between(hashes[:100], hashes[:20_000], RADIUS)
        print(json.dumps(METHODS[method](hashes, Path(folder))))


def cases(quick: bool) -> list[tuple[str, int, list[str]]]:
    """Return kind, size and methods of each case."""
    faiss = importlib.util.find_spec("faiss") is not None
    if not faiss:
        print("faiss is not installed (pip install faiss-cpu): its rows are left out")
    every = [name for name in METHODS if faiss or "faiss" not in name]
    fast = [name for name in every if name != "100 k new against all"]
    affordable = [name for name in every if "Hash" not in name]  # those of faiss take up to an hour at a million
    if quick:
        return [("even", 20_000, fast), ("even", 100_000, fast), ("skewed", 100_000, OURS[:1])]
    return [
        ("even", 100_000, fast),
        ("even", 1_000_000, affordable),
        ("even", 10_000_000, OURS),
        ("skewed", 1_000_000, ["this search", "brute force, 2 threads"]),
        ("skewed", 10_000_000, ["this search", "100 k new against all"]),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="20 and 100 thousand hashes; writes no results")
    parser.add_argument("--kind", help="only even or skewed hashes; writes no results")
    parser.add_argument("--count", type=int, help="only so many hashes; writes no results")
    parser.add_argument("--method", help="only this method; writes no results")
    parser.add_argument("--one", nargs=2, metavar=("METHOD", "FILE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        run_one(*options.one)
        return
    rows: list[dict[str, Any]] = []
    heads = f"{'seconds':>9} {'CPU s':>9} {'peak MB':>8} {'pairs':>12} {'× ours':>8}  recall"
    print(f"{'hashes':>12}  {'':6}  {'':36} {heads}")
    with tempfile.TemporaryDirectory(prefix="dedup-") as temporary:
        for kind, count, methods in cases(options.quick):
            if options.kind not in {None, kind} or options.count not in {None, count}:
                continue
            file = Path(temporary) / "hashes.npy"
            np.save(file, (even if kind == "even" else skewed)(count))
            group: list[dict[str, Any]] = []
            for method in methods:
                if options.method in {None, method}:
                    group.append(row := {"hashes": count, "kind": kind, "method": method, **child(method, file)})
                    compare(row, group[0])
                    show(row)
            rows += group
    if options.quick or options.kind or options.count or options.method:
        return
    result = {"machine": describe(), "radius": RADIUS, "growth": growth(rows), "rows": rows}
    print(f"the time grows with the {result['growth']:.2f}th power of the number of hashes (1 M to 10 M, even)")
    (ROOT / "benchmarks" / "results" / "dedup.json").write_text(json.dumps(result, indent=1) + "\n")


def child(method: str, file: Path) -> dict[str, Any]:
    command = [sys.executable, __file__, "--one", method, str(file)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def compare(row: dict[str, Any], ours: dict[str, Any]) -> None:
    """Compare with this search on the same hashes in the same run; exact methods must find the same pairs."""
    row["ratio"] = row["seconds"] / ours["seconds"]
    if row["pairs"] is None or "new against" in row["method"]:
        return
    row["recall"] = row["pairs"] / ours["pairs"]
    exact = row["method"] not in APPROXIMATE
    # For identical hashes this search gives a chain, others every pair; for `even` hashes that is the same.
    assert not exact or row["pairs"] == ours["pairs"] or row["kind"] == "skewed", row


def growth(rows: list[dict[str, Any]]) -> float:
    """Return the exponent of the time between the two largest sizes."""
    ours = [row for row in rows if row["method"] == "this search" and row["kind"] == "even"][-2:]
    return math.log(ours[1]["seconds"] / ours[0]["seconds"]) / math.log(ours[1]["hashes"] / ours[0]["hashes"])


def show(row: dict[str, Any]) -> None:
    pairs = f"{row['pairs']:,}" if row["pairs"] is not None else row["note"]
    recall = f"{row['recall']:.4f}" if "recall" in row else ""
    print(
        f"{row['hashes']:>12,}  {row['kind']:6}  {row['method']:36} {row['seconds']:9.2f} {row['cpu']:9.2f} "
        f"{row['peak_MB']:8,.0f} {pairs:>12} {row['ratio']:8.1f}  {recall}",
        flush=True,
    )


if __name__ == "__main__":
    main()
