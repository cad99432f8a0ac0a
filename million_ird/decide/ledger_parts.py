"""One file of the ledger, written by a worker: rows as they were measured, with their verdicts."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from million_ird import ledger
from million_ird.config.recipe import Recipe
from million_ird.decide.refusals import Outcomes
from million_ird.decide.verdict_parts import read_codes
from million_ird.decide.verdicts import verdict_columns
from million_ird.runtime.storage import Folder
from million_ird.scan.row_index import RowSpan
from million_ird.scan.scan_table import ScanTable, without_signatures


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerTask:
    """All that a worker needs to write one file of the ledger."""

    out: Folder
    name: str
    """The file that it writes; what has this name is complete, and is of the same content."""
    recipe: Recipe
    measures: tuple[str, ...]
    rows: int
    spans: tuple[RowSpan, ...]
    """Where the rows are."""
    skip: int
    """Rows of these that belong to an earlier file of the ledger."""
    parts: tuple[str, ...]
    """Names of verdict parts."""
    parts_skip: int
    """Rows of these that belong to an earlier file of the ledger."""
    settled: str
    """File of what is decided of the rows that pass; its column `row` counts from the first row of this file."""
    gone_from: int
    """Row of this file from which on the images are gone."""


def write_ledger_part(task: LedgerTask) -> None:
    """Write one file of the ledger, unless an earlier run has done so."""
    if not task.out.exists(task.name):
        ledger.write_part(task.out, task.name, _decided_rows(task), ledger.ledger_schema(task.measures))


def _decided_rows(task: LedgerTask) -> Iterator[pa.Table]:
    """Yield all ledger columns, in batches of rows, without secrets of addresses."""
    outcomes = Outcomes.of(task.recipe)
    codes = read_codes(task.out, task.parts, task.parts_skip, task.rows)
    settled = task.out.read_table(task.settled)
    places = np.full(task.rows, -1, np.int64)
    places[settled["row"].to_numpy()] = np.arange(settled.num_rows)
    settled = settled.drop_columns("row").combine_chunks()
    gone = np.arange(task.rows) >= task.gone_from
    rows = ScanTable(task.out, task.spans, task.measures, 0, "")
    start = 0
    for table in rows.published(task.recipe.uri_parameters, task.skip, task.skip + task.rows):
        own = slice(start, start + table.num_rows)
        verdicts = verdict_columns(table, codes[own], gone[own], places[own], settled, outcomes)
        bare = without_signatures(table, verdicts["reason"])
        start += table.num_rows
        yield pa.table([*bare.columns, *verdicts.columns], names=[*bare.column_names, *verdicts.column_names])
