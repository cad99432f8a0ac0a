"""A verification that was killed goes on where it was, finds the same, and checks again what has changed."""

import os
import shutil
import signal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from million_ird.maintenance import verify_images, verify_journal
from million_ird.maintenance.verify import VerifyReport, verify
from million_ird.maintenance.verify_images import ImagesFound, VerifyUnit
from million_ird.runtime import file_marks
from tests.million_ird import scenes

IMAGES = 12
check_unit = verify_images.verify_unit


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of several shards with three faults."""
    folder, out = tmp_path_factory.mktemp("images"), tmp_path_factory.mktemp("built") / "out"
    for number in range(IMAGES):
        scenes.photograph(number, 150, 130).save(folder / f"{number}.png")
    settings = {"patches": {"size": 64, "format": "webp"}, "shards": {"bytes": 60_000}, "validation": 0}
    scenes.make(folder, out, scenes.recipe(gates=[], **settings))
    for kind, row in (("data", 1), ("patches", 2)):
        path = sorted((out / kind).glob("*.parquet"))[-1]
        table = pq.read_table(path)
        pq.write_table(pa.concat_tables([table.slice(0, row), table.slice(row + 1)]), path)
    assert len(list((out / "data").iterdir())) > 2
    return out


@pytest.fixture(autouse=True)
def _small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_marks, "SETTLED_SECONDS", 0.0)
    monkeypatch.setattr(verify_journal, "BATCH_SECONDS", 0.0)
    monkeypatch.setattr(verify_images, "UNIT_IMAGES", 2)


@pytest.fixture
def out(built: Path, tmp_path: Path) -> Path:
    shutil.copytree(built, tmp_path / "out")
    return tmp_path / "out"


@pytest.fixture
def checked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files of the units that are checked."""
    files: list[str] = []

    def counting(unit: VerifyUnit) -> tuple[int, ImagesFound]:
        files.append(unit.images.file)
        return check_unit(unit)

    monkeypatch.setattr(verify_images, "verify_unit", counting)
    return files


def _interrupted(out: Path, after: int) -> None:
    """Verify in a process of its own that kills itself when it has checked that many units."""
    count = 0

    def ending(unit: VerifyUnit) -> tuple[int, ImagesFound]:
        nonlocal count
        if count == after:
            os.kill(os.getpid(), signal.SIGKILL)
        count += 1
        return check_unit(unit)

    pid = os.fork()
    if pid == 0:
        try:
            verify_images.verify_unit = ending
            verify(str(out))
        finally:
            os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL


def _fields(report: VerifyReport) -> tuple[list[str], int, int]:
    return report.faults, report.images, report.patches


def test_a_killed_verification_goes_on_and_finds_the_same(out: Path, checked: list[str]) -> None:
    before = scenes.contents(out)
    whole, units = verify(str(out)), len(checked)
    assert units > 5
    assert len(whole.faults) > 1
    for after in (1, 2, 2):
        _interrupted(out, after)
    checked.clear()
    assert _fields(verify(str(out))) == _fields(whole)
    assert len(checked) == units - 5
    checked.clear()
    assert _fields(verify(str(out))) == _fields(whole)
    assert len(checked) == units, "a verification that has ended leaves nothing for the next"
    assert not (out / ".work" / "verify").exists()
    assert scenes.contents(out) == before


def test_what_has_changed_is_checked_again(out: Path, checked: list[str]) -> None:
    verify(str(out))
    units = len(checked)
    _interrupted(out, units - 1)
    first = min((out / "data").glob("*.parquet"))
    table = pq.read_table(first)
    pq.write_table(table.set_column(*_other_phash(table)), first)
    checked.clear()
    report = verify(str(out))
    name = table["id"][0].as_py()
    assert any(f"{name}: imagehash computes the pHash" in fault for fault in report.faults)
    assert {f"data/{first.name}"} < set(checked)
    assert len(checked) < units
    checked.clear()
    assert _fields(verify(str(out))) == _fields(report)


def _other_phash(table: pa.Table) -> tuple[int, str, pa.Array]:
    values = ["0" * 16, *table["phash"].to_pylist()[1:]]
    return table.column_names.index("phash"), "phash", pa.array(values)


def test_where_nothing_can_be_stored_the_same_is_found(
    out: Path, checked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = verify(str(out))
    (out / ".work" / "verify").touch()  # a file where the folder would be
    assert _fields(verify(str(out))) == _fields(whole)
    monkeypatch.setattr(verify_journal.os, "access", lambda *_: False)
    assert _fields(verify(str(out))) == _fields(whole)
    assert (out / ".work" / "verify").read_bytes() == b""
