"""The stream decides as the code did that held all rows: the same ledger, to the byte, from random rows."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from million_ird import ledger
from million_ird.build_folder import INDEX, save_recipe
from million_ird.config.recipe import Recipe
from million_ird.decide import stream
from million_ird.dedup import hash_buckets
from million_ird.dedup.clusters import labels_of
from million_ird.fingerprints import REVISION, SCHEMA, load_reference_fingerprints
from million_ird.ledger import ledger_schema, scanned_schema, to_table
from million_ird.ledger_stream import LedgerStream, count_verdicts
from million_ird.reference_sets import FOLDER as BENCHMARKS
from million_ird.reference_sets import REMOVED
from million_ird.runtime.executor import Executor
from million_ird.runtime.storage import Folder
from million_ird.scan.scan_table import load_scan, without_signatures
from million_ird.scan.vanished import VANISHED_ROWS
from million_ird.workflow import decide_stage
from tests.million_ird.decide.reference_decide import decide, needed_columns
from tests.million_ird.decide.test_verdicts import RECIPE, row

BLOCK = 37
"""Rows of a file of the scan."""


def random_rows(count: int, seed: int) -> list[dict[str, object]]:
    """Rows with ties, nulls, failures, and copies of three kinds; some addresses have secrets."""
    draw = np.random.default_rng(seed)

    def one(number: int) -> dict[str, object]:
        plain = row(f"{hashlib.sha256(f'{seed} {number}'.encode()).hexdigest()[:12]}")
        twin = int(draw.integers(0, count))
        phash = int(hashlib.sha256(str(twin // 3).encode()).hexdigest()[:16], 16) ^ (1 << int(draw.integers(0, 5)))
        changes: dict[str, Any] = {
            "uri": f"https://a.org/{number}.jpg?token=1" if number % 5 == 0 else f"{number}.jpg",
            "licence": [None, "CC0", "cc-by"][int(draw.integers(0, 3))],
            "id": f"id {twin}" if draw.random() < 0.5 else plain["id"] if draw.random() < 0.9 else None,
            "pixels_id": f"pixels {twin}" if draw.random() < 0.5 else None,
            "phash": f"{phash:016x}" if draw.random() < 0.9 else None,
            "width": int(draw.choice([100, 200, 300])),
            "short_side": [None, 50.0, 100.0, 200.0][int(draw.choice(4, p=[0.1, 0.1, 0.4, 0.4]))],
            "jpeg_quality": [None, 30.0, 40.0, 90.0][int(draw.choice(4, p=[0.1, 0.1, 0.4, 0.4]))],
            "webp_quality": [None, 20.0, 50.0, 90.0][int(draw.choice(4, p=[0.7, 0.1, 0.1, 0.1]))],
            "avif_quality": [None, 30.0, 60.0][int(draw.choice(3, p=[0.8, 0.1, 0.1]))],
            "sharpest_blocks": [None, 2.9, 3.0][int(draw.choice(3, p=[0.2, 0.1, 0.7]))],
            "octave_drop": [None, 1.0, 30.0][int(draw.integers(0, 3))],
            "tier": int(draw.choice([0, 1, 4], p=[0.1, 0.1, 0.8])),
            "failure_class": ["truncated", "removed", None][int(draw.choice(3, p=[0.05, 0.02, 0.93]))],
        }
        made = row(str(plain["key"]), **changes)
        return made | ({"frame": None} if draw.random() < 0.05 else {})

    return [one(number) for number in range(count)]


def write_scan(out: Folder, rows: list[dict[str, object]], recipe: Recipe, vanished: int) -> None:
    """Store rows as a scan would have."""
    schema = scanned_schema(recipe.ledger_entries)
    present = rows[: len(rows) - vanished]
    names = []
    for start in range(0, len(present), BLOCK):
        names.append(f".work/scan/ab/{start:06d}-x.parquet")
        out.write_table(names[-1], to_table(present[start : start + BLOCK], schema))
    if vanished:
        out.write_table(VANISHED_ROWS, to_table(rows[-vanished:], schema))
    out.write_json(INDEX, {"units": names, "measures": recipe.ledger_entries, "vanished": vanished})
    save_recipe(out, recipe)


def reference_bytes(out: Folder, recipe: Recipe, folder: Path) -> dict[str, bytes]:
    """The ledger that the earlier code writes from the same scan."""
    rows = load_scan(out, recipe)
    scanned = pa.concat_tables(rows.iter_batches(needed_columns(recipe)))
    references = load_reference_fingerprints(out)
    verdicts = decide(scanned, recipe, rows.vanished, batches=rows.iter_batches, references=references)

    def decided() -> Iterator[pa.Table]:
        start = 0
        for table in rows.published(recipe.uri_parameters):
            part = verdicts.slice(start, table.num_rows)
            start += table.num_rows
            bare = without_signatures(table, part["reason"])
            yield pa.table([*bare.columns, *part.columns], names=[*bare.column_names, *part.column_names])

    expected = Folder(str(folder))
    ledger.save(expected, decided(), verdicts.num_rows, ledger_schema(rows.measures))
    return ledger_bytes(expected)


def ledger_bytes(out: Folder) -> dict[str, bytes]:
    return {name: out.read(f"ledger/{name}") for name in out.names("ledger")}


def add_references(out: Folder, rows: list[dict[str, object]]) -> None:
    """Store a blocklist and an evaluation set that each have some of the rows."""
    table = to_table(rows, scanned_schema(RECIPE.ledger_entries))
    known = table.filter(pc.and_(pc.is_valid(table["phash"]), pc.is_valid(table["id"])))
    columns = [known["key"], *(known[name] for name in SCHEMA.names[1:])]
    fingerprints = pa.table(columns, names=SCHEMA.names).cast(SCHEMA)
    out.write_table(REMOVED, fingerprints.slice(0, 2).drop_columns(["file", "frame"]))
    tagged = fingerprints.slice(5, 3).replace_schema_metadata({"million_ird.fingerprints": REVISION})
    out.write_table(f"{BENCHMARKS}/set.parquet", tagged)


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.full) for seed in range(1, 6))])
def test_the_stream_writes_the_ledger_that_the_earlier_code_wrote(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "ROWS_PER_FILE", [1_000_000, 100, 37][seed % 3])
    monkeypatch.setattr(stream, "ROWS_PER_FILE", ledger.ROWS_PER_FILE)
    monkeypatch.setattr(stream, "_UNITS_PER_PART", [1, 2, 1024][seed % 3])
    monkeypatch.setattr(hash_buckets, "IN_MEMORY", 0 if seed % 2 else 500_000)
    rows = random_rows(230 + seed, seed)
    changes: dict[str, object] = {"validation": 0.3 if seed % 2 else 0.0}
    if seed % 4 == 1:
        changes["licences"] = RECIPE.licences.model_copy(update={"refuse": ("CC-BY",)})
    if seed % 4 == 2:
        changes |= {"duplicates": RECIPE.duplicates.model_copy(update={"exact": False}), "uri_parameters": ("token",)}
    recipe = RECIPE.model_copy(update=changes)
    out = Folder(str(tmp_path / "out"))
    write_scan(out, rows, recipe, vanished=[0, 5, 40][seed % 3])
    if seed >= 3:
        add_references(out, rows)
    expected = reference_bytes(out, recipe, tmp_path / "expected")
    with Executor(0) as executor:
        counts = decide_stage(out, recipe, executor)
        assert ledger_bytes(out) == expected
        assert counts == count_verdicts(LedgerStream.of_build(out))
        assert counts.kept
        assert len(counts.dropped) >= 5
        assert not out.names(stream.FOLDER)
        # Decided once more, from the ledger alone and by other gates, and back again: the same bytes.
        decide_stage(out, recipe.model_copy(update={"gates": recipe.gates[:1]}), executor)
        assert ledger_bytes(out) != expected
        out.remove(".work")
        assert decide_stage(out, recipe, executor) == counts
        if seed < 3:  # a blocklist erases signatures for good
            assert ledger_bytes(out) == expected


def test_what_a_killed_run_has_left_is_used_and_what_has_changed_is_decided_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = random_rows(150, 1)
    out = Folder(str(tmp_path / "out"))
    write_scan(out, rows, RECIPE, vanished=3)
    monkeypatch.setattr(stream, "_UNITS_PER_PART", 1)
    written: list[str] = []
    writing = Folder.writing

    def watched(self: Folder, name: str) -> Any:
        written.append(name)
        return writing(self, name)

    def killed(self: stream.StagedLedger) -> None:
        raise KeyboardInterrupt

    def run(*, publish: bool) -> list[str]:
        """Decide; return what was written of verdict parts and of the ledger."""
        written.clear()
        with pytest.MonkeyPatch.context() as patch, Executor(0) as executor:
            patch.setattr(Folder, "writing", watched)
            if publish:
                decide_stage(out, RECIPE, executor)
            else:
                patch.setattr(stream.StagedLedger, "publish", killed)
                with pytest.raises(KeyboardInterrupt):
                    decide_stage(out, RECIPE, executor)
        return [name for name in written if "verdicts-" in name or "/ledger-" in name]

    first = run(publish=False)
    assert sum("verdicts-" in name for name in first) == 5  # four files of rows, and that of vanished ones
    assert not run(publish=False)
    rows[BLOCK]["short_side"] = 1.0  # in the second file
    schema = scanned_schema(RECIPE.ledger_entries)
    out.write_table(f".work/scan/ab/{BLOCK:06d}-x.parquet", to_table(rows[BLOCK : 2 * BLOCK], schema))
    again = run(publish=True)
    assert sum("verdicts-" in name for name in again) == 1
    assert any("/train-" in name for name in again)
    assert ledger_bytes(out) == reference_bytes(out, RECIPE, tmp_path / "expected")


def test_labels_of_buckets_are_equal_where_texts_are() -> None:
    texts = pa.array(["ab", None, "", "b", "ab", "", None, "ffab", "b", "é"])
    with hash_buckets.HashBuckets(None) as buckets:
        buckets.add(texts.slice(0, 4))
        buckets.add(texts.slice(4))
        found = buckets.labels()
    expected = labels_of(texts)
    assert ((found[:, None] == found) == (expected[:, None] == expected)).all()
    assert (found[[1, 6]] == -1).all()
