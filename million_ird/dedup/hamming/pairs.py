"""Pairs of 64-bit hashes within a Hamming radius: all of them, without comparing every pair.

Hashes are compared only if one band of their bits is nearly the same. `plan` chooses the bands so that no pair is
missed; `kernels` has the compiled loops; `tasks` cuts the work so that it can use the disk and other processes. Every
plan, partition and number of workers gives the same pairs, and they are sorted at the end, so the result depends on the
hashes and the radius alone.

The worst case is hashes that are equal in most bits: no band tells them apart and every pair of them is compared, some
ten thousand million a second per core if the processor counts the bits of eight numbers at once. If they are also
within the radius, the result itself has that many rows.
"""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import combinations_with_replacement
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from million_ird.dedup.hamming.kernels import unpack_pairs
from million_ird.dedup.hamming.plan import SearchSizes, choose_plan, sample_differences
from million_ird.dedup.hamming.store import ArrayRef, ArrayStore, DiskStore, MemoryStore
from million_ird.dedup.hamming.tasks import (
    CompareTask,
    DistinctTask,
    SortTask,
    StreamTask,
    compare_partitions,
    compare_stream,
    find_distinct,
    run_in_threads,
    sort_by_band,
)
from million_ird.errors import BuildError
from million_ird.runtime.memory import memory_of_this_machine

RunTasks = Callable[[Callable[[Any], Any], Iterable[Any]], Iterable[Any]]
"""Applies a function to tasks and yields the results in any order: `Executor.run`."""

BYTES_PER_HASH = 48
"""Most memory that a task uses per hash of its partitions."""
BYTES_PER_PAIR, BYTES_PER_PAIR_BETWEEN = 16, 64
SECONDS_PER_TASK = 0.25
PARTITION_MEMORY = 512 << 20
"""Most memory of all tasks of a process that a search on disk takes, however much there is: more makes it no faster."""
MIN_PARTITION = 1 << 10
"""Smallest number of hashes per partition, however little memory there is."""
STREAM_BLOCK = 1 << 20
"""Most hashes of the larger side in one task of `pairs_between`."""


def pairs_within(
    hashes: NDArray[np.uint64],
    radius: int,
    *,
    memory: int | None = None,
    scratch: Path | None = None,
    run: RunTasks | None = None,
) -> NDArray[np.int64]:
    """Return pairs (i, j), i < j, that connect all hashes within `radius` bits of each other.

    Args:
        hashes: (n,) uint64, fewer than 2³².
        radius: 0 to 63 bits.
        memory: Bytes that each process may use beside the hashes themselves, and bytes that the result may use, 16 per
            pair. Half of this machine's memory if None. The search obeys it only with a `scratch` folder; without one,
            some 40 bytes per hash stay in memory between the steps.
        scratch: Folder on a local disk for data between the steps, some 40 bytes per hash and 8 per pair. The data is
            deleted at the end, also after an exception.
        run: Runs the tasks on workers that can read the `scratch` folder. If None, threads of this process run them,
            one per core.

    Returns:
        (m, 2) int64, sorted. Positions of identical hashes appear as a chain, positions of different ones as every pair
        of their first positions. So the connected components are those of all pairs, without the square of the number
        of identical hashes.

    Raises:
        BuildError: The pairs do not fit into memory.
    """
    limits = _MemoryLimits.of(memory, scratch, run, BYTES_PER_PAIR)
    run_tasks = run or run_in_threads
    with _open_store(scratch, run) as store:
        store.save("hashes", hashes)
        partitions, arrays, distinct = _find_distinct(store, "hashes", len(hashes), limits, run_tasks)
        sample = sample_differences(store.load(f"values-{partitions[0]}"))
        partition_pairs = len(partitions) ** 2
        plan = choose_plan(sample, radius, SearchSizes(distinct, distinct, partition_pairs, same=True))
        for band, seconds in enumerate(plan.seconds):
            sort_tasks = [SortTask(store, partition, plan, band) for partition in partitions]
            names = sorted(run_tasks(sort_by_band, sort_tasks))
            parts = min(len(plan.bands[band].flips), 1 + int(2 * seconds / partition_pairs / SECONDS_PER_TASK))
            tasks = [
                CompareTask(store, left, right, plan, band, part, parts, radius, limits.pairs)
                for left, right in combinations_with_replacement(names, 2)
                for part in range(parts)
            ]
            for stored in run_tasks(compare_partitions, tasks):
                arrays += stored
                limits.check(arrays, radius)
            _drop_arrays(store, names, ("values", "ids", "starts"))
        _drop_arrays(store, partitions, ("values", "ids"))
        limits.check(arrays, radius)
        return _gather_pairs(store, arrays)


def pairs_between(
    queries: NDArray[np.uint64],
    index: NDArray[np.uint64],
    radius: int,
    *,
    memory: int | None = None,
    scratch: Path | None = None,
    run: RunTasks | None = None,
) -> NDArray[np.int64]:
    """Return pairs (i, j) of a query and a hash of the index within `radius` bits of each other.

    The smaller side is indexed and the larger one is streamed past it. So comparing a few thousand hashes with a
    release of millions costs one pass over the release, which is not compared with itself.

    Args:
        queries: (n,) uint64, fewer than 2³².
        index: (k,) uint64, fewer than 2³².
        radius: 0 to 63 bits.
        memory: As for `pairs_within`, but 64 bytes per pair while the result is assembled.
        scratch: As for `pairs_within`.
        run: As for `pairs_within`.

    Returns:
        (m, 2) int64, sorted. Identical hashes count once: i is the first position of its hash among the queries, j the
        first position of its hash in the index. Each pair of values within the radius appears exactly once.

    Raises:
        BuildError: The pairs do not fit into memory.
    """
    if len(queries) > len(index):
        swapped = pairs_between(index, queries, radius, memory=memory, scratch=scratch, run=run)[:, ::-1]
        return np.asarray(swapped[np.lexsort((swapped[:, 1], swapped[:, 0]))])
    if len(queries) == 0:
        return np.empty((0, 2), np.int64)
    limits = _MemoryLimits.of(memory, scratch, run, BYTES_PER_PAIR_BETWEEN)
    run_tasks = run or run_in_threads
    with _open_store(scratch, run) as store:
        store.save("queries", queries)
        store.save("index", index)
        partitions, _, distinct = _find_distinct(store, "queries", len(queries), limits, run_tasks)
        step = min(limits.hashes, STREAM_BLOCK)
        starts = range(0, len(index), step)
        sample = sample_differences(store.load(f"values-{partitions[0]}"), index)
        plan = choose_plan(sample, radius, SearchSizes(distinct, len(index), len(partitions) * len(starts), same=False))
        names = []
        for band in range(len(plan.bands)):
            sort_tasks = [SortTask(store, partition, plan, band) for partition in partitions]
            names.append(tuple(sorted(run_tasks(sort_by_band, sort_tasks))))
        tasks = [
            StreamTask(store, "index", start, min(start + step, len(index)), tuple(names), plan, radius, limits.pairs)
            for start in starts
        ]
        arrays: list[ArrayRef] = []
        for stored in run_tasks(compare_stream, tasks):
            arrays += stored
            limits.check(arrays, radius)
        return _first_of_each(_gather_pairs(store, arrays), index)


@dataclass(frozen=True, slots=True)
class _MemoryLimits:
    """What fits into the memory that the search may use."""

    memory: int
    """Bytes."""
    hashes: int
    """Hashes per partition."""
    pairs: int
    """Pairs of the result."""

    @classmethod
    def of(cls, memory: int | None, scratch: Path | None, run: RunTasks | None, bytes_per_pair: int) -> "_MemoryLimits":
        threads = 1 if run is not None else os.cpu_count() or 1
        usable = memory_of_this_machine() // 2 if memory is None else memory
        for_hashes = usable if scratch is None else min(usable, PARTITION_MEMORY)
        return cls(usable, max(MIN_PARTITION, for_hashes // (threads * BYTES_PER_HASH)), usable // bytes_per_pair)

    def check(self, arrays: list[ArrayRef], radius: int) -> None:
        """Raise `BuildError` if these arrays have too many pairs."""
        total = sum(count for _, count in arrays)
        if total > self.pairs:
            raise BuildError(
                f"more than {self.pairs:,} pairs of hashes within {radius} bits of each other: they do not fit into "
                f"{self.memory / 1e9:.1f} GB; a smaller radius finds fewer"
            )


@contextlib.contextmanager
def _open_store(scratch: Path | None, run: RunTasks | None) -> Iterator[ArrayStore]:
    if scratch is None:
        if run is not None:
            raise ValueError("workers need a scratch folder that they can read")
        yield MemoryStore()
        return
    folder = Path(tempfile.mkdtemp(prefix="near-", dir=scratch))
    try:
        yield DiskStore(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _find_distinct(
    store: ArrayStore, source: str, count: int, limits: _MemoryLimits, run_tasks: RunTasks
) -> tuple[list[str], list[ArrayRef], int]:
    """Return the names of the partitions, the chains of identical hashes, and the number of distinct hashes."""
    partitions = max(1, -(-count // limits.hashes))
    tasks = [DistinctTask(store, source, partition, partitions, count) for partition in range(partitions)]
    counts, chains = zip(*run_tasks(find_distinct, tasks), strict=True)
    return [task.name for task in tasks], list(chains), sum(counts)


def _drop_arrays(store: ArrayStore, names: list[str], kinds: tuple[str, ...]) -> None:
    for name in names:
        for kind in kinds:
            store.drop(f"{kind}-{name}")


def _gather_pairs(store: ArrayStore, arrays: list[ArrayRef]) -> NDArray[np.int64]:
    """Return all pairs, sorted, in only 16 bytes each: packed into half of the result, then unpacked in place."""
    total = sum(count for _, count in arrays)
    pairs = np.empty((total, 2), np.int64)
    packed = pairs.reshape(-1)[total:].view(np.uint64)
    filled = 0
    for name, count in arrays:
        packed[filled : filled + count] = store.load(name)
        store.drop(name)
        filled += count
    packed.sort()
    unpack_pairs(pairs)
    return pairs


def _first_of_each(pairs: NDArray[np.int64], index: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Return the first of the sorted pairs (i, j) that have the same i and the same hash at j."""
    values = index[pairs[:, 1]]
    order = np.lexsort((pairs[:, 1], values, pairs[:, 0]))
    first = np.ones(len(pairs), bool)
    first[1:] = (pairs[order][1:, 0] != pairs[order][:-1, 0]) | (values[order][1:] != values[order][:-1])
    keep = np.zeros(len(pairs), bool)
    keep[order[first]] = True
    return np.asarray(pairs[keep])
