"""The ledger is verified as a stream, and what is found is what was found when all its rows were in memory."""

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from million_ird import ledger as ledgers
from million_ird.config.recipe import Recipe
from million_ird.dedup import hash_buckets, spilled
from million_ird.errors import LedgerError
from million_ird.fingerprints import load_reference_fingerprints
from million_ird.maintenance.kept_ids import KeptIds
from million_ird.maintenance.verify_ledger import ledger_faults
from million_ird.runtime.executor import Executor
from million_ird.runtime.storage import Folder
from million_ird.scan.scan_table import from_ledger, from_scan, without_signatures
from million_ird.workflow import decide_stage
from tests.million_ird.decide.reference_decide import decide, needed_columns
from tests.million_ird.decide.test_stream import add_references, random_rows, write_scan
from tests.million_ird.decide.test_verdicts import RECIPE

ROWS = 130
Change = Callable[[pa.Table], pa.Table]


def reference_faults(folder: Folder, recipe: Recipe) -> Iterator[str]:
    """What the earlier code found, with all rows in memory."""
    ledger = ledgers.load(folder)
    try:
        ledgers.funnel(ledger)
    except LedgerError as error:
        yield f"ledger: {error}"
    for key, count in Counter(ledger["key"].to_pylist()).items():
        if count > 1:
            yield f"ledger: key {key} appears {count} times"
    verdicts = decide(
        ledger.select(needed_columns(recipe)),
        recipe,
        int(pc.sum(ledger["vanished"]).as_py() or 0),
        batches=from_ledger(folder).iter_batches,
        references=load_reference_fingerprints(folder),
    )
    if not verdicts.equals(ledger.select(verdicts.column_names)):
        yield "ledger: the recipe and the numbers give other verdicts"
    scan = from_scan(folder)
    assert scan is not None
    rows = pa.concat_tables(scan.published(recipe.uri_parameters))
    if rows.num_rows == ledger.num_rows:
        rows = without_signatures(rows, ledger["reason"])
    if not rows.equals(pa.concat_tables(from_ledger(folder).batches())):
        yield "ledger: its rows differ from the scanned rows"


def changed(column: str, row: int, value: object) -> Change:
    def change(table: pa.Table) -> pa.Table:
        values = table[column].to_pylist()
        values[row] = value
        field = table.schema.field(column)
        return table.set_column(table.column_names.index(column), field, pa.array(values, field.type))

    return change


def repeated(table: pa.Table) -> pa.Table:
    """Rows 3 and 90 get the keys of others that stand before and behind."""
    keys = table["key"].to_pylist()
    keys[3], keys[90], keys[91] = keys[70], keys[2], keys[2]
    field = table.schema.field("key")
    return table.set_column(table.column_names.index("key"), field, pa.array(keys, field.type))


CHANGES: dict[str, tuple[Change, int]] = {
    "nothing": (lambda table: table, 0),
    "keys": (repeated, 3),
    "verdict": (changed("verdict", 20, "lost"), 2),
    "reason": (changed("reason", 40, "other"), 1),
    "number": (changed("octave_drop", 60, 17.0), 1),
    "width": (changed("bytes", 61, 12345), 1),
    "split": (changed("split", 62, "test"), 1),
    "vanished": (changed("vanished", 0, True), 1),
    "last row twice": (lambda table: pa.concat_tables([table, table.slice(table.num_rows - 1)]), 2),
}


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("spill", [pytest.param(False, marks=pytest.mark.full), True])
def test_the_stream_finds_what_was_found_with_all_rows_in_memory(
    name: str, spill: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seed = 1 if spill else 0
    out = Folder(str(tmp_path))
    rows = random_rows(ROWS, seed)
    write_scan(out, rows, RECIPE, vanished=4 * seed)
    if spill:
        add_references(out, rows)
        monkeypatch.setattr(hash_buckets, "IN_MEMORY", 0)
        monkeypatch.setattr(spilled, "IN_MEMORY", 0)
        monkeypatch.setattr(ledgers, "ROWS_PER_GROUP", 33)
    with Executor(0) as executor:
        decide_stage(out, RECIPE, executor)
        change, least = CHANGES[name]
        (file,) = (tmp_path / "ledger").iterdir()
        table = change(pq.read_table(file))
        pq.write_table(table, file, row_group_size=int(np.random.default_rng(seed).integers(20, 60)))
        expected = list(reference_faults(out, RECIPE))
        assert len(expected) >= least, expected
        assert (expected == []) == (name == "nothing")
        assert list(ledger_faults(out, RECIPE, executor, at_most=1000)) == expected


def test_of_many_repeated_keys_the_first_ones_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = pa.array([f"{number % 50:032x}" for number in range(120)])
    expected = [(f"{number:032x}", 3 if number < 20 else 2) for number in range(50)]
    for least in (0, 500_000):
        monkeypatch.setattr(hash_buckets, "IN_MEMORY", least)
        assert list(hash_buckets.repeated_texts([texts.slice(0, 60), texts.slice(60)], len(texts))) == expected


@pytest.mark.parametrize("seed", range(4))
def test_kept_ids_are_found_and_missed_as_by_a_dictionary(seed: int) -> None:
    random = np.random.default_rng(seed)
    names = [f"{number:03x}" for number in random.integers(0, 60, 50)]
    kept = KeptIds(pa.chunked_array([names[:20], names[20:]]))
    positions = {name: row for row, name in enumerate(names)}
    seen: set[str] = set()
    for name in [f"{number:03x}" for number in random.integers(0, 90, 40)]:
        assert kept.position(name) == positions.get(name)
        assert kept.see(name) == (name in seen)
        seen.add(name)
    assert list(kept.unseen()) == [name for name in positions if name not in seen]
