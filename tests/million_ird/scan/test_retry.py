"""Candidates that failed and are measured again: what comes out is in the ledger and in the dataset."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import million_ird
from million_ird.build_folder import DECIDED
from million_ird.workflow import Options, decide_again
from tests.million_ird import scenes


def fail_first_row(out: Path) -> None:
    """Have the first candidate of a finished scan look as if its decoder had hung."""
    (file,) = (out / ".work" / "scan").rglob("*.parquet")
    table = pq.read_table(file)
    rows = table.to_pylist()
    rows[0] |= {"failure_class": "hung", "failure_detail": "it took too long"}
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), file)
    (out / DECIDED).unlink()


@pytest.mark.full
def test_a_candidate_of_a_folder_that_is_tried_again_gets_its_new_verdict(tmp_path: Path) -> None:
    photos, out, recipe = tmp_path / "photos", tmp_path / "out", tmp_path / "recipe.yaml"
    photos.mkdir()
    recipe.write_text("patches: {size: 64}\n")
    for number in range(2):
        scenes.photograph(number, 200, 160).save(photos / f"{number}.png")
    before = million_ird.build(photos, out, recipe=recipe, options=Options(workers=0)).ledger()
    fail_first_row(out)
    decide_again(str(out), options=Options(workers=0))
    again = Options(workers=0, retry=frozenset({"hung"}))
    failed = million_ird.build(photos, out, recipe=recipe, options=Options(workers=0)).ledger()
    assert sorted(failed["verdict"]) == ["failed", "kept"]
    after = million_ird.build(photos, out, recipe=recipe, options=again).ledger()
    assert after["verdict"] == before["verdict"]
    assert after["failure_class"] == before["failure_class"]
