"""The rows that pass: removed images shown again, leaks, shared marks, copies and splits among them, in this order.

These rules compare rows with one another or with reference images, so they need all rows at once; but only rows that
nothing refuses, which are few. Memory holds some numbers of each, and reads signatures in batches.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from million_ird.config.rules import DuplicateRules
from million_ird.decide.gates import as_floats
from million_ird.decide.leaks import LeakMatch, ReferenceFingerprints, find_leaks
from million_ird.decide.refusals import PASSES, Codes, not_null, outcome_of
from million_ird.decide.shared_marks import find_shared_marks
from million_ird.decide.splits import assign_splits
from million_ird.dedup.clusters import best_with_same_label, choose_representatives, component_labels, rank_rows
from million_ird.dedup.enlarged import find_enlarged
from million_ird.dedup.preference import FINE_TRACE, Copies, standings
from million_ird.dedup.search import HashPairSearch, find_near_duplicates
from million_ird.dedup.search_keys import BatchReader, NearDuplicateRules, Positions
from million_ird.dedup.verification import PairVerifier, Relation
from million_ird.measures.header import equal_jpeg_quality
from million_ird.runtime.storage import disk_errors
from million_ird.schema import EXACT, LEAK, NEAR, PIXELS, REMOVED, SCENE, SHARED_MARK

QUALITY = ("jpeg_quality", "jpeg_trace", "webp_quality", "avif_quality", "niqe_ird")
"""Columns that decide which of two copies of the same size is better: compression first, then appearance."""
DETAIL = "octave_drop"
"""Column that shows, beside a smaller copy, that an image was enlarged."""
PASSING_NUMBERS = ("bytes", "width", "height", "camera", DETAIL, *QUALITY, FINE_TRACE)
"""Numbers that rank and compare copies."""
PASSING_TEXTS = ("key", "id", "pixels_id")
"""The name of a row, and the hashes that find exact copies."""
SETTLED = pa.schema(
    [
        pa.field("outcome", pa.int16(), nullable=False),
        pa.field("measured", pa.float64()),
        *(pa.field(name, pa.string()) for name in ("cluster", "duplicate_of", "leak_of", "split")),
    ]
)
"""What is decided of a row that passes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PassingRows:
    """The n rows that nothing refuses, in the order of the scan."""

    keys: pa.ChunkedArray
    """(n,) texts."""
    ids: Positions
    """(n,) label of each row's bytes; equal bytes have equal labels, and -1 is unknown and equals nothing."""
    pixels: Positions
    """(n,) label of each row's pixels, in the same way."""
    numbers: pa.Table
    """n rows of `PASSING_NUMBERS`."""
    read: BatchReader
    """Reads other columns of these rows, in batches."""


@dataclass(slots=True)
class _Settling:
    """The verdicts of all passing rows while they are decided; other rows are named by their positions."""

    codes: Codes
    measured: NDArray[np.float64]
    representative: Positions
    """Row that is kept instead of this copy, or the row itself if copies of it were dropped, else -1."""
    group: Positions
    """Smallest row of the group that is connected by copies and shared parts."""
    leak_of: dict[int, str] = field(default_factory=dict)

    @classmethod
    def of(cls, rows: int) -> "_Settling":
        return cls(np.zeros(rows, np.int16), np.full(rows, np.nan), np.full(rows, -1, np.int64), np.arange(rows))

    @property
    def undecided(self) -> NDArray[np.bool_]:
        """Which rows nothing has dropped yet."""
        undecided: NDArray[np.bool_] = self.codes == PASSES
        return undecided

    def drop(self, rows: NDArray[np.bool_], reason: str) -> None:
        """Drop those of the rows (a mask) that are undecided."""
        self.codes[rows & self.undecided] = outcome_of(reason)

    def drop_copies(self, rows: Positions, representatives: Positions, reason: str) -> None:
        """Drop the undecided rows whose representative is another row."""
        copies = rows != representatives
        self.codes[rows[copies]] = outcome_of(reason)
        self.representative[rows[copies]] = representatives[copies]
        self.representative[representatives[copies]] = representatives[copies]

    def drop_leaks(self, leaks: Sequence[LeakMatch], reason: str) -> None:
        """Drop rows that show an image of an evaluation set, and record which image."""
        self.drop(_mask(leaks, len(self.codes)), reason)
        for leak in leaks:
            self.measured[leak.row] = leak.match.correlation
            self.leak_of[leak.row] = leak.name


def settle(
    rows: PassingRows,
    duplicates: DuplicateRules,
    validation: float,
    references: ReferenceFingerprints,
    hash_search: HashPairSearch,
    *,
    drop_shared_marks: bool,
) -> pa.Table:
    """Return what is decided of each passing row: `SETTLED`, in the same order.

    Args:
        rows: The rows.
        duplicates: Which copies are dropped.
        validation: Share of the groups of kept images that is held out.
        references: Fingerprints of evaluation sets and of removed images.
        hash_search: Where hashes are searched.
        drop_shared_marks: Whether images with a mark that many images of their source have are dropped.
    """
    settling = _Settling.of(rows.numbers.num_rows)
    _drop_leaks(rows.read, references, settling)
    if drop_shared_marks:
        marked, clearness = find_shared_marks(rows.read, settling.undecided)
        settling.measured[marked] = clearness
        settling.codes[marked] = outcome_of(SHARED_MARK)
    _drop_duplicates(rows, duplicates, hash_search, settling)
    is_own = settling.representative == np.arange(len(settling.codes))
    leaks = np.full(len(settling.codes), -1, np.int64)
    leaks[[*settling.leak_of]] = np.arange(len(settling.leak_of))
    columns = {
        "outcome": pa.array(settling.codes),
        "measured": pa.array(settling.measured, from_pandas=True),
        "cluster": _taken(rows.keys, settling.representative),
        "duplicate_of": _taken(rows.keys, np.where(is_own, -1, settling.representative)),
        "leak_of": _taken(pa.array([*settling.leak_of.values()], pa.string()), leaks),
        "split": assign_splits(rows.keys, settling.group, settling.undecided, validation),
    }
    return pa.table(columns, schema=SETTLED)


def _drop_leaks(batches: BatchReader, references: ReferenceFingerprints, settling: _Settling) -> None:
    """Drop rows that show a removed image or leak one of an evaluation set.

    A row without a signature was removed before: a takedown erases signatures.
    """
    if references.removed is not None and references.removed.num_rows:
        bare = [~not_null(table["frame"]) for table in batches(["frame"])]
        settling.drop(np.concatenate([np.empty(0, bool), *bare]), REMOVED)
        similar = find_leaks(batches, settling.undecided, {REMOVED: references.removed})
        settling.drop(_mask(similar, len(settling.codes)), REMOVED)
    if references.benchmarks:
        settling.drop_leaks(find_leaks(batches, settling.undecided, references.benchmarks), LEAK)


def _mask(leaks: Sequence[LeakMatch], rows: int) -> NDArray[np.bool_]:
    mask = np.zeros(rows, bool)
    mask[[leak.row for leak in leaks]] = True
    return mask


def _drop_duplicates(
    passing: PassingRows, rules: DuplicateRules, hash_search: HashPairSearch, settling: _Settling
) -> None:
    rank = _quality_rank(passing.numbers)
    for labels, reason in ((passing.ids, EXACT), (passing.pixels, PIXELS)) if rules.exact else ():
        rows = np.flatnonzero(settling.undecided)
        best = best_with_same_label(labels[rows], rank[rows])
        settling.drop_copies(rows, rows[best], reason)
        settling.group[rows] = rows[best]
    if rules.radius is not None:
        near_rules = NearDuplicateRules(radius=rules.radius, turned=rules.turned, crops=rules.crops)
        thin = rules.near_scenes == "thin"
        with disk_errors(hash_search.scratch or tempfile.gettempdir()):
            _drop_near(passing, near_rules, rank, hash_search, settling, thin_scenes=thin)
    # If the representative of a copy was dropped for a better image, that better image becomes the representative.
    copies = settling.representative >= 0
    for _ in range(2):
        settling.representative[copies] = settling.representative[settling.representative[copies]]


def _drop_near(
    passing: PassingRows,
    rules: NearDuplicateRules,
    rank: Positions,
    hash_search: HashPairSearch,
    settling: _Settling,
    *,
    thin_scenes: bool,
) -> None:
    pairs, verifier = find_near_duplicates(passing.read, settling.undecided, rules, hash_search)
    rows = np.flatnonzero(settling.undecided)
    position = np.full(len(settling.codes), -1, np.int64)
    position[rows] = np.arange(len(rows))

    def is_copy(kept: int, candidate: int) -> bool:
        return _related(verifier, rows, kept, candidate, Relation.COPY)

    copies = position[pairs.copies]
    octave_drop = as_floats(passing.numbers[DETAIL])[rows]
    labels = component_labels(copies, len(rows))
    enlarged = find_enlarged(_pixels(passing.numbers)[rows], octave_drop, labels)
    ranks = rank_rows(-enlarged.astype(np.float64), -rank[rows].astype(np.float64))
    compared = Copies(copies, rows, passing.numbers)
    standing = standings(compared, ranks, labels, passing.read, turned=rules.turned, search=hash_search)
    ranks = rank_rows(standing, -ranks.astype(np.float64))
    best = choose_representatives(copies, ranks, is_copy)
    groups = component_labels(np.concatenate([position[pairs.copies], position[pairs.parts]]), len(rows))
    settling.group[rows] = rows[groups]
    settling.drop_copies(rows, rows[best], NEAR)
    if thin_scenes:
        _drop_scenes(best[position[pairs.scenes]], rows, ranks, verifier, settling)


def _drop_scenes(
    scenes: Positions, rows: Positions, ranks: Positions, verifier: PairVerifier, settling: _Settling
) -> None:
    """Keep the best of images that show nearly the same.

    Args:
        scenes: (m, 2) near scenes, positions in `rows`, of kept images.
        rows: (n,) rows that were compared.
        ranks: (n,) rank of each, 0 for the best.
        verifier: Compares those that are no pair of `scenes`.
        settling: The verdicts.
    """

    def is_scene(kept: int, candidate: int) -> bool:
        return _related(verifier, rows, kept, candidate, Relation.SCENE)

    pairs = scenes[scenes[:, 0] != scenes[:, 1]]
    best = choose_representatives(pairs, ranks, is_scene)
    thinned = np.flatnonzero((best != np.arange(len(rows))) & settling.undecided[rows])
    settling.drop_copies(rows[thinned], rows[best[thinned]], SCENE)


def _related(verifier: PairVerifier, rows: Positions, kept: int, candidate: int, relation: Relation) -> bool:
    match = verifier.compare(int(rows[kept]), int(rows[candidate]))
    return match is not None and match.relation is relation


def _quality_rank(numbers: pa.Table) -> Positions:
    """Rank rows, 0 for the best.

    In this order: most pixels, least compressed, most natural, named by a camera, most bytes, first in the scan.
    """
    values = {name: as_floats(numbers[name]) for name in ("bytes", "camera", *QUALITY)}
    jpeg = np.fmin(values["jpeg_quality"], values["jpeg_trace"])
    compression = np.fmin(jpeg, equal_jpeg_quality(values["webp_quality"], values["avif_quality"]))
    naturalness = np.asarray(np.round(np.nan_to_num(values["niqe_ird"], nan=99.0), 1), np.float64)
    return rank_rows(
        _pixels(numbers),
        np.nan_to_num(compression, nan=100.0),
        -naturalness,
        np.nan_to_num(values["camera"]),
        np.nan_to_num(values["bytes"]),
    )


def _pixels(numbers: pa.Table) -> NDArray[np.float64]:
    return np.nan_to_num(as_floats(numbers["width"]) * as_floats(numbers["height"]))


def _taken(texts: pa.ChunkedArray | pa.Array, positions: Positions) -> pa.ChunkedArray | pa.Array:
    return texts.take(pa.array(positions, mask=positions < 0))
