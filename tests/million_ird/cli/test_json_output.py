"""Printed and written JSON is valid where a column of a user holds infinite numbers or NaN."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from million_ird.maintenance.explain import explain
from tests.million_ird import scenes
from tests.million_ird.conftest import CommandResult
from tests.million_ird.test_strict_json import strictly

NUMBERS = (float("inf"), float("-inf"), float("nan"), 1.5, None)
RECIPE = {
    "columns": ["rating"],
    "texts": ["notes"],
    "gates": [{"field": "rating", "min": 0, "reason": "rating"}],
    "duplicates": {"exact": False, "radius": None},
}


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A build of a table with such numbers, alone and within a structure, in the columns that it passes through."""
    rows = []
    for number, rating in enumerate(NUMBERS):
        scenes.photograph(number).save(tmp_path / f"{number}.png")
        rows.append({"path": f"{number}.png", "rating": rating, "notes": {"a": [rating]}})
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "list.parquet")
    scenes.make(tmp_path / "list.parquet", tmp_path / "out", scenes.recipe(**RECIPE))
    return tmp_path / "out"


def test_every_command_prints_valid_json(out: Path, program: Callable[..., CommandResult]) -> None:
    def printed(*words: object) -> None:
        done = program(*words, "--json")
        assert done.code in {0, 1}, done.err
        for line in done.out.splitlines():
            strictly(line)

    rows = scenes.ledger_rows(out)
    assert [rows[f"{number}.png"]["rating"] for number in (0, 1)] == [float("inf"), float("-inf")]
    for uri in rows:
        printed("explain", out, uri)
        json.dumps(explain(str(out), uri).as_json(), allow_nan=False)
    for form in ("folder", "webdataset"):
        printed("export", out, "--format", form)
    for command in ("status", "verify", "decide", "write", "releases", "clean"):
        printed(command, out)
    printed("score", out.parent / "0.png", "--metrics", "laplacian_variance")
    (out.parent / "ids").write_text("0.png\n")
    printed("remove", out, "--ids", out.parent / "ids")


def test_what_is_written_is_valid_json(out: Path, program: Callable[..., CommandResult]) -> None:
    assert program("export", out, "--format", "webdataset").code == 0
    notes = [str(row["notes"]) for row in scenes.ledger_rows(out).values()]
    assert {str(strictly(text)) for text in notes} == {"{'a': [None]}", "{'a': [1.5]}"}
    for path in (path for path in out.rglob("*.json") if ".work" not in path.parts):
        strictly(path.read_text())
    page = (out / "report" / "index.html").read_text()
    (data,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    shown = {value for pool in strictly(data)["pools"] for _, value in pool}
    assert shown == {1.5}
