"""Verification finds the same, however images are divided into units and whoever checks them."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from million_ird.maintenance import verify_images
from million_ird.maintenance.verify import VerifyReport, verify
from tests.million_ird import scenes

IMAGES = 10
Change = Callable[[pa.Table], pa.Table]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, out = tmp_path_factory.mktemp("images"), tmp_path_factory.mktemp("built") / "out"
    for number in range(IMAGES):
        scenes.photograph(number, 150, 130).save(folder / f"{number}.png")
    settings = {"patches": {"size": 64, "format": "webp"}, "shards": {"bytes": 30_000}, "validation": 0}
    scenes.make(folder, out, scenes.recipe(gates=[], **settings))
    assert len(list(out.glob("patches/*.parquet"))) > 1
    return out


def _rewritten(path: Path, change: Change) -> None:
    table = pq.read_table(path)
    pq.write_table(change(table), path)


def _without(row: int) -> Change:
    return lambda table: pa.concat_tables([table.slice(0, row), table.slice(row + 1)])


def _twice(row: int) -> Change:
    return lambda table: pa.concat_tables([table.slice(0, row + 1), table.slice(row)])


def _swapped(table: pa.Table) -> pa.Table:
    return pa.concat_tables([table.slice(table.num_rows - 1), table.slice(0, table.num_rows - 1)])


CHANGES: dict[str, tuple[str, Change, str]] = {
    "image gone": ("data", _without(0), "is kept in the ledger, but not in the data"),
    "image twice": ("data", _twice(0), "appears twice"),
    "patch gone": ("patches", _without(3), "is missing"),
    "patch twice": ("patches", _twice(3), "appears twice, or the recipe does not cut it"),
    "patches out of order": ("patches", _swapped, "its parent is not in the data, or in another order"),
}


def _reports(out: Path, monkeypatch: pytest.MonkeyPatch, workers: int) -> list[VerifyReport]:
    reports = []
    for size in (1, 3, 100):
        monkeypatch.setattr(verify_images, "UNIT_IMAGES", size)
        reports.append(verify(str(out), workers=workers if size == 3 else 0))
    return reports


@pytest.mark.full
def test_a_whole_dataset_has_no_fault_in_any_division(built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    patches = sum(pq.read_metadata(path).num_rows for path in built.glob("patches/*.parquet"))
    for report in _reports(built, monkeypatch, workers=2):
        assert (report.faults, report.images, report.patches) == ([], IMAGES, patches)


@pytest.mark.parametrize("name", CHANGES)
def test_each_fault_is_found_in_any_division(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    out = tmp_path / "out"
    shutil.copytree(built, out)
    kind, change, said = CHANGES[name]
    _rewritten(sorted((out / kind).glob("*.parquet"))[0], change)
    first, *others = _reports(out, monkeypatch, workers=0)
    assert any(said in fault for fault in first.faults), first.faults
    for other in others:
        assert (other.faults, other.images, other.patches) == (first.faults, first.images, first.patches)


def test_a_damaged_file_is_one_fault_in_any_division(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    shutil.copytree(built, out)
    path = sorted((out / "data").glob("*.parquet"))[0]
    path.write_bytes(path.read_bytes()[:-20])
    for report in _reports(out, monkeypatch, workers=0):
        assert sum(path.name in fault and "in the ledger" not in fault for fault in report.faults) == 1
        assert sum("but not in the data" in fault for fault in report.faults) == IMAGES - report.images > 0
