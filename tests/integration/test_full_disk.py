"""A disk that fills up in the middle of a build, and room that is made."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from million_ird.maintenance.verify import verify
from tests.million_ird import scenes

PROGRAM = str(Path(sys.executable).parent / "million-ird")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, too small."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("a file system of a chosen size takes the right to mount one")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.full)])
@pytest.mark.full
def test_a_full_disk_stops_a_build_and_room_lets_it_go_on(workers: int, disk: Path, tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for number in range(40):
        scenes.photograph(number, 200, 160).save(pictures / f"{number}.png")
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump({"patches": {"size": 64}, "shards": {"bytes": 300_000}}))

    def build(out: Path, workers: int) -> subprocess.CompletedProcess[str]:
        command = [PROGRAM, "build", "--sources", pictures, "--out", out, "--recipe", tmp_path / "recipe.yaml"]
        command += ["--workers", str(workers)]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)

    assert build(tmp_path / "whole", 0).returncode == 0
    full = build(disk / "out", workers)
    assert full.returncode == 1
    assert "no space left; free some and run the same command again" in full.stderr
    assert "Traceback" not in full.stderr
    subprocess.run(["mount", "-o", "remount,size=60m", disk], check=True)
    assert build(disk / "out", workers).returncode == 0
    assert verify(str(disk / "out")).faults == []
    assert scenes.contents(disk / "out") == scenes.contents(tmp_path / "whole")
    assert scenes.temporary(disk / "out") == []
