"""The decision: a verdict for every scanned row, from numbers only; no image is read.

The rules apply in this order, and the first that drops a row is recorded: bytes or pixels of a removed image; vanished;
failed; licence; gates, the cheap ones first; not measured (the row passes every gate, but an earlier recipe's stricter
gate stopped its measuring; the next scan completes it); similar to a removed image; leak of an evaluation set; a mark
that many images of its source have; same bytes; same pixels; near-duplicate. Those up to `not measured` are `refusals`,
the others are settled in `passing`.

`decide` has all rows in memory. A build decides as a stream, in `million_ird.decide.stream`, by the same functions.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from million_ird.config.recipe import Recipe
from million_ird.decide.leaks import ReferenceFingerprints
from million_ird.decide.passing import PASSING_NUMBERS, PASSING_TEXTS, PassingRows, settle
from million_ird.decide.refusals import PASSES, Codes, Outcomes, broken_limits, refusal_columns, refuse, texts_of
from million_ird.dedup.clusters import labels_of
from million_ird.dedup.search import HashPairSearch
from million_ird.dedup.search_keys import BatchReader, Positions
from million_ird.ledger import decided_schema


def needed_columns(recipe: Recipe) -> list[str]:
    """Return the scanned columns that `decide` reads for this recipe."""
    fixed = dict.fromkeys((*PASSING_TEXTS, *PASSING_NUMBERS))
    return [*(fixed | dict.fromkeys(refusal_columns(recipe, removed=True)))]


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
        recipe: Gates, licences, rules of marks and duplicates, and share of validation.
        vanished: Number of rows, the last ones, whose files are gone.
        batches: Reads the same rows in batches, also `frame` and `points`; `scanned` must have these if None.
        references: Fingerprints of evaluation sets and of removed images.
        hash_search: Where hashes are searched; in this process if None.

    Returns:
        A table of `ledger.decided_schema` with one row per scanned row, in the same order.
    """
    references = references or ReferenceFingerprints()
    gone = np.arange(scanned.num_rows) >= scanned.num_rows - vanished
    codes = refuse(scanned, recipe, references.removed, gone)
    passes = codes == PASSES
    positions = pa.array(np.flatnonzero(passes))
    own = scanned.select([*PASSING_TEXTS, *PASSING_NUMBERS]).take(positions)
    passing = PassingRows(
        keys=own["key"],
        ids=labels_of(own["id"]),
        pixels=labels_of(own["pixels_id"]),
        numbers=own.select(PASSING_NUMBERS),
        read=_passing_of(batches or _batches_of(scanned), passes),
    )
    settled = settle(
        passing,
        recipe.duplicates,
        recipe.validation,
        references,
        hash_search or HashPairSearch(),
        drop_shared_marks=recipe.shared_marks == "drop",
    )
    places = np.where(passes, np.cumsum(passes) - 1, -1)
    return verdict_columns(scanned, codes, gone, places, settled, Outcomes.of(recipe))


def verdict_columns(
    rows: pa.Table, codes: Codes, gone: NDArray[np.bool_], places: Positions, settled: pa.Table, outcomes: Outcomes
) -> pa.Table:
    """Return the verdict of each row in words: n rows of `ledger.decided_schema`.

    Args:
        rows: n scanned rows with the columns of the gates.
        codes: (n,) outcomes by `refuse`.
        gone: (n,) whether the file of a row is gone.
        places: (n,) position in `settled` of each row that passes, -1 for the others.
        settled: What is decided of rows that pass, of schema `SETTLED`.
        outcomes: Of the recipe.
    """
    passing = np.flatnonzero(places >= 0)
    codes = codes.copy()
    own = settled.take(pa.array(places[passing]))
    codes[passing] = own["outcome"].to_numpy()
    measured, limits = broken_limits(rows, codes, outcomes)
    measured[passing] = own["measured"].to_numpy()
    back = np.full(len(codes), -1, np.int64)
    back[passing] = np.arange(len(passing))
    indices = pa.array(back, mask=back < 0)
    columns = {
        "verdict": texts_of(codes, outcomes.verdicts),
        "reason": texts_of(codes, outcomes.reasons),
        "measured": pa.array(measured, from_pandas=True),
        "limit": pa.array(limits, from_pandas=True),
        **{name: own[name].take(indices) for name in ("cluster", "duplicate_of", "leak_of", "split")},
        "vanished": pa.array(gone),
    }
    return pa.table(columns, schema=decided_schema())


def _batches_of(scanned: pa.Table) -> BatchReader:
    def batches(names: Sequence[str]) -> Iterator[pa.Table]:
        yield scanned.select(list(names))

    return batches


def _passing_of(batches: BatchReader, passes: NDArray[np.bool_]) -> BatchReader:
    """Return a reader of the passing rows alone."""

    def passing(names: Sequence[str]) -> Iterator[pa.Table]:
        start = 0
        for table in batches(names):
            yield table.filter(pa.array(passes[start : start + table.num_rows]))
            start += table.num_rows

    return passing
