"""A build on a disk with short writes, and with an error at one of its operations."""

from pathlib import Path

import pytest
import yaml

from tests.disk_faults import FaultyDisk, check_failing_operations, check_short_writes
from tests.million_ird import scenes

pytestmark = [pytest.mark.full, pytest.mark.timeout(3000)]


@pytest.fixture
def disk(tmp_path: Path) -> FaultyDisk:
    (tmp_path / "source").mkdir()
    for number in range(2):
        scenes.photograph(number).save(tmp_path / "source" / f"{number}.png")
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(scenes.RECIPE))
    arguments = ["build", "--sources", tmp_path / "source", "--out", tmp_path / "out"]
    arguments += ["--recipe", tmp_path / "recipe.yaml", "--workers", 0]
    results = ["data", "patches", "ledger", "recipe.yaml", "README.md"]
    return FaultyDisk("million_ird.cli.app", arguments, tmp_path / "out", results)


def test_short_writes_change_nothing(disk: FaultyDisk) -> None:
    check_short_writes(disk)


def test_a_build_goes_on_after_a_failing_operation(disk: FaultyDisk) -> None:
    check_failing_operations(disk, tries=12)
