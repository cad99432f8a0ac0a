"""Verification of a ledger as a stream: its counts, its keys, its verdicts, and its rows against those of the scan.

Nothing of a row that the gates refuse stays in memory but the two bytes of its outcome, which are in a temporary file
where there are many; keys are compared bucket by bucket in temporary files. Of rows that pass, memory holds what
deciding holds. The temporary files are the system's own, since a verification writes nothing into a dataset.
"""

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from million_ird import ledger as ledgers
from million_ird.config.recipe import Recipe
from million_ird.decide.passing import PASSING_NUMBERS, PassingRows, settle
from million_ird.decide.refusals import PASSES, Codes, Outcomes, refusal_columns, refuse
from million_ird.decide.verdicts import needed_columns, verdict_columns
from million_ird.dedup import spilled
from million_ird.dedup.hash_buckets import labels_of_many, repeated_texts
from million_ird.dedup.search import HashPairSearch
from million_ird.errors import LedgerError
from million_ird.fingerprints import load_reference_fingerprints
from million_ird.ledger_stream import LedgerStream, count_verdicts
from million_ird.runtime.executor import Executor
from million_ird.runtime.storage import Folder
from million_ird.scan.scan_table import ScanTable, from_scan, without_signatures


def ledger_faults(folder: Folder, recipe: Recipe, executor: Executor, at_most: int) -> Iterator[str]:
    """Yield what is wrong with the ledger of a build; of keys that appear more than once, `at_most` are listed.

    Raises:
        DamagedFile: The ledger, the scan or a list of fingerprints cannot be read.
    """
    ledger = LedgerStream.of_build(folder)
    try:
        count_verdicts(ledger)
    except LedgerError as error:
        yield f"ledger: {error}"
    keys = (chunk for table in ledger.batches(["key"]) for chunk in table["key"].chunks)
    for key, count in itertools.islice(repeated_texts(keys, ledger.num_rows), at_most):
        yield f"ledger: key {key} appears {count} times"
    missing = set(needed_columns(recipe)) - set(ledger.column_names)
    if missing:
        yield f"ledger: has no {', '.join(sorted(missing))}, which the recipe needs"
        return
    if not _Decided(folder, ledger, recipe).has_same_verdicts(executor):
        yield "ledger: the recipe and the numbers give other verdicts"
    rows = from_scan(folder)
    if rows is not None and not _same_rows(rows, ledger, recipe):
        yield "ledger: its rows differ from the scanned rows"


_BLOCK = 1 << 20
"""Outcomes that are counted at once."""


class _Decided:
    """The rows of a ledger, decided again."""

    def __init__(self, folder: Folder, ledger: LedgerStream, recipe: Recipe) -> None:
        self._ledger, self._recipe = ledger, recipe
        self._references = load_reference_fingerprints(folder)
        gone = (int(pc.sum(table["vanished"]).as_py() or 0) for table in ledger.batches(["vanished"]))
        self._gone = np.arange(ledger.num_rows) >= ledger.num_rows - sum(gone)
        self._codes: Codes = spilled.empty((ledger.num_rows,), np.int16, None)

    def has_same_verdicts(self, executor: Executor) -> bool:
        """Return whether the verdicts of the ledger are those that the recipe gives."""
        self._refuse()
        settled = settle(
            self._passing_rows(),
            self._recipe.duplicates,
            self._recipe.validation,
            self._references,
            HashPairSearch(run=executor.run),
            drop_shared_marks=self._recipe.shared_marks == "drop",
        )
        return self._compare(settled.combine_chunks())

    def _refuse(self) -> None:
        removed = self._references.removed
        start = 0
        for table in self._ledger.batches(refusal_columns(self._recipe, removed=removed is not None)):
            own = slice(start, start + table.num_rows)
            self._codes[own] = refuse(table, self._recipe, removed, self._gone[own])
            start += table.num_rows

    def _passing_rows(self) -> PassingRows:
        count = sum(int((self._codes[i : i + _BLOCK] == PASSES).sum()) for i in range(0, len(self._codes), _BLOCK))
        schema = self._ledger.schema
        keys = [chunk for table in self._passing(["key"]) for chunk in table["key"].chunks]
        numbers = pa.schema([schema.field(name) for name in PASSING_NUMBERS])
        return PassingRows(
            keys=pa.chunked_array(keys, pa.string()),
            ids=labels_of_many(self._chunks("id"), count, None),
            pixels=labels_of_many(self._chunks("pixels_id"), count, None),
            numbers=pa.concat_tables(
                [numbers.empty_table(), *(table.cast(numbers) for table in self._passing(PASSING_NUMBERS))]
            ),
            read=self._passing,
        )

    def _passing(self, names: Sequence[str]) -> Iterator[pa.Table]:
        """Yield columns of the rows that pass, in batches."""
        start = 0
        for table in self._ledger.batches(names):
            yield table.filter(pa.array(self._codes[start : start + table.num_rows] == PASSES))
            start += table.num_rows

    def _chunks(self, name: str) -> Iterator[pa.Array]:
        for table in self._passing([name]):
            yield from table[name].chunks

    def _compare(self, settled: pa.Table) -> bool:
        names = ledgers.decided_schema().names
        outcomes = Outcomes.of(self._recipe)
        start = passed = 0
        for table in self._ledger.batches([*needed_columns(self._recipe), *names]):
            own = slice(start, start + table.num_rows)
            codes = self._codes[own]
            passes = codes == PASSES
            places = np.where(passes, passed + np.cumsum(passes) - 1, -1)
            again = verdict_columns(table, codes, self._gone[own], places, settled, outcomes)
            if not again.equals(table.select(names)):
                return False
            start, passed = start + table.num_rows, passed + int(passes.sum())
        return True


def _same_rows(scan: ScanTable, ledger: LedgerStream, recipe: Recipe) -> bool:
    """Return whether a scan, as it may be published, and a ledger have the same rows, but for what was removed."""
    if scan.measures != ledgers.check_version(ledger.schema, ledgers.FOLDER):
        return False
    measured = ledgers.measured_schema(scan.measures)
    others = ledger.batches([*measured.names, "reason"])
    unread = pa.schema([ledger.schema.field(name) for name in (*measured.names, "reason")]).empty_table()
    for table in scan.published(recipe.uri_parameters):
        while unread.num_rows < table.num_rows:
            batch = next(others, None)
            if batch is None:
                return False
            unread = pa.concat_tables([unread, batch])
        own = unread.slice(0, table.num_rows)
        if not without_signatures(table, own["reason"]).equals(own.select(measured.names).cast(measured)):
            return False
        unread = unread.slice(table.num_rows)
    return unread.num_rows == 0 and next(others, None) is None
