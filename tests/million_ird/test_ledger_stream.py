"""The ledger as a stream, and that no fold depends on how rows are divided into batches."""

from pathlib import Path

import numpy as np
import pytest

from million_ird import ledger as ledgers
from million_ird.ledger import ledger_schema
from million_ird.ledger_stream import LedgerStream, count_verdicts
from million_ird.reporting.number_range import SKEWED, NumberRange
from million_ird.reporting.report import render_report
from million_ird.runtime.storage import Folder
from million_ird.schema import KEPT
from tests.million_ird.reporting.synthetic_ledgers import decide_rows, make_recipe, scan_rows


@pytest.mark.parametrize("rows", [0, 1, 350])
def test_a_stream_reads_what_the_files_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    monkeypatch.setattr(ledgers, "ROWS_PER_FILE", 100)
    recipe = make_recipe(duplicates={"radius": None})
    table = decide_rows(scan_rows(rows, recipe), recipe)
    out = Folder(str(tmp_path))
    parts = [table.slice(start, 30) for start in range(0, rows, 30)]
    ledgers.save(out, parts, rows, ledger_schema(recipe.ledger_entries))
    stream = LedgerStream.of_build(out)
    names = ["key", "verdict", "short_side"]
    assert stream.num_rows == rows
    assert [row for part in stream.batches(names) for row in part.to_pylist()] == table.select(names).to_pylist()
    assert count_verdicts(stream) == ledgers.funnel(table)
    kept = [row for row in table.select(names).to_pylist() if row["verdict"] == KEPT]
    assert stream.kept_table(names).to_pylist() == kept
    # Shards are named by a hash of their rows with their schema.
    assert stream.kept_table(names).schema.equals(ledgers.load(out, names).schema, check_metadata=True)
    chosen = sorted({*range(0, rows, 37), *range(rows)[-1:]})
    assert stream.take(reversed(chosen), names) == {i: table.select(names).slice(i, 1).to_pylist()[0] for i in chosen}


def test_the_report_does_not_depend_on_the_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("million_ird.reporting.sliders.MAX_ROWS", 150)
    monkeypatch.setattr("million_ird.reporting.smallest._SLACK", 5)
    recipe = make_recipe(duplicates={"radius": None})
    ledger = decide_rows(scan_rows(600, recipe), recipe)
    pages = {render_report(LedgerStream.of_table(ledger, rows), recipe, {}, {}) for rows in (600, 199, 13)}
    assert len(pages) == 1


@pytest.mark.parametrize("seed", range(30))
def test_skewed_numbers_are_recognised_as_by_their_median(seed: int) -> None:
    random = np.random.default_rng(seed)
    values = np.round(random.lognormal(0, random.uniform(0.1, 3), random.integers(1, 9)), 1)
    if seed % 3 == 0:  # the median is between numbers on either side
        values = np.array([1.0, random.choice([1.0, 2.9, 3.0, 3.1]), 100.0, 0.5])
    numbers = NumberRange()
    for add in (numbers.add, numbers.add_again):
        for part in np.array_split(values, 3):
            add(part)
    positive = values[values > 0]
    assert numbers.is_skewed == bool(positive.size and values.max() > SKEWED * np.median(positive))
