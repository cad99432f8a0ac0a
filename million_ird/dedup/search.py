"""Copies among the pictures that passed every gate: candidates by hash, each confirmed by its signature.

Candidates are pairs whose pHashes are near each other (of whole pictures, of what a plain border leaves, of any
orientation), and pairs of which some of the largest points are (crops, frames, overlays). What confirms them is in
`confirm`. Memory holds a few hundred bytes a picture; points are read again for the candidates alone.
"""

import mmap
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from million_ird.dedup.hamming.pairs import Run, pairs_between, pairs_within
from million_ird.dedup.overlap import FARTHEST, mirrored, unpacked
from million_ird.dedup.verification import ALIKE, Match, Relation, Signature, compare, frames_alike
from million_ird.measures.signature import FRAME

Positions: TypeAlias = NDArray[np.int64]
Batches: TypeAlias = Callable[[Sequence[str]], Iterator[pa.Table]]
"""The rows of a scan from the first to the last, some at a time, with the columns asked for."""
WORDS = 32
"""Of each picture the first points, by which pairs are found."""
WORD_RADIUS = 2
"""Bits of the first 64 of a point in which points that find each other may differ; of all 128, `FARTHEST`."""
SPILLED = 2_000_000
"""So many hashes are searched on disk, if there is a scratch folder, and by all workers."""
POPULAR = 64
"""A word that more pictures share says nothing of any; of a pHash that more share, only frames tell who is alike."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """What counts as a copy."""

    radius: int
    """Bits of 64 in which pHashes of candidates may differ."""
    turned: bool
    """Whether mirrored pictures, and pictures turned by quarters, are copies."""
    crops: bool
    """Whether candidates are looked for by points, too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Marks:
    """What candidates are found by, of n pictures in the order of `rows`."""

    rows: Positions
    """Their positions in the scan."""
    phash: NDArray[np.uint64]
    hashes: NDArray[np.uint64]
    """(n, 8): of the frame in each orientation."""
    low: NDArray[np.int8]
    """(n, 16, 16): the frames."""
    words: NDArray[np.uint64]
    """(w, 2): points."""
    owner: NDArray[np.int32]
    """(w,): whose they are, a position in `rows`."""


def read_marks(batches: Batches, wanted: NDArray[np.bool_]) -> Marks:
    """Reads the marks of the rows that are `wanted`; those without a frame are left out."""
    most = int(wanted.sum())
    rows, phash = np.empty(most, np.int64), np.empty(most, np.uint64)
    frames = np.empty(most, FRAME)
    words, owner = np.empty((most * WORDS, 2), np.uint64), np.empty(most * WORDS, np.int32)
    start = count = filled = 0
    for table in batches(["phash", "frame", "points"]):
        here = np.flatnonzero(wanted[start : start + table.num_rows])
        found = table.take(pa.array(here)).to_pydict()
        for at, text, frame, points in zip(here, found["phash"], found["frame"], found["points"], strict=True):
            if frame is not None:
                bits = unpacked(points)["bits"][:WORDS]
                rows[count], phash[count] = start + int(at), int(text, 16)
                frames[count] = np.frombuffer(frame, FRAME)[0]
                words[filled : filled + len(bits)] = bits
                owner[filled : filled + len(bits)] = count
                count, filled = count + 1, filled + len(bits)
        start += table.num_rows
    return Marks(
        rows=rows[:count],
        phash=phash[:count],
        hashes=frames["hashes"][:count].astype(np.uint64),
        low=frames["low"][:count],
        words=words[:filled],
        owner=owner[:filled],
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """How hashes are searched."""

    scratch: str | None = None
    """A folder on this machine's disk for what does not fit into memory."""
    run: Run | None = None
    """Runs the search of many hashes on workers that see the scratch folder."""

    def within(self, values: NDArray[np.uint64], radius: int) -> Positions:
        """As `pairs_within`."""
        return pairs_within(values, radius, **self._place(len(values)))

    def between(self, values: NDArray[np.uint64], others: NDArray[np.uint64], radius: int) -> Positions:
        """As `pairs_between`."""
        return pairs_between(values, others, radius, **self._place(max(len(values), len(others))))

    def _place(self, hashes: int) -> dict[str, Any]:
        if self.scratch is None or hashes < SPILLED:
            return {}
        return {"scratch": Path(self.scratch), "run": self.run}


def candidates(marks: Marks, search: Search, index: Index) -> tuple[Positions, Positions]:
    """Pairs to confirm: those that hashes of the whole found, and those that only points found; (m, 2) into `rows`."""
    count = np.arange(len(marks.rows))
    bare = marks.hashes[:, 0] != marks.phash
    values = np.concatenate([marks.phash, marks.hashes[bare, 0]])
    owners = np.concatenate([count, count[bare]])
    whole = [_near(values, owners, search.radius, marks, index)]
    if search.turned and len(count):
        others, theirs = marks.hashes[:, 1:].ravel(), np.repeat(count, 7)
        whole.append(joined(others, theirs, values, owners, search.radius, index))
    by_hash = _unique(whole)
    if not search.crops:
        return by_hash, np.empty((0, 2), np.int64)
    words, which = marks.words, np.arange(len(marks.words))
    pairs = _near(words[:, 0], which, WORD_RADIUS, None, index)
    by_word: list[NDArray[Any]] = [marks.owner[pairs[_apart(words, words, pairs) <= FARTHEST]]]
    if search.turned:
        turned = mirrored(words)
        pairs = joined(turned[:, 0], which, words[:, 0], which, WORD_RADIUS, index)
        by_word.append(marks.owner[pairs[_apart(turned, words, pairs) <= FARTHEST]])
    return by_hash, _without(_unique(by_word), by_hash)


def _apart(one: NDArray[np.uint64], other: NDArray[np.uint64], pairs: Positions) -> NDArray[np.int64]:
    """Of 128 bits, in how many the points of each pair differ."""
    return np.asarray(np.bitwise_count(one[pairs[:, 0]] ^ other[pairs[:, 1]]).sum(axis=1), np.int64)


@dataclass(frozen=True, slots=True)
class Copies:
    """Confirmed pairs (m, 2) of rows of the scan."""

    copies: Positions
    parts: Positions
    """Pairs that share a part of what they show: both may stay, on one side of a split."""


class Confirmer:
    """Compares pictures by their signatures, which it reads once for all that may be compared."""

    def __init__(self, batches: Batches, rows: Positions, search: Search, scratch: str | None) -> None:
        """`rows` are positions in the scan, sorted; `scratch` a folder on this machine's disk."""
        self._search = search
        self._rows = rows
        self._ends = np.zeros((len(rows), 4), np.int64)
        self._aspects = np.ones(len(rows))
        with tempfile.TemporaryFile(dir=scratch, prefix=".tmp-") as file:
            self._fill(batches, file)
            file.flush()
            length = file.tell()
            self._store: Any = mmap.mmap(file.fileno(), length, access=mmap.ACCESS_READ) if length else b""

    def compare(self, a: int, b: int) -> Match | None:
        """What two rows are to each other."""
        return compare(self._signature(a), self._signature(b), turned=self._search.turned)

    def _signature(self, row: int) -> Signature:
        at = int(np.searchsorted(self._rows, row))
        frame, points = (self._store[low:high] for low, high in self._ends[at].reshape(2, 2).tolist())
        return Signature(frame or None, unpacked(points), float(self._aspects[at]))

    def _fill(self, batches: Batches, file: Any) -> None:
        start = 0
        for table in batches(["frame", "points", "width", "height"]):
            low, high = np.searchsorted(self._rows, [start, start + table.num_rows])
            chosen = table.take(pa.array(self._rows[low:high] - start)).to_pylist()
            for at, row in enumerate(chosen, int(low)):
                ends = [file.tell()]
                for column in ("frame", "points"):
                    file.write(row[column] or b"")
                    ends += [file.tell(), file.tell()]
                self._ends[at] = ends[:4]
                self._aspects[at] = row["width"] / max(1, row["height"])
            start += table.num_rows


def confirmed(marks: Marks, pairs: tuple[Positions, Positions], confirmer: Confirmer, search: Search) -> Copies:
    """The pairs of candidates that show the same."""
    by_hash, by_word = pairs
    alike = frames_alike(marks.low, by_hash[:, 0], by_hash[:, 1], search.turned) >= ALIKE
    copies, parts = [marks.rows[by_hash[alike]]], list[NDArray[np.int64]]()
    for a, b in marks.rows[np.concatenate([by_hash[~alike], by_word])].tolist():
        match = confirmer.compare(a, b)
        if match is not None:
            (copies if match.relation is Relation.COPY else parts).append(np.array([[a, b]]))
    return Copies(_stacked(copies), _stacked(parts))


def joined(
    values: NDArray[np.uint64],
    owners: Positions,
    others: NDArray[np.uint64],
    theirs: Positions,
    radius: int,
    index: Index,
) -> Positions:
    """Pairs (owner, other's owner) of values that are within the radius."""
    mine, yours = _Groups.of(values, owners), _Groups.of(others, theirs)
    return _product(mine, yours, index.between(mine.values, yours.values, radius))


@dataclass(frozen=True, slots=True)
class _Groups:
    """Distinct values, and who has each."""

    values: NDArray[np.uint64]
    starts: Positions
    sizes: Positions
    owners: Positions

    @classmethod
    def of(cls, values: NDArray[np.uint64], owners: Positions) -> "_Groups":
        order = np.lexsort((owners, values))
        distinct, starts, sizes = np.unique(values[order], return_index=True, return_counts=True)
        return cls(distinct, starts.astype(np.int64), sizes.astype(np.int64), owners[order])

    def members(self, group: int) -> Positions:
        return self.owners[self.starts[group] : self.starts[group] + self.sizes[group]]


def _near(values: NDArray[np.uint64], owners: Positions, radius: int, marks: Marks | None, index: Index) -> Positions:
    """Pairs of owners of values within the radius of each other; of the words that are too popular, none."""
    groups = _Groups.of(values, owners)
    found = _within(groups)
    if marks is not None:
        crowds = np.flatnonzero(groups.sizes > POPULAR).tolist()
        found += [_alike(groups.members(group), marks) for group in crowds]
    return _stacked([*found, _product(groups, groups, index.within(groups.values, radius))])


def _within(groups: _Groups) -> list[Positions]:
    """All pairs of members of each group that is not too popular."""
    label = np.repeat(np.where(groups.sizes <= POPULAR, np.arange(len(groups.sizes)), -1), groups.sizes)
    found = []
    for step in range(1, int(groups.sizes.max(initial=1))):
        same = np.flatnonzero((label[:-step] == label[step:]) & (label[step:] >= 0))
        if not len(same):
            break
        found.append(np.stack([groups.owners[same], groups.owners[same + step]], axis=1))
    return found


def _alike(group: Positions, marks: Marks) -> Positions:
    found, left = [], np.unique(group)
    while len(left) > 1:  # each in turn with all that are alike; who is like nobody stays alone
        rest = left[1:]
        alike = frames_alike(marks.low, np.full(len(rest), left[0]), rest, turned=False) >= ALIKE
        found.append(np.stack([np.full(int(alike.sum()), left[0]), rest[alike]], axis=1))
        left = rest[~alike]
    return _stacked(found)


def _product(one: _Groups, other: _Groups, pairs: Positions) -> Positions:
    """All pairs of members of groups; of a group that is too popular, its first members."""
    left, right = np.minimum(one.sizes[pairs[:, 0]], POPULAR), np.minimum(other.sizes[pairs[:, 1]], POPULAR)
    sizes = left * right
    which = np.repeat(np.arange(len(pairs)), sizes)
    place = np.arange(len(which)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    members = (
        one.owners[one.starts[pairs[which, 0]] + place // right[which]],
        other.owners[other.starts[pairs[which, 1]] + place % right[which]],
    )
    found = np.stack(members, axis=1)
    return found[found[:, 0] != found[:, 1]] if one is other else found


def _stacked(pairs: Sequence[NDArray[Any]]) -> Positions:
    return np.concatenate([np.empty((0, 2), np.int64), *pairs]).astype(np.int64)


def _unique(pairs: Sequence[NDArray[Any]]) -> Positions:
    found = np.sort(_stacked(pairs), axis=1)
    return np.unique(found[found[:, 0] != found[:, 1]], axis=0)


def _without(pairs: Positions, others: Positions) -> Positions:
    """Rows of `pairs` that are not in `others`; both unique."""
    if not len(pairs) or not len(others):
        return pairs
    width = int(max(pairs.max(), others.max())) + 1
    keep = ~np.isin(pairs[:, 0] * width + pairs[:, 1], others[:, 0] * width + others[:, 1])
    return pairs[keep]
