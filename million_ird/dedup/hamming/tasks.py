"""The steps of a search for near hashes, as tasks that any worker process can run.

A task is a small value. It reads named arrays from a store, writes its results there, and returns only their names and
lengths. The name of an array depends on its content alone, so a task that runs twice overwrites its own result.
"""

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from million_ird.dedup.hamming.kernels import (
    TILE,
    compare_buckets,
    drop_repeats,
    permute_bits,
    select_partition,
    sort_into_buckets,
)
from million_ird.dedup.hamming.plan import BandPlan
from million_ird.dedup.hamming.store import ArrayRef, ArrayStore

PAIR_BUFFER = 1 << 18
"""Pairs that a task collects before it stores them."""
BLOCK = 1 << 20
"""Hashes that are read at once when a partition is selected."""


@dataclass(frozen=True, slots=True)
class DistinctTask:
    """One partition of the hashes of `source`, to be reduced to distinct values."""

    store: ArrayStore
    source: str
    partition: int
    partitions: int
    count: int
    """Number of hashes in the source."""

    @property
    def name(self) -> str:
        """Suffix of the arrays `values-NAME`, `ids-NAME` and `chain-NAME`."""
        return f"{self.source}-{self.partition}"


def find_distinct(task: DistinctTask) -> tuple[int, ArrayRef]:
    """Store the distinct values of a partition, their first positions, and a chain of the repeated ones.

    Returns:
        The number of distinct values, and the chain.
    """
    values, ids = _partition(task)
    values, ids, chain = _distinct(values, ids)
    task.store.save(f"values-{task.name}", values)
    task.store.save(f"ids-{task.name}", ids)
    task.store.save(f"chain-{task.name}", chain)
    return len(values), (f"chain-{task.name}", len(chain))


@dataclass(frozen=True, slots=True)
class SortTask:
    """A partition of distinct values, to be sorted by one band of a plan."""

    store: ArrayStore
    partition: str
    plan: BandPlan
    band: int

    @property
    def name(self) -> str:
        """Suffix of the arrays `values-NAME`, `ids-NAME` and `starts-NAME`."""
        return f"{self.partition}-by-{self.band}"


def sort_by_band(task: SortTask) -> str:
    """Store the partition sorted by the band; return its name."""
    store = task.store
    partition = store.load(f"values-{task.partition}"), store.load(f"ids-{task.partition}")
    values, ids, starts = _sorted_by_band(*partition, task.plan, task.band)
    store.save(f"values-{task.name}", values)
    store.save(f"ids-{task.name}", ids)
    store.save(f"starts-{task.name}", starts)
    return task.name


@dataclass(frozen=True, slots=True)
class CompareTask:
    """Two sorted partitions to be compared, for some of the flips of a band."""

    store: ArrayStore
    left: str
    right: str
    plan: BandPlan
    band: int
    part: int
    """Which of the `parts` equal parts of the flips."""
    parts: int
    radius: int
    max_pairs: int
    """The task stops after this number of pairs: too many."""


def compare_partitions(task: CompareTask) -> list[ArrayRef]:
    """Store the packed pairs (smaller, larger) that no earlier band finds."""
    flips = np.array_split(task.plan.bands[task.band].flips, task.parts)[task.part]
    left, right = _load(task.store, task.left), _load(task.store, task.right)
    name = f"{task.left}-{task.right}-{task.part}"
    pairs = _compared(left, right, flips, task.plan, task.band, task.radius, task.left == task.right, ordered=False)
    return _store_pairs(task.store, name, pairs, task.max_pairs)


@dataclass(frozen=True, slots=True)
class StreamTask:
    """A block of the larger side, to be compared with every sorted partition of the smaller side."""

    store: ArrayStore
    source: str
    start: int
    stop: int
    partitions: tuple[tuple[str, ...], ...]
    """For each band, the sorted partitions of the smaller side."""
    plan: BandPlan
    radius: int
    max_pairs: int
    """The task stops after this number of pairs: too many."""


def compare_stream(task: StreamTask) -> list[ArrayRef]:
    """Store the packed pairs (of the smaller side, of the larger side), one for each distinct value in the block."""
    values = task.store.rows(task.source, task.start, task.stop)
    values, ids, _ = _distinct(values, np.arange(task.start, task.stop, dtype=np.uint32))

    def pairs() -> Iterator[NDArray[np.uint64]]:
        for band, partitions in enumerate(task.partitions):
            block = _sorted_by_band(values, ids, task.plan, band)
            flips = task.plan.bands[band].flips
            for partition in partitions:
                yield from _compared(
                    _load(task.store, partition), block, flips, task.plan, band, task.radius, same=False, ordered=True
                )

    return _store_pairs(task.store, f"from-{task.start}", pairs(), task.max_pairs)


def run_in_threads(function: Any, tasks: Iterable[Any]) -> Iterator[Any]:
    """Run tasks in this process, with one thread per core; the compiled loops release the GIL."""
    tasks = list(tasks)
    if len(tasks) == 1:
        yield function(tasks[0])
        return
    pool = ThreadPoolExecutor(os.cpu_count() or 1)
    try:
        yield from pool.map(function, tasks)
    finally:
        pool.shutdown(cancel_futures=True)


def _partition(task: DistinctTask) -> tuple[NDArray[np.uint64], NDArray[np.uint32]]:
    """Return the values of a partition and their positions in the source."""
    if task.partitions == 1:
        return np.array(task.store.rows(task.source, 0, task.count)), np.arange(task.count, dtype=np.uint32)

    def select(values: NDArray[np.uint64], ids: NDArray[np.uint32]) -> int:
        selected = 0
        for start in range(0, task.count, BLOCK):
            block = task.store.rows(task.source, start, start + BLOCK)
            selected += select_partition(
                block, start, task.partition, task.partitions, values[selected:], ids[selected:]
            )
        return selected

    size = select(np.empty(0, np.uint64), np.empty(0, np.uint32))
    values, ids = np.empty(size, np.uint64), np.empty(size, np.uint32)
    select(values, ids)
    return values, ids


def _distinct(
    values: NDArray[np.uint64], ids: NDArray[np.uint32]
) -> tuple[NDArray[np.uint64], NDArray[np.uint32], NDArray[np.uint64]]:
    order = np.argsort(values, kind="stable")
    result: tuple[NDArray[np.uint64], NDArray[np.uint32], NDArray[np.uint64]]
    result = drop_repeats(values[order], ids[order])
    return result


_Sorted = tuple[NDArray[np.uint64], NDArray[np.uint32], NDArray[np.uint32]]
"""Values, their ids, and the start of each bucket."""


def _sorted_by_band(values: NDArray[np.uint64], ids: NDArray[np.uint32], plan: BandPlan, band: int) -> _Sorted:
    permuted = permute_bits(values, plan.permutation_table())
    result: _Sorted = sort_into_buckets(permuted, ids, plan.bands[band].shift, plan.bands[band].bits)
    return result


def _load(store: ArrayStore, name: str) -> _Sorted:
    return store.load(f"values-{name}"), store.load(f"ids-{name}"), store.load(f"starts-{name}")


def _compared(
    left: _Sorted,
    right: _Sorted,
    flips: NDArray[np.int64],
    plan: BandPlan,
    band: int,
    radius: int,
    same: bool,
    ordered: bool,
) -> Iterator[NDArray[np.uint64]]:
    """Yield packed pairs, a full buffer at a time."""
    earlier_masks = np.array([earlier.mask for earlier in plan.bands[:band]], np.uint64)
    earlier_limits = np.array([earlier.limit for earlier in plan.bands[:band]], np.int64)
    cursor, pairs = np.zeros(4, np.int64), np.empty(max(TILE, PAIR_BUFFER), np.uint64)
    while cursor[0] < len(flips):
        count = compare_buckets(
            *left, *right, flips, same, ordered, radius, earlier_masks, earlier_limits, cursor, pairs
        )
        if count:
            yield pairs[:count].copy()


def _store_pairs(store: ArrayStore, name: str, batches: Iterator[NDArray[np.uint64]], max_pairs: int) -> list[ArrayRef]:
    stored: list[ArrayRef] = []
    total = 0
    for pairs in batches:
        stored.append((f"pairs-{name}-{len(stored)}", len(pairs)))
        store.save(stored[-1][0], pairs)
        total += len(pairs)
        if total > max_pairs:
            break
    return stored
