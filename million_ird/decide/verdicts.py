"""Decide: a verdict for every scanned row. Reads numbers only, never a picture.

The order of the rules: has the bytes or pixels of a picture that was taken down → vanished → failed → licence → gates
in the order of their cost → not measured (it passes every gate, but its later tiers were never measured because a
stricter gate stood there; the next scan measures it) → near what was taken down → shows a benchmark's picture → same
bytes → same pixels → near duplicate. The first that applies is recorded.
"""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from million_ird.config.gates import as_floats
from million_ird.config.recipe import Recipe
from million_ird.decide.gate_order import gate_tier, in_cost_order
from million_ird.decide.leaks import Leak, find_leaks
from million_ird.decide.splits import splits
from million_ird.dedup.clusters import components, ranked, settle
from million_ird.dedup.exact import best_of_same
from million_ird.dedup.search import Batches, Confirmer, Index, Search, candidates, confirmed, read_marks
from million_ird.dedup.verification import Relation
from million_ird.ledger import (
    DROPPED,
    EXACT,
    FAILED,
    KEPT,
    LEAK,
    LICENCE,
    NEAR,
    NOT_MEASURED,
    PIXELS,
    REMOVED,
    VANISHED,
    decided_schema,
)
from million_ird.runtime.storage import disk_errors

VERDICTS = (KEPT, DROPPED, FAILED)
QUALITY = ("jpeg_quality", "jpeg_trace", "niqe_ird")
"""Numbers by which the better of two copies of one size is told: how hard it was compressed, then how it looks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Against:
    """What candidates are held against beside each other: fingerprints by name."""

    benchmarks: Mapping[str, pa.Table] = field(default_factory=dict)
    removed: pa.Table | None = None
    """Of pictures that were taken down."""


@dataclass(slots=True)
class _Columns:
    """The columns that deciding fills, as compact arrays over all rows: texts are codes, other rows positions."""

    open: NDArray[np.bool_]
    verdict: NDArray[np.int8]
    reason: NDArray[np.int16]
    measured: NDArray[np.float64]
    limit: NDArray[np.float64]
    kept_copy: NDArray[np.int64]
    """Position of the picture that stays where this is a copy of it, its own where copies of it fell; else -1."""
    kin: NDArray[np.int64]
    """The least position that copies and shared parts connect a row with."""
    leak_of: dict[int, str] = field(default_factory=dict)
    reasons: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, rows: int) -> "_Columns":
        return cls(
            open=np.ones(rows, bool),
            verdict=np.full(rows, VERDICTS.index(KEPT), np.int8),
            reason=np.full(rows, -1, np.int16),
            measured=np.full(rows, np.nan),
            limit=np.full(rows, np.nan),
            kept_copy=np.full(rows, -1, np.int64),
            kin=np.arange(rows),
        )

    def close(self, rows: NDArray[np.bool_], verdict: str, reason: str | None) -> NDArray[np.bool_]:
        """Settles those of `rows` that are still open; returns which they were."""
        settled = rows & self.open
        self.verdict[settled] = VERDICTS.index(verdict)
        if reason is not None:
            self.reason[settled] = self._code(reason)
        self.open &= ~settled
        return settled

    def drop_copies(self, at: NDArray[np.int64], kept: NDArray[np.int64], reason: str) -> None:
        """Drops the rows `at` whose `kept` is another row."""
        copies = at != kept
        mask = np.zeros(len(self.open), bool)
        mask[at[copies]] = True
        self.close(mask, DROPPED, reason)
        self.kept_copy[at[copies]] = kept[copies]
        self.kept_copy[kept[copies]] = kept[copies]

    def drop_leaks(self, leaks: Sequence[Leak], reason: str) -> None:
        """Drops rows that show a picture that they must not show."""
        self.close(_mask(leaks, len(self.open)), DROPPED, reason)
        for leak in leaks:
            self.measured[leak.row] = leak.match.likeness
            self.leak_of[leak.row] = leak.name

    def _code(self, reason: str) -> int:
        if reason not in self.reasons:
            self.reasons.append(reason)
        return self.reasons.index(reason)


def needed_columns(recipe: Recipe) -> list[str]:
    """The scanned columns that deciding reads."""
    fixed = ["key", "phash", "failure_class", "id", "pixels_id", "bytes", "width", "height", *QUALITY]
    if any(gate.required for gate in recipe.gates):
        fixed.append("tier")
    if recipe.licences.rule_something:
        fixed.append("licence")
    return fixed + sorted({gate.field for gate in recipe.gates} - set(fixed))


def decide(
    scanned: pa.Table,
    recipe: Recipe,
    vanished: int = 0,
    *,
    batches: Batches | None = None,
    against: Against | None = None,
    index: Index | None = None,
) -> pa.Table:
    """A verdict for every scanned row.

    Args:
        scanned: at least the columns `needed_columns` of rows of `ledger.scanned_schema`.
        recipe: its gates and duplicate rules decide.
        vanished: how many rows at the end are of files that are gone.
        batches: the same rows again, with `frame` and `points`, some at a time; where there are none, `scanned` is.
        against: benchmarks and pictures taken down.
        index: how hashes are searched.

    Returns:
        A table of `ledger.decided_schema`, a row for each row in the same order.
    """
    columns = _Columns.of(scanned.num_rows)
    gone = np.arange(scanned.num_rows) >= scanned.num_rows - vanished
    columns.close(_refused(scanned, against), DROPPED, REMOVED)
    columns.close(gone, DROPPED, VANISHED)
    columns.close(_not_null(scanned["failure_class"]), FAILED, None)
    if recipe.licences.rule_something:
        licences = scanned["licence"].to_pylist()
        refused = np.fromiter((recipe.licences.refuse_one(one) for one in licences), bool, len(licences))
        columns.close(refused, DROPPED, LICENCE)
    for gate in in_cost_order(recipe.gates, recipe.columns):
        values = as_floats(scanned[gate.field])
        failing, limits = gate.failures(scanned[gate.field])
        if gate.required:  # a null of a tier that was never reached says nothing
            failing &= as_floats(scanned["tier"]) >= gate_tier(gate, recipe.columns)
        settled = columns.close(failing, DROPPED, gate.called)
        columns.measured[settled], columns.limit[settled] = values[settled], limits[settled]
    columns.close(~_not_null(scanned["phash"]), DROPPED, NOT_MEASURED)
    again = batches or _batches_of(scanned)
    _drop_leaks(again, against or Against(), columns)
    _drop_duplicates(scanned, recipe, again, index or Index(), columns)
    return _assemble(scanned["key"], columns, gone, recipe.validation)


def _refused(scanned: pa.Table, against: Against | None) -> NDArray[np.bool_]:
    """The rows that have the bytes or pixels of a picture that was taken down, and those whose bytes were erased."""
    refused = _is(scanned["failure_class"], REMOVED)
    if against is not None and against.removed is not None:
        for column in ("id", "pixels_id"):
            refused |= _flags(pc.is_in(scanned[column], value_set=against.removed[column], skip_nulls=True))
    return refused


def _is(column: pa.ChunkedArray, text: str) -> NDArray[np.bool_]:
    return _flags(pc.fill_null(pc.equal(column, text), False))


def _flags(column: pa.ChunkedArray) -> NDArray[np.bool_]:
    return np.asarray(column.to_numpy(zero_copy_only=False), bool)


def _batches_of(scanned: pa.Table) -> Batches:
    def batches(names: Sequence[str]) -> Iterator[pa.Table]:
        yield scanned.select(list(names))

    return batches


def _drop_leaks(batches: Batches, against: Against, columns: _Columns) -> None:
    """A row that lost its signature was removed before, and is known by that; nothing more is recorded of it."""
    if against.removed is not None and against.removed.num_rows:
        bare = [_not_null(table["phash"]) & ~_not_null(table["frame"]) for table in batches(["phash", "frame"])]
        columns.close(np.concatenate([np.empty(0, bool), *bare]), DROPPED, REMOVED)
        found = find_leaks(batches, columns.open, {REMOVED: against.removed})
        columns.close(_mask(found, len(columns.open)), DROPPED, REMOVED)
    if against.benchmarks:
        columns.drop_leaks(find_leaks(batches, columns.open, against.benchmarks), LEAK)


def _mask(leaks: Sequence[Leak], rows: int) -> NDArray[np.bool_]:
    mask = np.zeros(rows, bool)
    mask[[leak.row for leak in leaks]] = True
    return mask


def _drop_duplicates(scanned: pa.Table, recipe: Recipe, batches: Batches, index: Index, columns: _Columns) -> None:
    wanted = recipe.duplicates
    rank = _rank(scanned)
    for column, reason in (("id", EXACT), ("pixels_id", PIXELS)) if wanted.exact else ():
        at = np.flatnonzero(columns.open)
        best = best_of_same(scanned[column].take(pa.array(at)).combine_chunks(), _ranks_among(rank, at))
        columns.drop_copies(at, at[best], reason)
        columns.kin[at] = at[best]
    if wanted.radius is not None:
        search = Search(radius=wanted.radius, turned=wanted.turned, crops=wanted.crops)
        with disk_errors(index.scratch or tempfile.gettempdir()):
            _drop_near(batches, search, rank, index, columns)
    # A copy of a picture that then fell to a better one is a copy of that better one.
    copies = columns.kept_copy >= 0
    for _ in range(2):
        columns.kept_copy[copies] = columns.kept_copy[columns.kept_copy[copies]]


def _drop_near(batches: Batches, search: Search, rank: NDArray[np.int64], index: Index, columns: _Columns) -> None:
    marks = read_marks(batches, columns.open)
    pairs = candidates(marks, search, index)
    involved = np.unique(marks.rows[np.concatenate(pairs).ravel()])
    confirmer = Confirmer(batches, involved, search, index.scratch)
    found = confirmed(marks, pairs, confirmer, search)
    at = np.flatnonzero(columns.open)
    place = np.full(len(columns.open), -1, np.int64)
    place[at] = np.arange(len(at))

    def is_copy(stays: int, falls: int) -> bool:
        match = confirmer.compare(int(at[stays]), int(at[falls]))
        return match is not None and match.relation is Relation.COPY

    best = settle(place[found.copies], _ranks_among(rank, at), is_copy)
    related = components(np.concatenate([place[found.copies], place[found.parts]]), len(at))
    columns.kin[at] = at[related]
    columns.drop_copies(at, at[best], NEAR)


def _rank(scanned: pa.Table) -> NDArray[np.int64]:
    """Places from the best picture to the worst: most pixels, least compressed, most natural, most bytes, earliest."""
    numbers = {name: as_floats(scanned[name]) for name in ("width", "height", "bytes", *QUALITY)}
    saved = np.fmin(numbers["jpeg_quality"], numbers["jpeg_trace"])
    looks = np.asarray(np.round(np.nan_to_num(numbers["niqe_ird"], nan=99.0), 1), np.float64)
    pixels = np.nan_to_num(numbers["width"] * numbers["height"])
    return ranked(pixels, np.nan_to_num(saved, nan=100.0), -looks, np.nan_to_num(numbers["bytes"]))


def _ranks_among(rank: NDArray[np.int64], at: NDArray[np.int64]) -> NDArray[np.int64]:
    """The places of the rows `at` among themselves."""
    places = np.empty(len(at), np.int64)
    places[np.argsort(rank[at])] = np.arange(len(at))
    return places


def _assemble(keys: pa.ChunkedArray, columns: _Columns, gone: NDArray[np.bool_], validation: float) -> pa.Table:
    itself = columns.kept_copy == np.arange(len(gone))
    arrays = {
        "verdict": _texts(columns.verdict, VERDICTS),
        "reason": _texts(columns.reason, columns.reasons),
        "measured": pa.array(columns.measured, from_pandas=True),
        "limit": pa.array(columns.limit, from_pandas=True),
        "cluster": _taken(keys, columns.kept_copy),
        "duplicate_of": _taken(keys, np.where(itself, -1, columns.kept_copy)),
        "leak_of": pa.array([columns.leak_of.get(i) for i in range(len(gone))], pa.string()),
        "split": splits(keys, columns.kin, columns.verdict == VERDICTS.index(KEPT), validation),
        "vanished": pa.array(gone),
    }
    return pa.table(arrays, schema=decided_schema())


def _texts(codes: NDArray[np.int8] | NDArray[np.int16], texts: Sequence[str]) -> pa.Array:
    return pa.array(texts, pa.string()).take(pa.array(codes, mask=codes < 0))


def _taken(keys: pa.ChunkedArray, positions: NDArray[np.int64]) -> pa.ChunkedArray:
    return keys.take(pa.array(positions, mask=positions < 0))


def _not_null(column: pa.ChunkedArray) -> NDArray[np.bool_]:
    return _flags(pc.is_valid(column))
