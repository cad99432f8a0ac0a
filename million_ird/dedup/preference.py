"""Which copy of a group is kept: the one that, compared with the others, shows most with least added or lost.

Every confirmed pair of copies is judged once (`shows_more`). What a copy wins minus what it loses, as a share of its
pairs, is its standing; copies that no comparison distinguishes have the same standing, and their numbers rank them.
"""

import mmap
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from million_ird.dedup.aligned import Placement
from million_ird.dedup.harms import Shown, Verdict
from million_ird.dedup.overlap import find_overlap, frame_correlation
from million_ird.dedup.search import HashPairSearch
from million_ird.dedup.search_keys import BatchReader, Positions
from million_ird.dedup.shows_more import compare_copies
from million_ird.dedup.verification import MIN_FRAME_CORRELATION, SURE_INLIERS, Signature, near_orientations
from million_ird.measures.view import unpack_view

_COLUMNS = ("frame", "points", "view")
QUALITY_OF_JPEG = ("jpeg_quality", "jpeg_trace")
"""Columns of the quality of compression: as a file tells it, and as its pixels do."""
FINE_TRACE = "fine_trace"
"""Column of the quality of a JPEG compression that is too fine to do harm, but shows in the pixels."""
_PAIRS_PER_TASK = 250
"""Some seconds of work, and some MB."""
_MOST_PAIRS = 4096
"""Most pairs of one group that are judged, those of the best ranks: a group of hundreds has tens of thousands."""


@dataclass(frozen=True, slots=True)
class CopyRow:
    """What is read of a row that has copies."""

    frame: bytes | None
    points: bytes | None
    view: bytes | None
    width: int
    height: int
    quality: float
    """Of JPEG compression, 1 to 100, as its file or its pixels show it; NaN where neither does."""
    coding: float
    """The same as its file alone tells it."""
    trace: float
    """The same of a fine compression that its pixels show, 75 to 98; NaN where none does."""

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> "CopyRow":
        """Return what these columns of a ledger row hold."""
        own, trace, fine = (
            float("nan") if row.get(name) is None else float(row[name]) for name in (*QUALITY_OF_JPEG, FINE_TRACE)
        )
        sizes = int(row["width"] or 0), int(row["height"] or 0)
        qualities = float(np.fmin(own, trace)), own, fine
        return cls(row["frame"], row["points"], row["view"], *sizes, *qualities)


@dataclass(frozen=True, slots=True)
class Copies:
    """Confirmed pairs of copies among n positions."""

    pairs: Positions
    """(m, 2) positions."""
    rows: Positions
    """(n,) sorted rows of the scan that the positions are."""
    numbers: pa.Table
    """All rows of the scan: `width`, `height`, `jpeg_quality`, `jpeg_trace` and `fine_trace`."""


@dataclass(frozen=True, slots=True)
class JudgeTask:
    """Pairs that are judged at once."""

    number: int
    pairs: tuple[tuple[CopyRow, CopyRow], ...]
    turned: bool


def judge(a: CopyRow, b: CopyRow, *, turned: bool) -> Verdict | None:
    """Return what each of two copies has lost or got, or None if they cannot be compared.

    The other order of the two gives the same verdict, with its sides swapped.

    Args:
        a: One copy.
        b: The other one.
        turned: Whether one may be mirrored or turned by quarters.
    """
    if a.view is None or b.view is None or _order(a) == _order(b):
        return None
    if _order(b) < _order(a):
        swapped = judge(b, a, turned=turned)
        return None if swapped is None else Verdict(swapped.second, swapped.first)
    views = unpack_view(a.view), unpack_view(b.view)
    if views[0] is None or views[1] is None:
        return None
    found = list(_placements(a, b, turned))
    placements = [one.between_images(views[0].content, views[1].content) for one in found]
    # Bars that lie over an image look like a border of it.
    placements += [Placement(one.orientation, (1.0, 1.0), (0.0, 0.0)) for one in found[:1]]
    first, second = (
        Shown(
            view,
            row.width,
            row.height,
            quality=float(np.fmin(row.quality, view.coding)),
            coding=float(np.fmin(row.coding, view.coding)),
            trace=row.trace,
        )
        for view, row in zip(views, (a, b), strict=True)
        if view is not None
    )
    return compare_copies(first, second, placements) if placements else None


def judge_pairs(task: JudgeTask) -> tuple[int, list[int]]:
    """Return the number of a task, and of each of its pairs 1 if the first is better, −1 if the second is, or 0."""
    verdicts = [judge(a, b, turned=task.turned) for a, b in task.pairs]
    return task.number, [0 if verdict is None else verdict.better for verdict in verdicts]


def standings(
    copies: Copies, rank: Positions, groups: Positions, batches: BatchReader, *, turned: bool, search: HashPairSearch
) -> NDArray[np.float64]:
    """Return the standing of each position, −1 to 1, larger is better; 0 without copies: (n,) float64.

    Args:
        copies: Pairs of positions, and where these are in the scan.
        rank: (n,) rank of each position, 0 for the best; no two are equal.
        groups: (n,) label of the group of each position.
        batches: Reads columns of all rows of the scan.
        turned: Whether a copy may be mirrored or turned by quarters.
        search: Where pairs are judged, and temporary files are.
    """
    standing = np.zeros(len(rank))
    if not len(copies.pairs):
        return standing
    chosen = _chosen(copies.pairs, rank, groups)
    involved = np.unique(chosen)
    rows = CopyRows(batches, copies.rows[involved], copies.numbers, search.scratch)
    pairs = np.searchsorted(involved, chosen)
    results = np.zeros(len(pairs), np.int64)
    # Tasks are made as workers take them: each holds what is compared of its pairs.
    for number, found in (search.run or map)(judge_pairs, _tasks(pairs, rows, turned)):
        results[number * _PAIRS_PER_TASK : number * _PAIRS_PER_TASK + len(found)] = found
    count = len(involved)
    balance = np.bincount(pairs[:, 0], results, count) - np.bincount(pairs[:, 1], results, count)
    standing[involved] = balance / np.bincount(pairs.ravel(), minlength=count)
    return standing


class CopyRows:
    """The rows that have copies: some columns are kept in a temporary file, the numbers in memory."""

    def __init__(self, batches: BatchReader, rows: Positions, numbers: pa.Table, scratch: str | None) -> None:
        """Read the rows.

        Args:
            batches: Reads columns of all rows.
            rows: (n,) sorted rows that are needed.
            numbers: All rows of the scan: `width`, `height`, `jpeg_quality`, `jpeg_trace` and `fine_trace`.
            scratch: Folder on a local disk for the temporary file; the system's own if None.
        """
        self._ends = np.zeros((len(rows), 2 * len(_COLUMNS)), np.int64)
        wanted = pa.array(rows)
        values = {
            name: np.asarray(numbers[name].take(wanted).cast(pa.float64()).to_numpy(zero_copy_only=False), np.float64)
            for name in ("width", "height", *QUALITY_OF_JPEG, FINE_TRACE)
        }
        self._sizes = np.nan_to_num(np.stack([values["width"], values["height"]], axis=1)).astype(np.int64)
        self._coding = values[QUALITY_OF_JPEG[0]]
        self._quality = np.fmin(*(values[name] for name in QUALITY_OF_JPEG))
        self._trace = values[FINE_TRACE]
        with tempfile.TemporaryFile(dir=scratch, prefix=".tmp-") as file:
            self._fill(batches, rows, file)
            file.flush()
            length = file.tell()
            self._store: Any = mmap.mmap(file.fileno(), length, access=mmap.ACCESS_READ) if length else b""

    def __getitem__(self, position: int) -> CopyRow:
        """Return the row at a position of the needed rows."""
        frame, points, view = (self._store[low:high] or None for low, high in self._ends[position].reshape(-1, 2))
        width, height = self._sizes[position].tolist()
        qualities = (float(numbers[position]) for numbers in (self._quality, self._coding, self._trace))
        return CopyRow(frame, points, view, width, height, *qualities)

    def _fill(self, batches: BatchReader, rows: Positions, file: Any) -> None:
        start = 0
        for table in batches(_COLUMNS):
            low, high = np.searchsorted(rows, [start, start + table.num_rows])
            chosen = table.take(pa.array(rows[low:high] - start)).to_pylist()
            for position, row in enumerate(chosen, int(low)):
                ends = []
                for column in _COLUMNS:
                    ends.append(file.tell())
                    file.write(row[column] or b"")
                    ends.append(file.tell())
                self._ends[position] = ends
            start += table.num_rows


def _order(row: CopyRow) -> tuple[Any, ...]:
    return (
        row.view or b"",
        row.points or b"",
        row.width,
        row.height,
        np.nan_to_num(row.quality),
        np.nan_to_num(row.coding),
        np.nan_to_num(row.trace),
    )


def _placements(a: CopyRow, b: CopyRow, turned: bool) -> Iterator[Placement]:
    """Yield where b may lie relative to a, both without their plain borders."""
    first, second = (Signature.from_columns(row.frame, row.points, row.width, row.height) for row in (a, b))
    if first.frame and second.frame:
        orientations = near_orientations(first.frame, second.frame, turned)
        alike = [(frame_correlation(first.frame, second.frame, one), -one) for one in orientations]
        correlation, orientation = max(alike, default=(-1.0, 0))
        if correlation >= MIN_FRAME_CORRELATION:
            yield Placement(-orientation, (1.0, 1.0), (0.0, 0.0))
    aspects = first.aspect, second.aspect
    overlap = find_overlap(first.keypoints, second.keypoints, turned=turned, aspects=aspects)
    if overlap is not None and overlap.inliers >= SURE_INLIERS:
        yield Placement.of_overlap(overlap)


def _chosen(pairs: Positions, rank: Positions, groups: Positions) -> Positions:
    """Return the pairs that are judged: all but those of worse ranks in very large groups."""
    if not len(pairs):
        return pairs
    ranks = np.sort(rank[pairs], axis=1)
    label = groups[pairs[:, 0]]
    order = np.lexsort((ranks[:, 1], ranks[:, 0], label))
    starts = np.flatnonzero(np.r_[True, label[order][1:] != label[order][:-1]])
    sizes = np.diff(np.r_[starts, len(order)])
    within = np.arange(len(order)) - np.repeat(starts, sizes)
    return pairs[order[within < _MOST_PAIRS]]


def _tasks(pairs: Positions, rows: CopyRows, turned: bool) -> Iterator[JudgeTask]:
    for number, start in enumerate(range(0, len(pairs), _PAIRS_PER_TASK)):
        own = pairs[start : start + _PAIRS_PER_TASK].tolist()
        yield JudgeTask(number, tuple((rows[a], rows[b]) for a, b in own), turned)
