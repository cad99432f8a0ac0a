"""A build and an export on a disk with faults, and with a clock that jumps."""

from pathlib import Path

import pytest
import yaml

from million_ird import Options, build
from million_ird.config.loading import parse
from tests.disk_faults import FaultyDisk, check_failing_operations, check_same_results
from tests.million_ird import scenes

pytestmark = [pytest.mark.full, pytest.mark.timeout(3000)]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    for number in range(2):
        scenes.photograph(number).save(folder / f"{number}.png")
    return folder


@pytest.fixture
def building(tmp_path: Path, source: Path) -> FaultyDisk:
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(scenes.RECIPE))
    arguments = ["build", "--sources", source, "--out", tmp_path / "out"]
    arguments += ["--recipe", tmp_path / "recipe.yaml", "--workers", 0]
    results = ["data", "patches", "ledger", "recipe.yaml", "README.md"]
    return FaultyDisk("million_ird.cli.app", arguments, tmp_path / "out", results)


def _exporting(folder: Path, source: Path, form: str, results: list[str]) -> FaultyDisk:
    build([str(source)], str(folder / "set"), parse(scenes.RECIPE, origin="test"), Options(workers=0))
    arguments = ["export", folder / "set", "--format", form, "--to", folder / "out"]
    return FaultyDisk("million_ird.cli.app", arguments, folder / "out", results)


@pytest.fixture
def lmdb(tmp_path: Path, source: Path) -> FaultyDisk:
    pytest.importorskip("lmdb")
    return _exporting(tmp_path, source, "lmdb", ["train/metadata.parquet", "train/train.lmdb/meta_info.txt"])


@pytest.fixture
def webdataset(tmp_path: Path, source: Path) -> FaultyDisk:
    return _exporting(tmp_path, source, "webdataset", ["train"])


COMMANDS = ["building", "lmdb", "webdataset"]


@pytest.mark.parametrize("name", COMMANDS)
def test_a_jumping_clock_changes_nothing(name: str, request: pytest.FixtureRequest) -> None:
    check_same_results(request.getfixturevalue(name), "clock")


@pytest.mark.parametrize("name", ["building", "webdataset"])
def test_short_writes_change_nothing(name: str, request: pytest.FixtureRequest) -> None:
    check_same_results(request.getfixturevalue(name), "short")


def test_lmdb_itself_takes_a_short_write_for_an_error_and_the_export_says_so(lmdb: FaultyDisk) -> None:
    done = lmdb.run(FAULT_KIND="short")
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)
    assert "mdb_txn_commit: Input/output error" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_goes_on_after_a_failing_operation(name: str, request: pytest.FixtureRequest) -> None:
    check_failing_operations(request.getfixturevalue(name), tries=12)
