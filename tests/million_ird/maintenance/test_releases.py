"""Releases list the changes since the last one, exactly once, also after a kill."""

import json
import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from million_ird import ledger
from million_ird.dataset.layout import CHANGES, RELEASES
from million_ird.errors import LedgerError
from million_ird.maintenance.releases import (
    LAST_RELEASE,
    DatasetRelease,
    list_releases,
    make_release,
    render_changes,
    update_card,
)
from million_ird.maintenance.takedown import take_down
from million_ird.maintenance.verify import verify
from million_ird.runtime.storage import Folder
from tests.million_ird import scenes
from tests.million_ird.conftest import CommandResult

DAY = date(2026, 1, 2)


@pytest.fixture
def folder(built: Path) -> Folder:
    return Folder(str(built))


def everything(out: Path) -> dict[str, bytes]:
    return {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()}


def test_the_first_release_describes_the_dataset(folder: Folder, built: Path) -> None:
    held = everything(built)
    release = make_release(folder, today=DAY, note="the *first*")
    assert release is not None
    patches = pq.read_table(built / "patches").num_rows
    assert (release.version, release.date, release.images, release.patches) == (1, "2026-01-02", scenes.KEPT, patches)
    assert (release.added, release.removed, release.moved, release.recipe_before) == (scenes.KEPT, 0, 0, None)
    assert release.bytes == sum(len(v) for k, v in held.items() if k.startswith(("data/", "patches/")))
    now = everything(built)
    assert now.keys() - held.keys() == {RELEASES, LAST_RELEASE, CHANGES}
    assert held.items() <= now.items()
    assert "the \\*first\\*" in now[CHANGES].decode()
    kept = pq.read_table(built / LAST_RELEASE).to_pylist()
    assert [row["id"] for row in kept] == sorted(row["id"] for row in pq.read_table(built / "data").to_pylist())
    assert list(kept[0]) == ["id", "key", "split", "source"]
    assert verify(str(built)).faults == []


def test_the_card_names_the_last_release(folder: Folder, built: Path, pictures: Path) -> None:
    make_release(folder, today=DAY)
    update_card(folder)
    card = (built / "README.md").read_bytes()
    assert b"version 1 of 2026-01-02" in card
    assert verify(str(built)).faults == []
    scenes.make(pictures, built)
    assert (built / "README.md").read_bytes() == card


def test_without_changes_there_is_no_release(folder: Folder, built: Path, pictures: Path) -> None:
    assert make_release(folder, today=DAY) is not None
    held = everything(built)
    assert make_release(folder, today=date(2027, 1, 1)) is None
    assert everything(built) == held
    scenes.make(pictures, built)
    assert make_release(folder, today=date(2027, 1, 1)) is None


@pytest.mark.full
def test_added_and_removed_images_are_counted_with_the_reason(pictures: Path, built: Path, tmp_path: Path) -> None:
    folder = Folder(str(built))
    shutil.copytree(pictures, tmp_path / "in")
    scenes.make(tmp_path / "in", built)
    first = make_release(folder, today=DAY)
    (tmp_path / "in" / "p000.png").unlink()
    scenes.photograph(3).resize((20, 20)).save(tmp_path / "in" / "p003.png")
    (tmp_path / "in" / "p004.png").write_bytes(b"")
    for seed in (50, 51):
        scenes.photograph(seed).save(tmp_path / "in" / f"new {seed}.png")
    scenes.make(tmp_path / "in", built)
    second = make_release(folder, today=DAY)
    assert first is not None
    assert second is not None
    assert (second.version, second.added, second.removed) == (2, 2, 3)
    assert second.reasons == {"failed": 1, "small": 1, "vanished": 1}
    assert second.images == first.images + 2 - 3
    take_down(str(built), ["new 50.png"], today=DAY)
    scenes.make(tmp_path / "in", built, scenes.gated(min=75))
    last = make_release(folder, today=DAY)
    assert last is not None
    assert last.version == 4
    assert last.recipe_before == second.recipe != last.recipe
    text = (built / CHANGES).read_text()
    assert [line for line in text.splitlines() if line.startswith("## ")] == [
        f"## Version {version}, 2026-01-02" for version in (4, 3, 2, 1)
    ]
    assert "new 50" not in text
    assert list_releases(folder)[2].taken_down[0] in text
    assert text == render_changes(list_releases(folder))


@pytest.mark.full
def test_a_file_with_another_image_has_changed(pictures: Path, built: Path, tmp_path: Path) -> None:
    shutil.copytree(pictures, tmp_path / "in")
    scenes.make(tmp_path / "in", built)
    make_release(Folder(str(built)), today=DAY)
    scenes.photograph(77).save(tmp_path / "in" / "p003.png")
    scenes.make(tmp_path / "in", built)
    release = make_release(Folder(str(built)), today=DAY)
    assert release is not None
    assert (release.added, release.removed, release.reasons) == (1, 1, {"changed": 1})


def test_an_image_in_another_split_has_moved(folder: Folder, built: Path, pictures: Path) -> None:
    make_release(folder, today=DAY)
    scenes.make(pictures, built, scenes.recipe(validation=0.5))
    release = make_release(folder, today=DAY)
    splits = [row["split"] for row in pq.read_table(built / LAST_RELEASE).to_pylist()]
    assert release is not None
    assert release.moved == splits.count("validation") > 0
    assert (release.added, release.removed) == (0, 0)


def test_another_recipe_and_other_benchmarks_are_changes(folder: Folder, built: Path, pictures: Path) -> None:
    make_release(folder, today=DAY)
    scenes.make(pictures, built, scenes.gated(min=47))
    again = make_release(folder, today=DAY)
    assert again is not None
    assert (again.added, again.removed) == (0, 0)
    assert again.recipe != again.recipe_before
    folder.write_table("benchmarks/Set5.parquet", pa.table({"file": pa.array([], pa.string())}))
    last = make_release(folder, today=DAY)
    assert last is not None
    assert last.benchmarks == ("Set5",)
    assert "Set5" in (built / CHANGES).read_text()


@pytest.mark.parametrize("written", [(), (LAST_RELEASE,), (LAST_RELEASE, RELEASES), (LAST_RELEASE, RELEASES, CHANGES)])
@pytest.mark.full
def test_a_kill_between_any_two_files_gives_the_release_once(
    written: tuple[str, ...], folder: Folder, built: Path, pictures: Path, tmp_path: Path
) -> None:
    make_release(folder, today=DAY)
    scenes.make(pictures, built, scenes.gated(min=75))
    old = {name: (built / name).read_bytes() for name in (LAST_RELEASE, RELEASES, CHANGES)}
    expected = make_release(folder, today=DAY)
    whole = everything(built)
    for name in set(old) - set(written):
        (built / name).write_bytes(old[name])
    again = make_release(folder, today=DAY)
    assert again == (None if written else expected)
    assert everything(built) == whole
    assert [one.version for one in list_releases(folder)] == [1, 2]


def test_the_list_is_printed_as_text_and_as_json(
    folder: Folder, built: Path, program: Callable[..., CommandResult]
) -> None:
    assert program("releases", built).out == "No release was made yet.\n"
    assert json.loads(program("releases", built, "--json").out) == []
    release = make_release(folder, today=DAY)
    assert isinstance(release, DatasetRelease)
    assert program("releases", built).out.startswith("1  2026-01-02  6 images, ")
    (said,) = json.loads(program("releases", built, "--json").out)
    assert said == json.loads(json.dumps(release.as_json())) == folder.read_json(RELEASES)[0]
    assert program("releases", built.parent).code == 2


def test_a_build_without_a_ledger_cannot_be_released(folder: Folder, built: Path) -> None:
    shutil.rmtree(built / ledger.FOLDER)
    with pytest.raises(LedgerError, match="no ledger"):
        make_release(folder, today=DAY)
