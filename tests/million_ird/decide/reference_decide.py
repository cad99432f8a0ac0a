"""The decision as it was before it became a stream: the reference that the stream is compared with.

The rules apply in this order, and the first that drops a row is recorded: bytes or pixels of a removed image; vanished;
failed; licence; gates, the cheap ones first; not measured (the row passes every gate, but an earlier recipe's stricter
gate stopped its measuring; the next scan completes it); similar to a removed image; leak of an evaluation set; same
bytes; same pixels; near-duplicate.
"""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from million_ird.config.recipe import Recipe
from million_ird.config.rules import DuplicateRules
from million_ird.decide.gate_order import in_cost_order
from million_ird.decide.gates import as_floats, failures
from million_ird.decide.leaks import LeakMatch, ReferenceFingerprints, find_leaks
from million_ird.decide.splits import assign_splits
from million_ird.dedup.clusters import choose_representatives, component_labels, rank_rows
from million_ird.dedup.enlarged import find_enlarged
from million_ird.dedup.preference import Copies, standings
from million_ird.dedup.search import HashPairSearch, find_near_duplicates
from million_ird.dedup.search_keys import BatchReader, NearDuplicateRules
from million_ird.dedup.verification import Relation
from million_ird.ledger import decided_schema
from million_ird.measures.header import equal_jpeg_quality
from million_ird.runtime.storage import disk_errors
from million_ird.schema import (
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
)

VERDICTS = (KEPT, DROPPED, FAILED)
QUALITY = ("jpeg_quality", "jpeg_trace", "webp_quality", "avif_quality", "niqe_ird")
"""Columns that decide which of two copies of the same size is better: compression first, then appearance."""

DETAIL = "octave_drop"
"""Column that shows, beside a smaller copy, that an image was enlarged."""


@dataclass(slots=True)
class _Verdicts:
    """The verdict columns of all rows while they are decided; texts are codes, and other rows are row numbers."""

    undecided: NDArray[np.bool_]
    verdict: NDArray[np.int8]
    reason: NDArray[np.int16]
    measured: NDArray[np.float64]
    limit: NDArray[np.float64]
    representative: NDArray[np.int64]
    """Row that is kept instead of this copy, or the row itself if copies of it were dropped, else -1."""
    group: NDArray[np.int64]
    """Smallest row of the group that is connected by copies and shared parts."""
    leak_of: dict[int, str] = field(default_factory=dict)
    reasons: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, rows: int) -> "_Verdicts":
        return cls(
            undecided=np.ones(rows, bool),
            verdict=np.full(rows, VERDICTS.index(KEPT), np.int8),
            reason=np.full(rows, -1, np.int16),
            measured=np.full(rows, np.nan),
            limit=np.full(rows, np.nan),
            representative=np.full(rows, -1, np.int64),
            group=np.arange(rows),
        )

    def decide(self, rows: NDArray[np.bool_], verdict: str, reason: str | None) -> NDArray[np.bool_]:
        """Decide those of `rows` (a mask) that are undecided; return the mask of these."""
        decided = rows & self.undecided
        self.verdict[decided] = VERDICTS.index(verdict)
        if reason is not None:
            self.reason[decided] = self._code(reason)
        self.undecided &= ~decided
        return decided

    def drop_copies(self, rows: NDArray[np.int64], representatives: NDArray[np.int64], reason: str) -> None:
        """Drop the row numbers `rows` whose representative is another row."""
        copies = rows != representatives
        mask = np.zeros(len(self.undecided), bool)
        mask[rows[copies]] = True
        self.decide(mask, DROPPED, reason)
        self.representative[rows[copies]] = representatives[copies]
        self.representative[representatives[copies]] = representatives[copies]

    def drop_leaks(self, leaks: Sequence[LeakMatch], reason: str) -> None:
        """Drop rows that show an image of an evaluation set, and record which image."""
        self.decide(_mask(leaks, len(self.undecided)), DROPPED, reason)
        for leak in leaks:
            self.measured[leak.row] = leak.match.correlation
            self.leak_of[leak.row] = leak.name

    def _code(self, reason: str) -> int:
        if reason not in self.reasons:
            self.reasons.append(reason)
        return self.reasons.index(reason)


def needed_columns(recipe: Recipe) -> list[str]:
    """Return the scanned columns that `decide` reads for this recipe."""
    fixed = [
        "key",
        "phash",
        "failure_class",
        "id",
        "pixels_id",
        "bytes",
        "width",
        "height",
        "camera",
        DETAIL,
        *QUALITY,
        "fine_trace",
    ]
    if any(gate.required for gate in recipe.gates):
        fixed.append("tier")
    if recipe.licences.is_active:
        fixed.append("licence")
    return fixed + sorted({gate.field for gate in recipe.gates} - set(fixed))


def decide(
    scanned: pa.Table,
    recipe: Recipe,
    vanished: int = 0,
    *,
    batches: BatchReader | None = None,
    references: ReferenceFingerprints | None = None,
    hash_search: HashPairSearch | None = None,
) -> pa.Table:
    """Return a verdict for every scanned row.

    Args:
        scanned: Scanned rows with at least the columns `needed_columns`.
        recipe: Gates, licences, rules of duplicates and share of validation.
        vanished: Number of rows, the last ones, whose files are gone.
        batches: Reads the same rows in batches, also `frame` and `points`; `scanned` must have these if None.
        references: Fingerprints of evaluation sets and of removed images.
        hash_search: Where hashes are searched; in this process if None.

    Returns:
        A table of `ledger.decided_schema` with one row per scanned row, in the same order.
    """
    columns = _Verdicts.of(scanned.num_rows)
    gone = np.arange(scanned.num_rows) >= scanned.num_rows - vanished
    columns.decide(_is_removed(scanned, references), DROPPED, REMOVED)
    columns.decide(gone, DROPPED, VANISHED)
    columns.decide(_not_null(scanned["failure_class"]), FAILED, None)
    if recipe.licences.is_active:
        licences = scanned["licence"].to_pylist()
        refused = np.fromiter((recipe.licences.refuses(licence) for licence in licences), bool, len(licences))
        columns.decide(refused, DROPPED, LICENCE)
    for gate in in_cost_order(recipe.gates, recipe.tiers):
        values = as_floats(scanned[gate.field])
        failing, limits = failures(gate, scanned[gate.field])
        if gate.required:  # a null in a tier that was never measured does not count
            failing &= as_floats(scanned["tier"]) >= recipe.tiers[gate.field]
        dropped = columns.decide(failing, DROPPED, gate.drop_reason)
        columns.measured[dropped], columns.limit[dropped] = values[dropped], limits[dropped]
    columns.decide(~_not_null(scanned["phash"]), DROPPED, NOT_MEASURED)
    reader = batches or _batches_of(scanned)
    _drop_leaks(reader, references or ReferenceFingerprints(), columns)
    _drop_duplicates(scanned, recipe.duplicates, reader, hash_search or HashPairSearch(), columns)
    return _assemble(scanned["key"], columns, gone, recipe.validation)


def _is_removed(scanned: pa.Table, references: ReferenceFingerprints | None) -> NDArray[np.bool_]:
    """Return the mask of rows with the bytes or pixels of a removed image, and of rows whose bytes were erased."""
    removed = _is(scanned["failure_class"], REMOVED)
    if references is not None and references.removed is not None:
        for column in ("id", "pixels_id"):
            removed |= _flags(pc.is_in(scanned[column], value_set=references.removed[column], skip_nulls=True))
    return removed


def _is(column: pa.ChunkedArray, text: str) -> NDArray[np.bool_]:
    return _flags(pc.fill_null(pc.equal(column, text), False))


def _flags(column: pa.ChunkedArray) -> NDArray[np.bool_]:
    return np.asarray(column.to_numpy(zero_copy_only=False), bool)


def _batches_of(scanned: pa.Table) -> BatchReader:
    def batches(names: Sequence[str]) -> Iterator[pa.Table]:
        yield scanned.select(list(names))

    return batches


def _drop_leaks(batches: BatchReader, references: ReferenceFingerprints, columns: _Verdicts) -> None:
    """Drop rows that show a removed image or leak one of an evaluation set.

    A row without a signature was removed before: a takedown erases signatures.
    """
    if references.removed is not None and references.removed.num_rows:
        bare = [_not_null(table["phash"]) & ~_not_null(table["frame"]) for table in batches(["phash", "frame"])]
        columns.decide(np.concatenate([np.empty(0, bool), *bare]), DROPPED, REMOVED)
        similar = find_leaks(batches, columns.undecided, {REMOVED: references.removed})
        columns.decide(_mask(similar, len(columns.undecided)), DROPPED, REMOVED)
    if references.benchmarks:
        columns.drop_leaks(find_leaks(batches, columns.undecided, references.benchmarks), LEAK)


def best_with_same_value(values: pa.Array, rank: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return for each position the best position with the same value, which may be itself: (n,) int64.

    Args:
        values: Texts, such as hashes of files. A null equals nothing, not even another null.
        rank: (n,) rank of each position, 0 for the best.
    """
    codes = pa.array(values, pa.string()).dictionary_encode().indices
    count = len(rank)
    labels = codes.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    labels = np.where(labels < 0, count + np.arange(count), labels)
    order = np.lexsort((rank, labels))
    starts = np.flatnonzero(np.r_[True, labels[order][1:] != labels[order][:-1]]) if count else np.empty(0, np.int64)
    best = np.empty(count, np.int64)
    best[order] = np.repeat(order[starts], np.diff(np.r_[starts, count]))
    return best


def _mask(leaks: Sequence[LeakMatch], rows: int) -> NDArray[np.bool_]:
    mask = np.zeros(rows, bool)
    mask[[leak.row for leak in leaks]] = True
    return mask


def _drop_duplicates(
    scanned: pa.Table, rules: DuplicateRules, batches: BatchReader, hash_search: HashPairSearch, columns: _Verdicts
) -> None:
    rank = _quality_rank(scanned)
    for column, reason in (("id", EXACT), ("pixels_id", PIXELS)) if rules.exact else ():
        rows = np.flatnonzero(columns.undecided)
        best = best_with_same_value(scanned[column].take(pa.array(rows)).combine_chunks(), _ranks_among(rank, rows))
        columns.drop_copies(rows, rows[best], reason)
        columns.group[rows] = rows[best]
    if rules.radius is not None:
        near_rules = NearDuplicateRules(radius=rules.radius, turned=rules.turned, crops=rules.crops)
        with disk_errors(hash_search.scratch or tempfile.gettempdir()):
            _drop_near(scanned, batches, near_rules, rank, hash_search, columns)
    # If the representative of a copy was dropped for a better image, that better image becomes the representative.
    copies = columns.representative >= 0
    for _ in range(2):
        columns.representative[copies] = columns.representative[columns.representative[copies]]


def _drop_near(
    scanned: pa.Table,
    batches: BatchReader,
    rules: NearDuplicateRules,
    rank: NDArray[np.int64],
    hash_search: HashPairSearch,
    columns: _Verdicts,
) -> None:
    pairs, verifier = find_near_duplicates(batches, columns.undecided, rules, hash_search)
    rows = np.flatnonzero(columns.undecided)
    position = np.full(len(columns.undecided), -1, np.int64)
    position[rows] = np.arange(len(rows))

    def is_copy(kept: int, candidate: int) -> bool:
        match = verifier.compare(int(rows[kept]), int(rows[candidate]))
        return match is not None and match.relation is Relation.COPY

    copies = position[pairs.copies]
    labels = component_labels(copies, len(rows))
    enlarged = find_enlarged(_pixels(scanned)[rows], _octave_drop(scanned)[rows], labels)
    ranks = rank_rows(-enlarged.astype(np.float64), -rank[rows].astype(np.float64))
    compared = Copies(copies, rows, scanned)
    standing = standings(compared, ranks, labels, batches, turned=rules.turned, search=hash_search)
    ranks = rank_rows(standing, -ranks.astype(np.float64))
    best = choose_representatives(copies, ranks, is_copy)
    groups = component_labels(np.concatenate([position[pairs.copies], position[pairs.parts]]), len(rows))
    columns.group[rows] = rows[groups]
    columns.drop_copies(rows, rows[best], NEAR)


def _quality_rank(scanned: pa.Table) -> NDArray[np.int64]:
    """Rank rows, 0 for the best.

    In this order: most pixels, least compressed, most natural, named by a camera, most bytes, first in the scan.
    """
    numbers = {name: as_floats(scanned[name]) for name in ("bytes", "camera", *QUALITY)}
    jpeg = np.fmin(numbers["jpeg_quality"], numbers["jpeg_trace"])
    compression = np.fmin(jpeg, equal_jpeg_quality(numbers["webp_quality"], numbers["avif_quality"]))
    naturalness = np.asarray(np.round(np.nan_to_num(numbers["niqe_ird"], nan=99.0), 1), np.float64)
    return rank_rows(
        _pixels(scanned),
        np.nan_to_num(compression, nan=100.0),
        -naturalness,
        np.nan_to_num(numbers["camera"]),
        np.nan_to_num(numbers["bytes"]),
    )


def _pixels(scanned: pa.Table) -> NDArray[np.float64]:
    return np.nan_to_num(as_floats(scanned["width"]) * as_floats(scanned["height"]))


def _octave_drop(scanned: pa.Table) -> NDArray[np.float64]:
    return as_floats(scanned[DETAIL])


def _ranks_among(rank: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the ranks of the row numbers `rows` among themselves."""
    ranks = np.empty(len(rows), np.int64)
    ranks[np.argsort(rank[rows])] = np.arange(len(rows))
    return ranks


def _assemble(keys: pa.ChunkedArray, columns: _Verdicts, gone: NDArray[np.bool_], validation: float) -> pa.Table:
    is_own = columns.representative == np.arange(len(gone))
    arrays = {
        "verdict": _texts(columns.verdict, VERDICTS),
        "reason": _texts(columns.reason, columns.reasons),
        "measured": pa.array(columns.measured, from_pandas=True),
        "limit": pa.array(columns.limit, from_pandas=True),
        "cluster": _taken(keys, columns.representative),
        "duplicate_of": _taken(keys, np.where(is_own, -1, columns.representative)),
        "leak_of": pa.array([columns.leak_of.get(i) for i in range(len(gone))], pa.string()),
        "split": assign_splits(keys, columns.group, columns.verdict == VERDICTS.index(KEPT), validation),
        "vanished": pa.array(gone),
    }
    return pa.table(arrays, schema=decided_schema())


def _texts(codes: NDArray[np.int8] | NDArray[np.int16], texts: Sequence[str]) -> pa.Array:
    return pa.array(texts, pa.string()).take(pa.array(codes, mask=codes < 0))


def _taken(keys: pa.ChunkedArray, positions: NDArray[np.int64]) -> pa.ChunkedArray:
    return keys.take(pa.array(positions, mask=positions < 0))


def _not_null(column: pa.ChunkedArray) -> NDArray[np.bool_]:
    return _flags(pc.is_valid(column))
