"""A takedown names the exports in the dataset's folder that have a removed image, and no others."""

import shlex
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from million_ird.export.destination import STATE
from million_ird.export.export import export
from million_ird.export.journal import Journal
from million_ird.maintenance.takedown import take_down
from million_ird.runtime.storage import Folder
from tests.million_ird import scenes
from tests.million_ird.conftest import CommandResult

TODAY = date(2026, 3, 1)
LARGE, SMALL = "p1.png", "small.png"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build of three images, of which one is too small for patches; no test changes it."""
    home = tmp_path_factory.mktemp("exported")
    (home / "in").mkdir()
    for number in range(2):
        scenes.photograph(number, 320, 240).save(home / "in" / f"p{number}.png")
    scenes.photograph(9).save(home / "in" / SMALL)
    scenes.make(home / "in", home / "a set", scenes.recipe(gates=[], patches={"size": 96, "format": "png"}))
    return home / "a set"


@pytest.fixture
def out(built: Path) -> Path:
    return built


def removed(out: Path, name: str) -> set[tuple[str, ...]]:
    """Remove an image; return format, config and folder of the exports that are named, as their commands have them."""
    named = set()
    for command in take_down(str(out), [name], today=TODAY).exports:
        words = shlex.split(command)
        assert words[:3] == ["million-ird", "export", str(out)]
        assert words[3::2] in (["--format", "--config"], ["--format", "--config", "--out"])
        named.add(tuple(words[4::2]))
    return named


FORMS = [(form, config) for form in ("folder", "webdataset", "lmdb") for config in ("images", "patches")]


@pytest.mark.parametrize(("form", "config"), FORMS)
def test_an_export_is_named_until_it_is_updated(out: Path, form: str, config: str) -> None:
    export(str(out), form, config=config)
    assert removed(out, LARGE) == {(form, config)}
    assert removed(out, LARGE) == {(form, config)}
    export(str(out), form, config=config)
    assert removed(out, LARGE) == set()


@pytest.mark.parametrize(("form", "config"), FORMS)
def test_an_export_that_never_had_the_image_is_not_named(out: Path, form: str, config: str) -> None:
    export(str(out), form, config=config)
    assert removed(out, SMALL) == ({(form, config)} if config == "images" else set())


def test_an_export_that_was_made_after_the_removal_is_not_named(out: Path) -> None:
    assert removed(out, LARGE) == set()
    export(str(out), "folder")
    assert removed(out, LARGE) == set()
    assert removed(out, "p0.png") == {("folder", "patches")}


def test_an_export_elsewhere_in_the_folder_is_named_with_its_place(out: Path, tmp_path: Path) -> None:
    places = [out / "export" / "mine", out / "export" / "deep er" / "one", tmp_path / "linked"]
    for place in places[:2]:
        export(str(out), "folder", to=str(place))
    places[2].mkdir()
    (out / "export" / "link").symlink_to(tmp_path / "linked")
    (out / "export" / "round").symlink_to(out / "export")
    (out / "export" / "notes.txt").write_text("mine")
    export(str(out), "folder", to=str(out / "export" / "link"))
    assert removed(out, LARGE) == {
        ("folder", "patches", str(place)) for place in (*places[:2], out / "export" / "link")
    }


def test_an_export_that_was_killed_is_named_by_what_it_may_have_written(out: Path) -> None:
    export(str(out), "folder")
    journal = Journal(Folder(str(out / "export" / "folder" / "patches")), "train")
    for unit in sorted(journal.done):
        journal.reopen(unit)
    assert removed(out, LARGE) == {("folder", "patches")}


@pytest.mark.parametrize("name", ["export.json", "train"])
def test_a_damaged_export_does_not_hide_the_result(
    out: Path, name: str, program: Callable[..., CommandResult], caplog: pytest.LogCaptureFixture
) -> None:
    export(str(out), "folder")
    state = out / "export" / "folder" / "patches" / STATE
    for path in [state / name] if name.endswith(".json") else sorted((state / name).glob("*.parquet")):
        path.write_bytes(b"no")
    (out.parent / "ids").write_text(LARGE)
    done = program("remove", out, "--ids", out.parent / "ids")
    assert done.code == 0
    assert "1 candidate added to the blocklist" in done.out
    (told,) = [record.getMessage() for record in caplog.records if "export" in record.getMessage()]
    assert told.startswith(f"{state.parent}: cannot be read; an export in it may have removed images")
