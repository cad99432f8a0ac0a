"""Near duplicates: pairs of 64-bit hashes within a Hamming radius, exactly, without comparing every pair.

Hashes are compared only where a band of their bits is nearly the same (`near_plan`: which bands, so that no pair is
missed), by compiled loops (`near_kernels`), in units of work that spill to disk and can be run anywhere
(`near_parts`). Every plan, share and worker leads to the same pairs, and they are sorted at the end: the answer hangs
on the hashes and the radius alone.

The worst case is hashes that are alike in most bits: no band tells them apart, and every pair of them is compared, ten
thousand million a second and core where the processor counts the bits of eight numbers at once. Where they are within
the radius, too, the answer itself has that many rows.
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

from million_ird.dedup.hamming.kernels import unpack
from million_ird.dedup.hamming.partitions import (
    Arrange,
    Collapse,
    Held,
    Left,
    Search,
    Spilled,
    Store,
    Stream,
    arrange,
    collapse,
    in_threads,
    search,
    stream,
)
from million_ird.dedup.hamming.plan import Sizes, choose, differences
from million_ird.errors import BuildError
from million_ird.runtime.memory import memory_of_this_machine

Run = Callable[[Callable[[Any], Any], list[Any]], Iterable[Any]]
"""Applies a function to units and yields what it returns, in any order: `Engine.run`."""

BYTES_PER_HASH = 48
"""What a unit holds for each hash of its shares, at most."""
BYTES_PER_PAIR, BYTES_PER_PAIR_BETWEEN = 16, 64
SECONDS_PER_UNIT = 0.25
SMALLEST_SHARE = 1 << 10
STREAMED = 1 << 20


def pairs_within(
    hashes: NDArray[np.uint64],
    radius: int,
    *,
    memory: int | None = None,
    scratch: Path | None = None,
    run: Run | None = None,
) -> NDArray[np.int64]:
    """Pairs (i, j), i < j, that make all hashes within `radius` bits connected to each other.

    Args:
        hashes: (n,) uint64, fewer than 2³².
        radius: 0 to 63 bits.
        memory: bytes that the search may take of each process, beside the hashes themselves; and that the answer may
            take, 16 a pair. Half of this machine's unless given. Only with a `scratch` folder does the search keep to
            it: without, everything between its steps stays in memory, some 40 bytes a hash.
        scratch: a folder on a local disk for what lies between the steps, some 40 bytes a hash and 8 a pair. It is
            emptied of that at the end, and after an exception, too.
        run: runs the units elsewhere, on workers that see the `scratch` folder; in threads of this process, one for
            each core, unless given.

    Returns:
        (m, 2) int64, sorted. Positions of identical hashes appear as a chain, those of distinct ones as every pair of
        their first positions: connected components are those of all pairs, without the square of a popular hash.

    Raises:
        BuildError: the pairs do not fit into the memory.
    """
    limits = _Limits.of(memory, run, BYTES_PER_PAIR)
    do = run or in_threads
    with _store(scratch, run) as store:
        store.save("hashes", hashes)
        shares, found, total = _collapsed(store, "hashes", len(hashes), limits, do)
        sample = differences(store.load(f"values-{shares[0]}"))
        meetings = len(shares) ** 2
        plan = choose(sample, radius, Sizes(total, total, meetings, same=True))
        for band, seconds in enumerate(plan.seconds):
            names = sorted(do(arrange, [Arrange(store, share, plan, band) for share in shares]))
            turns = min(len(plan.bands[band].flips), 1 + int(2 * seconds / meetings / SECONDS_PER_UNIT))
            units = [
                Search(store, left, right, plan, band, turn, turns, radius, limits.pairs)
                for left, right in combinations_with_replacement(names, 2)
                for turn in range(turns)
            ]
            for some in do(search, units):
                found += some
                limits.check(found, radius)
            _forget(store, names, ("values", "ids", "starts"))
        _forget(store, shares, ("values", "ids"))
        limits.check(found, radius)
        return _answer(store, found)


def pairs_between(
    queries: NDArray[np.uint64],
    index: NDArray[np.uint64],
    radius: int,
    *,
    memory: int | None = None,
    scratch: Path | None = None,
    run: Run | None = None,
) -> NDArray[np.int64]:
    """Pairs (i, j) of a query and a hash of the index within `radius` bits of each other.

    The smaller side is indexed and the larger one streamed past it: a few thousand hashes against a release of
    millions cost a pass over those, and the release is not compared with itself.

    Args:
        queries: (n,) uint64, fewer than 2³².
        index: (k,) uint64, fewer than 2³².
        radius: 0 to 63 bits.
        memory: as for `pairs_within`; of the answer, a pair takes 64 while it is put together.
        scratch: as for `pairs_within`.
        run: as for `pairs_within`.

    Returns:
        (m, 2) int64, sorted. Identical hashes are one: i is the first position of its hash among the queries and j
        the first position of its hash in the index. Each pair of values within the radius appears exactly once.

    Raises:
        BuildError: the pairs do not fit into the memory.
    """
    if len(queries) > len(index):
        turned = pairs_between(index, queries, radius, memory=memory, scratch=scratch, run=run)[:, ::-1]
        return np.asarray(turned[np.lexsort((turned[:, 1], turned[:, 0]))])
    if len(queries) == 0:
        return np.empty((0, 2), np.int64)
    limits = _Limits.of(memory, run, BYTES_PER_PAIR_BETWEEN)
    do = run or in_threads
    with _store(scratch, run) as store:
        store.save("queries", queries)
        store.save("index", index)
        shares, _, total = _collapsed(store, "queries", len(queries), limits, do)
        step = min(limits.hashes, STREAMED)
        starts = range(0, len(index), step)
        sample = differences(store.load(f"values-{shares[0]}"), index)
        plan = choose(sample, radius, Sizes(total, len(index), len(shares) * len(starts), same=False))
        bands = range(len(plan.bands))
        names = tuple(
            tuple(sorted(do(arrange, [Arrange(store, share, plan, band) for share in shares]))) for band in bands
        )
        units = [
            Stream(store, "index", start, min(start + step, len(index)), names, plan, radius, limits.pairs)
            for start in starts
        ]
        found: list[Left] = []
        for some in do(stream, units):
            found += some
            limits.check(found, radius)
        return _first_of_each(_answer(store, found), index)


@dataclass(frozen=True, slots=True)
class _Limits:
    """What `memory` means."""

    memory: int
    hashes: int
    """In a share."""
    pairs: int

    @classmethod
    def of(cls, memory: int | None, run: Run | None, bytes_per_pair: int) -> "_Limits":
        threads = 1 if run is not None else os.cpu_count() or 1
        taken = memory_of_this_machine() // 2 if memory is None else memory
        return cls(taken, max(SMALLEST_SHARE, taken // (threads * BYTES_PER_HASH)), taken // bytes_per_pair)

    def check(self, found: list[Left], radius: int) -> None:
        total = sum(count for _, count in found)
        if total > self.pairs:
            raise BuildError(
                f"more than {self.pairs:,} pairs of hashes within {radius} bits of each other: they do not fit into "
                f"{self.memory / 1e9:.1f} GB; a smaller radius finds fewer"
            )


@contextlib.contextmanager
def _store(scratch: Path | None, run: Run | None) -> Iterator[Store]:
    if scratch is None:
        if run is not None:
            raise ValueError("other workers need a scratch folder that they see")
        yield Held()
        return
    folder = Path(tempfile.mkdtemp(prefix="near-", dir=scratch))
    try:
        yield Spilled(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _collapsed(store: Store, source: str, count: int, limits: _Limits, do: Run) -> tuple[list[str], list[Left], int]:
    """The names of the shares, where the chains of identical hashes lie, and how many distinct ones there are."""
    pieces = max(1, -(-count // limits.hashes))
    units = [Collapse(store, source, piece, pieces, count) for piece in range(pieces)]
    counts, chains = zip(*do(collapse, units), strict=True)
    return [unit.name for unit in units], list(chains), sum(counts)


def _forget(store: Store, names: list[str], kinds: tuple[str, ...]) -> None:
    for name in names:
        for kind in kinds:
            store.drop(f"{kind}-{name}")


def _answer(store: Store, found: list[Left]) -> NDArray[np.int64]:
    """All pairs, sorted, in 16 bytes each and no more: packed into half of the answer first, then spread over it."""
    total = sum(count for _, count in found)
    answer = np.empty((total, 2), np.int64)
    packed = answer.reshape(-1)[total:].view(np.uint64)
    at = 0
    for name, count in found:
        packed[at : at + count] = store.load(name)
        store.drop(name)
        at += count
    packed.sort()
    unpack(answer)
    return answer


def _first_of_each(pairs: NDArray[np.int64], index: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Of sorted pairs (i, j) whose j have the same hash and the same i, the first."""
    values = index[pairs[:, 1]]
    order = np.lexsort((pairs[:, 1], values, pairs[:, 0]))
    first = np.ones(len(pairs), bool)
    first[1:] = (pairs[order][1:, 0] != pairs[order][:-1, 0]) | (values[order][1:] != values[order][:-1])
    keep = np.zeros(len(pairs), bool)
    keep[order[first]] = True
    return np.asarray(pairs[keep])
