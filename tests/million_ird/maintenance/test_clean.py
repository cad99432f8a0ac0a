"""Cleaning leaves a dataset that can be verified, decided and built again."""

import csv
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from million_ird.config.recipe import Recipe
from million_ird.errors import OutputError
from million_ird.maintenance.clean import clean
from million_ird.maintenance.verify import verify
from million_ird.runtime.lock import locked
from million_ird.runtime.storage import Folder
from million_ird.workflow import Options, build, decide_again
from tests.million_ird import scenes
from tests.million_ird.conftest import CommandResult
from tests.million_ird.web_server import serving


def sizes(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_size for path in folder.rglob("*") if path.is_file()}


@pytest.mark.full
def test_a_cleaned_dataset_verifies_is_decided_and_builds_to_the_same_bytes(built: Path, pictures: Path) -> None:
    (built / "data" / ".tmp-0123456789abcdef0123456789abcdef").write_bytes(b"left by a writer that was killed")
    work, expected = sizes(built / ".work"), scenes.contents(built)
    expected.pop("data/.tmp-0123456789abcdef0123456789abcdef")
    done = clean(str(built))
    assert (done.files, done.originals) == (len([p for p in work if p.name != "lock"]) + 1, 0)
    assert done.bytes == sum(size for path, size in work.items() if path.name != "lock") + 32
    assert not (built / ".work").exists()
    assert scenes.temporary(built) == []
    assert scenes.contents(built) == expected
    assert verify(str(built)).faults == []
    assert decide_again(str(built)).funnel.kept == scenes.KEPT
    assert scenes.contents(built) == expected
    clean(str(built))
    scenes.make(pictures, built)
    assert scenes.contents(built) == expected
    assert verify(str(built)).faults == []


def test_a_dry_run_reports_the_same_and_changes_nothing(built: Path, program: Callable[..., CommandResult]) -> None:
    held = sizes(built)
    said = program("clean", built, "--dry-run", "--json")
    assert said.code == 0
    would = json.loads(said.out)
    assert sizes(built) == held
    done = json.loads(program("clean", built, "--json").out)
    assert done == would | {"dry_run": False}
    assert "0 files" in program("clean", built).out


def test_only_a_build_that_no_process_holds_is_cleaned(
    built: Path, tmp_path: Path, program: Callable[..., CommandResult]
) -> None:
    (tmp_path / "other" / ".work").mkdir(parents=True)
    (tmp_path / "other" / ".work" / "mine").touch()
    said = program("clean", tmp_path / "other")
    assert said.code == 2
    assert "no build is here" in said.line
    assert (tmp_path / "other" / ".work" / "mine").exists()
    held = sizes(built)
    with locked(Folder(str(built)), ".work/lock"):
        for flags in ([], ["--dry-run"]):
            said = program("clean", built, *flags)
            assert said.code == 2
            assert "held by" in said.line
    assert sizes(built).keys() == held.keys()


def test_shards_that_were_not_moved_into_place_yet_are_not_removed(built: Path) -> None:
    (built / ".work" / "write").mkdir()
    shard = next((built / "data").iterdir())
    shutil.move(shard, built / ".work" / "write" / "unit.parquet")
    with pytest.raises(OutputError, match="cut off"):
        clean(str(built))
    assert (built / ".work" / "write" / "unit.parquet").exists()
    clean(str(built), everything=True)
    assert not (built / ".work").exists()


@pytest.mark.full
def test_streamed_originals_stay_without_the_option_all(tmp_path: Path, program: Callable[..., CommandResult]) -> None:
    bodies = {}
    for number in range(3):
        file = io.BytesIO()
        scenes.photograph(number).save(file, "PNG")
        bodies[f"/{number}.png"] = file.getvalue()
    plain = Recipe.model_validate({"patches": {"size": 32}, "web": {"retries": 0}, "limits": {"failed_share": 1}})
    out, how = tmp_path / "out", Options(workers=0, allow_private_hosts=True)
    with serving(bodies) as site:
        listed = tmp_path / "urls.csv"
        with listed.open("w", newline="") as file:
            csv.writer(file).writerows([["url"], *([site.url(path)] for path in bodies)])
        build([str(listed)], str(out), plain, how)
        expected = scenes.contents(out)
        said = program("clean", out)
        assert "streamed originals stay" in said.out
        assert {path.suffix for path in sizes(out / ".work")} == {".tar", ".parquet", ".json"}
        build([str(listed)], str(out), plain, how)
        assert [site.asked[path] for path in bodies] == [1, 1, 1]
        assert scenes.contents(out) == expected
        assert program("clean", out, "--all").code == 0
        assert not (out / ".work").exists()
        build([str(listed)], str(out), plain, how)
        assert [site.asked[path] for path in bodies] == [2, 2, 2]
        assert scenes.contents(out) == expected
