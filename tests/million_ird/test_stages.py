"""Nothing stale without a word: every stage that moves, and every command that then works with what it moved."""

import json
import shutil
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import pytest

from million_ird.build_folder import open_build, save_recipe
from million_ird.config.recipe import Recipe
from million_ird.errors import StaleBuild
from million_ird.export.export import export
from million_ird.fingerprints import save_benchmarks
from million_ird.hub.publish import publish
from million_ird.maintenance.clean import clean
from million_ird.maintenance.explain import explain
from million_ird.maintenance.status import read_status
from million_ird.maintenance.takedown import take_down
from million_ird.maintenance.verify import verify
from million_ird.marks import ledger_digest
from million_ird.reference_sets import ReferenceSet
from million_ird.runtime.executor import Executor
from million_ird.runtime.storage import Folder
from million_ird.stages import Stage, read_stages, require_current
from million_ird.workflow import Options, decide_again, report_again, scan_again, write_again
from tests.million_ird import scenes

INLINE = Options(workers=0)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small build and its source, side by side; no test changes them."""
    folder = tmp_path_factory.mktemp("stages")
    (folder / "pictures").mkdir()
    for number in range(3):
        scenes.photograph(number).save(folder / "pictures" / f"p{number}.png")
    scenes.photograph(9, 40, 40).save(folder / "pictures" / "small.png")
    scenes.make(folder / "pictures", folder / "out")
    return folder


@pytest.fixture
def out(base: Path, tmp_path: Path) -> Iterator[str]:
    """A copy of the build, with the source in its place."""
    shutil.copytree(base / "out", tmp_path / "out")
    kept = sorted(path.name for path in (base / "pictures").iterdir())
    yield str(tmp_path / "out")
    for path in (base / "pictures").iterdir():
        if path.name not in kept:
            path.unlink()


def change_recipe_file(out: str, by: Recipe) -> None:
    """Change `recipe.yaml` by hand."""
    save_recipe(open_build(out)[0], by)


def open_specs(out: str) -> list[dict[str, object]]:
    """Return the sources that a build saved."""
    specs: list[dict[str, object]] = json.loads((Path(out) / ".work" / "sources.json").read_text())
    return specs


def add_picture(out: str) -> None:
    """Scan a picture that is new in the source."""
    (spec,) = open_specs(out)
    source = Path(str(spec["uri"]).removeprefix("file://"))
    scenes.photograph(50).save(source / "new.png")
    scan_again(out, INLINE)


def exclude(out: str) -> None:
    """Exclude an evaluation set, without deciding again."""
    tests = Path(out).parent / "tests"
    tests.mkdir()
    scenes.photograph(1).save(tests / "test.png")
    with Executor(0) as executor:
        save_benchmarks(Folder(out), (ReferenceSet("tests", str(tests)),), executor, only=False)


STRICT = scenes.gated(min=75)
NO_LIMIT = scenes.recipe(gates=[])
MOVES: dict[str, tuple[Callable[[str], object], Stage | None]] = {
    "nothing": (lambda out: None, None),
    "scan of a new file": (add_picture, Stage.DECIDE),
    "scan of the same files": (lambda out: scan_again(out, INLINE), None),
    "recipe.yaml, gates": (lambda out: change_recipe_file(out, STRICT), Stage.DECIDE),
    "recipe.yaml, name": (lambda out: change_recipe_file(out, scenes.recipe(name="other")), Stage.DECIDE),
    "recipe.yaml, new column": (lambda out: change_recipe_file(out, scenes.recipe(columns=["told"])), Stage.SCAN),
    "evaluation set": (exclude, Stage.DECIDE),
    "decide, stricter": (lambda out: decide_again(out, STRICT), Stage.WRITE),
    "decide, looser": (lambda out: decide_again(out, NO_LIMIT), Stage.WRITE),
    "decide, other patches": (
        lambda out: decide_again(out, scenes.recipe(patches={"size": 24, "format": "png"})),
        Stage.WRITE,
    ),
    "decide, same recipe": (lambda out: decide_again(out), None),
    "decide, there and back": (lambda out: (decide_again(out, STRICT), decide_again(out, scenes.recipe())), None),
    "decide and write": (lambda out: (decide_again(out, STRICT), write_again(out, INLINE)), Stage.REPORT),
    "decide, write, report": (
        lambda out: (decide_again(out, STRICT), write_again(out, INLINE), report_again(out)),
        None,
    ),
    "write cut off": (lambda out: Folder(out).write(".work/write/0123.parquet", b"x"), Stage.WRITE),
    "deciding cut off": (lambda out: Folder(out).write_json(".work/decided.json", {}), Stage.DECIDE),
    "report removed": (lambda out: Folder(out).remove("report/index.html"), Stage.REPORT),
}
"""What moves, and the first stage that is due then."""
COPIED = ("nothing", "evaluation set", "decide, stricter", "decide, there and back", "decide and write")
"""Those that are also tried on a copy of the folder, whose files have other times."""
REFUSED = {
    "export": {Stage.SCAN, Stage.DECIDE, Stage.WRITE},
    "publish": {Stage.SCAN, Stage.DECIDE, Stage.WRITE},
    "write": {Stage.SCAN, Stage.DECIDE},
    "report": {Stage.SCAN, Stage.DECIDE},
}
"""Commands, and the stages that must be current for them."""
COMMANDS: dict[str, Callable[[str], object]] = {
    "export": lambda out: export(out, "folder"),
    "publish": lambda out: publish(out, "user/set", dry_run=True),
    "write": lambda out: write_again(out, INLINE),
    "report": report_again,
}


@pytest.mark.parametrize(("move", "copied"), [*((move, False) for move in MOVES), *((move, True) for move in COPIED)])
def test_every_command_knows_which_stage_is_due(move: str, copied: bool, out: str, tmp_path: Path) -> None:
    change, first = MOVES[move]
    change(out)
    if copied:  # `cp -r`: other inodes, times and a path of its own
        out = str(shutil.copytree(out, tmp_path / "copy", copy_function=shutil.copyfile))
    stages = read_stages(out)
    after = [stage for stage in Stage if first and stage.value in [*Stage][[*Stage].index(first) :]]
    assert list(stages.due) == after, stages.due
    run = Stage if move == "decide, looser" else after  # what the stricter gates dropped early was never measured
    assert stages.commands == tuple(f"million-ird {stage} {out}" for stage in run)

    status = read_status(out)
    assert status.next == stages.commands
    assert (status.text.count("due: "), "up to date" in status.text) == (len(after), not after)
    assert status.as_json()["stages"] == {stage.value: stages.due.get(stage, "current") for stage in Stage}

    report = verify(out)
    in_dataset = first is not None and first is not Stage.REPORT
    assert (report.faults, len(report.stale), report.is_current) == ([], in_dataset, not in_dataset)
    assert all(f"{first} is due" in line and stages.next in line for line in report.stale)
    assert ("appears twice" in report.text, "stale: " in report.text) == (False, in_dataset)

    words = explain(out, "p0.png").text
    assert (f"{first} is due" in words) == (first is not None)

    for command, call in COMMANDS.items():
        if first in REFUSED[command]:
            with pytest.raises(StaleBuild) as refused:
                call(out)
            assert f"million-ird {first} {out}" in str(refused.value)
            assert "\n" not in str(refused.value)
    if first is Stage.REPORT or first is None:
        assert export(out, "folder").images == 12 if "write" not in move else export(out, "folder").written == 0
        publish(out, "user/set", dry_run=True)


def test_running_what_is_due_makes_everything_current(out: str) -> None:
    runs: dict[str, Callable[[str], object]] = {
        "scan": lambda out: scan_again(out, INLINE),
        "decide": decide_again,
        **COMMANDS,
    }
    for move in ("scan of a new file", "recipe.yaml, gates", "decide, other patches", "evaluation set"):
        MOVES[move][0](out)
        while commands := read_stages(out).commands:
            runs[commands[0].split()[1]](out)
        assert verify(out).faults == []
        assert verify(out).is_current


@pytest.mark.parametrize("move", ["decide, stricter", "recipe.yaml, gates", "nothing"])
def test_a_cleaned_build_knows_it_too(move: str, out: str) -> None:
    change, first = MOVES[move]
    change(out)
    clean(out)
    assert not (Path(out) / ".work").exists()
    stages = read_stages(out)
    assert bool(stages.due) == (first is not None)
    if first:
        assert stages.commands[-1].startswith("million-ird build --sources …")
        with pytest.raises(StaleBuild):
            export(out, "folder")
    else:
        assert export(out, "folder").written


def test_cleaning_does_not_lose_what_was_measured_and_not_decided(out: str) -> None:
    add_picture(out)
    with pytest.raises(StaleBuild, match="million-ird decide"):
        clean(out)
    assert clean(out, everything=True).files


def test_a_takedown_keeps_a_current_build_current_and_a_stale_one_stale(out: str, tmp_path: Path) -> None:
    other = str(shutil.copytree(out, tmp_path / "other"))
    take_down(out, ["p1.png"], today=date(2026, 1, 1))
    assert read_stages(out).due == {}
    assert verify(out).is_current
    decide_again(other, scenes.recipe(patches={"size": 24, "format": "png"}))
    take_down(other, ["p1.png"], today=date(2026, 1, 1))
    assert Stage.WRITE in read_stages(other).due
    write_again(other, INLINE)
    assert verify(other).is_current


def test_a_dataset_of_an_earlier_version_is_compared_row_by_row(out: str) -> None:
    card = Path(out) / "README.md"
    bare = card.read_text().rsplit("\n<!--", 1)[0]
    card.write_text(bare)
    assert Stage.WRITE not in read_stages(out).due
    decide_again(out, scenes.gated(min=75))
    decide_again(out, scenes.recipe())
    assert Stage.WRITE not in read_stages(out).due
    exclude(out)
    decide_again(out)
    assert Stage.WRITE in read_stages(out).due


def test_a_scan_that_was_cut_off_is_said_until_it_is_done(out: str) -> None:
    folder = Folder(out)
    state = folder.read_json(".work/progress.json")
    folder.write_json(".work/progress.json", {**state, "stage": "scan", "scanning": True})
    report_again(out)  # another command in between
    assert "the last scan was cut off" in read_status(out).text
    assert read_status(out).next[0] == f"million-ird scan {out}"
    scan_again(out, INLINE)
    assert read_status(out).next == ()


def test_the_digest_of_a_ledger_is_that_of_its_words(out: str) -> None:
    first = ledger_digest(Folder(out))
    decide_again(out, STRICT)
    assert ledger_digest(Folder(out)) != first
    decide_again(out, scenes.recipe())
    assert ledger_digest(Folder(out)) == first


def test_the_digest_of_a_ledger_does_not_depend_on_who_reads_its_files(out: str) -> None:
    folder = Folder(out)
    (file,) = (Path(out) / "ledger").glob("*.parquet")
    (file.parent / "another.parquet").write_bytes(file.read_bytes())
    with Executor(2) as executor:
        assert ledger_digest(folder, executor.run) == ledger_digest(folder)
        assert ledger_digest(folder, lambda work, files: map(work, reversed([*files]))) == ledger_digest(folder)


def test_a_known_digest_is_that_of_the_rows_and_is_not_believed_of_other_files(out: str) -> None:
    known = Path(out) / ".work" / "ledger.json"
    stored = ledger_digest(Folder(out))
    assert json.loads(known.read_text())["digest"] == stored
    known.write_text(known.read_text().replace(stored, "0" * 16))
    assert ledger_digest(Folder(out)) == "0" * 16  # without reading the rows
    (file,) = (Path(out) / "ledger").glob("*.parquet")
    file.write_bytes(file.read_bytes())  # another time
    assert ledger_digest(Folder(out)) == stored


def test_a_dataset_without_its_ledger_is_exported(out: str) -> None:
    for name in ("ledger", ".work"):
        shutil.rmtree(Path(out) / name)
    require_current(Folder(out), "exported")
    assert export(out, "folder").written == 12


def test_the_command_line_says_it_and_exits_with_2(out: str, program: Callable[..., object]) -> None:
    def run(*arguments: object) -> tuple[int, str, str]:
        result = program(*arguments)
        return result.code, result.out, result.err  # type: ignore[attr-defined]

    strict = Path(out).parent / "strict.yaml"
    strict.write_text(STRICT.dump())
    code, said, _ = run("decide", out, "--recipe", strict)
    lines = ("Next: write is due: the recipe changed since", f"million-ird write {out} &&", f"million-ird report {out}")
    assert (code, tuple(said.splitlines()[-3:])) == (0, lines)
    code, said, _ = run("decide", out, "--recipe", strict, "--json")
    assert json.loads(said.splitlines()[-1])["next"] == [f"million-ird write {out}", f"million-ird report {out}"]
    for command in (("export", out, "--format", "folder"), ("publish", out, "--repo-id", "user/set", "--dry-run")):
        code, said, error = run(*command)
        (line,) = error.strip().splitlines()
        assert (code, said) == (2, "")
        assert f"million-ird write {out}" in line
    code, said, _ = run("verify", out)
    assert (code, said.startswith("stale: write is due: ")) == (1, True)
    code, said, _ = run("write", out, "--workers", 0)
    lines = ("Next: report is due: the recipe changed since", f"million-ird report {out}")
    assert (code, tuple(said.splitlines()[-2:])) == (0, lines)
    code, said, _ = run("report", out)
    assert (code, "Next" in said) == (0, False)


def test_the_reports_hint_is_complete(out: str) -> None:
    page = (Path(out) / "report" / "index.html").read_text()
    hint = page[page.index("Put them into a recipe file") :][:900]
    places = [hint.index(f"million-ird {stage} OUT") for stage in ("decide", "scan", "write", "report", "status")]
    assert places == sorted(places)
