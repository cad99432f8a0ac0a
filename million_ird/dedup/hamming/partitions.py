"""The steps of a search as units of work: what each reads, what it leaves behind, and where that lies meanwhile.

A unit is a small value that any worker can be given. It reads and writes named arrays in a store, and returns only
their names and how long they are. In one process the store is a dictionary; where memory is short, or where workers
are other processes, it is a folder. Names hang on what is in them alone, so that a unit that is run again overwrites
its own.
"""

import os
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from million_ird.dedup.hamming.kernels import TILE, collapsed, compare, in_buckets, members, permuted
from million_ird.dedup.hamming.plan import Plan

ROOM = 1 << 18
"""Pairs that a unit holds before it puts them away."""
BLOCK = 1 << 20

Left = tuple[str, int]
"""An array that a unit left behind: its name and its length."""


class Store(Protocol):
    """Where named arrays lie between units: the search need not know whether on disk."""

    def save(self, name: str, array: NDArray[Any]) -> None:
        """Keeps an array under a name, whole or not at all."""

    def load(self, name: str) -> NDArray[Any]:
        """The array of that name; from a folder it is mapped, not read."""

    def part(self, name: str, start: int, stop: int) -> NDArray[Any]:
        """Some rows of it, read."""

    def drop(self, name: str) -> None:
        """Forgets it."""


@dataclass(frozen=True, slots=True)
class Held:
    """In this process's memory."""

    arrays: dict[str, NDArray[Any]] = field(default_factory=dict)

    def save(self, name: str, array: NDArray[Any]) -> None:
        """As `Store.save`."""
        self.arrays[name] = array

    def load(self, name: str) -> NDArray[Any]:
        """As `Store.load`."""
        return self.arrays[name]

    def part(self, name: str, start: int, stop: int) -> NDArray[Any]:
        """As `Store.part`."""
        return self.arrays[name][start:stop]

    def drop(self, name: str) -> None:
        """As `Store.drop`."""
        del self.arrays[name]


@dataclass(frozen=True, slots=True)
class Spilled:
    """In a folder on a local disk."""

    folder: Path

    def save(self, name: str, array: NDArray[Any]) -> None:
        """As `Store.save`."""
        part = self.folder / f"{uuid.uuid4().hex}.part"
        with part.open("wb") as file:
            np.save(file, array)
        os.replace(part, self.folder / f"{name}.npy")

    def load(self, name: str) -> NDArray[Any]:
        """As `Store.load`."""
        path = self.folder / f"{name}.npy"
        # What is mapped copy-on-write is writable to the compiled loops, which then need no second version.
        return np.asarray(np.load(path, mmap_mode="c") if path.stat().st_size > BLOCK else np.load(path))

    def part(self, name: str, start: int, stop: int) -> NDArray[Any]:
        """As `Store.part`."""
        return np.array(np.load(self.folder / f"{name}.npy", mmap_mode="r")[start:stop])

    def drop(self, name: str) -> None:
        """As `Store.drop`."""
        (self.folder / f"{name}.npy").unlink()


@dataclass(frozen=True, slots=True)
class Collapse:
    """One share of all values of `source`, distinct."""

    store: Store
    source: str
    piece: int
    pieces: int
    count: int
    """How many hashes the source has."""

    @property
    def name(self) -> str:
        """Of the arrays `values-NAME`, `ids-NAME` and `chain-NAME`."""
        return f"{self.source}-{self.piece}"


def collapse(unit: Collapse) -> tuple[int, Left]:
    """Leaves the distinct values and first positions of a share; returns how many, and the chain of the others."""
    values, ids = _share(unit)
    values, ids, chain = _distinct(values, ids)
    unit.store.save(f"values-{unit.name}", values)
    unit.store.save(f"ids-{unit.name}", ids)
    unit.store.save(f"chain-{unit.name}", chain)
    return len(values), (f"chain-{unit.name}", len(chain))


@dataclass(frozen=True, slots=True)
class Arrange:
    """A collapsed share, to be sorted by one band of a plan."""

    store: Store
    share: str
    plan: Plan
    band: int

    @property
    def name(self) -> str:
        """Of the arrays `values-NAME`, `ids-NAME` and `starts-NAME`."""
        return f"{self.share}-by-{self.band}"


def arrange(unit: Arrange) -> str:
    """Leaves the share sorted by the band; returns its name."""
    store = unit.store
    share = store.load(f"values-{unit.share}"), store.load(f"ids-{unit.share}")
    values, ids, starts = _arranged(*share, unit.plan, unit.band)
    store.save(f"values-{unit.name}", values)
    store.save(f"ids-{unit.name}", ids)
    store.save(f"starts-{unit.name}", starts)
    return unit.name


@dataclass(frozen=True, slots=True)
class Search:
    """Two arranged shares, and some of the flips, to be compared."""

    store: Store
    left: str
    right: str
    plan: Plan
    band: int
    turn: int
    """Which of the equal runs of flips."""
    turns: int
    radius: int
    most: int
    """It stops after so many pairs: there are too many."""


def search(unit: Search) -> list[Left]:
    """Leaves the pairs (less, greater) that no earlier band finds, packed; returns where."""
    flips = np.array_split(unit.plan.bands[unit.band].flips, unit.turns)[unit.turn]
    left, right = _load(unit.store, unit.left), _load(unit.store, unit.right)
    name = f"{unit.left}-{unit.right}-{unit.turn}"
    found = _compared(left, right, flips, unit.plan, unit.band, unit.radius, unit.left == unit.right, ordered=False)
    return _put_away(unit.store, name, found, unit.most)


@dataclass(frozen=True, slots=True)
class Stream:
    """A run of the larger side, to be compared with every arranged share of the smaller."""

    store: Store
    source: str
    start: int
    stop: int
    shares: tuple[tuple[str, ...], ...]
    """For each band, the arranged shares of the smaller side."""
    plan: Plan
    radius: int
    most: int
    """It stops after so many pairs: there are too many."""


def stream(unit: Stream) -> list[Left]:
    """Leaves the pairs (of the smaller side, of the larger), packed, one for each value in the run; returns where."""
    values = unit.store.part(unit.source, unit.start, unit.stop)
    values, ids, _ = _distinct(values, np.arange(unit.start, unit.stop, dtype=np.uint32))

    def found() -> Iterator[NDArray[np.uint64]]:
        for band, shares in enumerate(unit.shares):
            run = _arranged(values, ids, unit.plan, band)
            flips = unit.plan.bands[band].flips
            for share in shares:
                yield from _compared(
                    _load(unit.store, share), run, flips, unit.plan, band, unit.radius, same=False, ordered=True
                )

    return _put_away(unit.store, f"from-{unit.start}", found(), unit.most)


def in_threads(function: Any, units: list[Any]) -> Iterator[Any]:
    """Runs units in this process, a thread for each core; the compiled loops let go of the interpreter."""
    if len(units) == 1:
        yield function(units[0])
        return
    pool = ThreadPoolExecutor(os.cpu_count() or 1)
    try:
        yield from pool.map(function, units)
    finally:
        pool.shutdown(cancel_futures=True)


def _share(unit: Collapse) -> tuple[NDArray[np.uint64], NDArray[np.uint32]]:
    if unit.pieces == 1:
        return np.array(unit.store.part(unit.source, 0, unit.count)), np.arange(unit.count, dtype=np.uint32)

    def pick(values: NDArray[np.uint64], ids: NDArray[np.uint32]) -> int:
        picked = 0
        for start in range(0, unit.count, BLOCK):
            block = unit.store.part(unit.source, start, start + BLOCK)
            picked += members(block, start, unit.piece, unit.pieces, values[picked:], ids[picked:])
        return picked

    room = pick(np.empty(0, np.uint64), np.empty(0, np.uint32))
    values, ids = np.empty(room, np.uint64), np.empty(room, np.uint32)
    pick(values, ids)
    return values, ids


def _distinct(
    values: NDArray[np.uint64], ids: NDArray[np.uint32]
) -> tuple[NDArray[np.uint64], NDArray[np.uint32], NDArray[np.uint64]]:
    order = np.argsort(values, kind="stable")
    found: tuple[NDArray[np.uint64], NDArray[np.uint32], NDArray[np.uint64]] = collapsed(values[order], ids[order])
    return found


_Sorted = tuple[NDArray[np.uint64], NDArray[np.uint32], NDArray[np.uint32]]


def _arranged(values: NDArray[np.uint64], ids: NDArray[np.uint32], plan: Plan, band: int) -> _Sorted:
    found: _Sorted = in_buckets(permuted(values, plan.table()), ids, plan.bands[band].shift, plan.bands[band].bits)
    return found


def _load(store: Store, name: str) -> _Sorted:
    return store.load(f"values-{name}"), store.load(f"ids-{name}"), store.load(f"starts-{name}")


def _compared(
    left: _Sorted,
    right: _Sorted,
    flips: NDArray[np.int64],
    plan: Plan,
    band: int,
    radius: int,
    same: bool,
    ordered: bool,
) -> Iterator[NDArray[np.uint64]]:
    """Packed pairs, a roomful at a time."""
    earlier = np.array([one.mask for one in plan.bands[:band]], np.uint64)
    limits = np.array([one.limit for one in plan.bands[:band]], np.int64)
    at, found = np.zeros(4, np.int64), np.empty(max(TILE, ROOM), np.uint64)
    while at[0] < len(flips):
        count = compare(*left, *right, flips, same, ordered, radius, earlier, limits, at, found)
        if count:
            yield found[:count].copy()


def _put_away(store: Store, name: str, found: Iterator[NDArray[np.uint64]], most: int) -> list[Left]:
    left: list[Left] = []
    total = 0
    for pairs in found:
        left.append((f"pairs-{name}-{len(left)}", len(pairs)))
        store.save(left[-1][0], pairs)
        total += len(pairs)
        if total > most:
            break
    return left
