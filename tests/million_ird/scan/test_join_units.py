"""Units that are joined: the same rows and the same ledger, whatever was joined, measured again, erased or killed."""

import contextlib
import shutil
import signal
import subprocess
import sys
from datetime import date
from pathlib import Path

import numpy as np
import pytest

import million_ird
from million_ird.build_folder import INDEX
from million_ird.ledger import SIGNATURE
from million_ird.maintenance.clean import clean
from million_ird.maintenance.purge import purge
from million_ird.maintenance.takedown import take_down
from million_ird.maintenance.verify import verify
from million_ird.runtime.executor import Executor
from million_ird.runtime.storage import Folder
from million_ird.scan import join_units, joined_blocks
from million_ird.scan.row_index import PARTS, RowIndex, all_row_files, file_of, part_files
from million_ird.sources import files
from million_ird.workflow import Options, decide_stage
from tests.million_ird import scenes
from tests.million_ird.decide.test_stream import ledger_bytes, random_rows
from tests.million_ird.decide.test_verdicts import RECIPE
from tests.million_ird.scan import joining
from tests.million_ird.stopping import NEVER, Stopped, raise_stopped, stop_before

PROGRAM = Path(joining.__file__)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few rows are many."""
    for constant, value in joining.SIZES.items():
        monkeypatch.setattr(join_units, constant, value)


def decided(out: Folder) -> dict[str, bytes]:
    with Executor(0) as executor:
        decide_stage(out, RECIPE, executor)
    return ledger_bytes(out)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("seed", [0, 1, *(pytest.param(seed, marks=pytest.mark.full) for seed in range(2, 12))])
def test_whatever_happens_to_units_their_rows_and_the_ledger_are_those_of_files_that_were_never_joined(
    seed: int, tmp_path: Path
) -> None:
    random = np.random.default_rng(seed)
    plain = Folder(str(tmp_path / "plain"))
    joined = Folder(f"memory://{tmp_path.name}/joined" if seed % 2 else str(tmp_path / "joined"))
    rows = random_rows(120, seed)
    names = joining.write_units(plain, rows, RECIPE, seed)
    assert joining.write_units(joined, rows, RECIPE, seed) == names

    def failed_again(own: joining.Rows) -> joining.Rows:
        return [row | {"failure_class": "hung", "failure_detail": str(random.random())} for row in own]

    for _ in range(10):
        action = random.choice(["join", "stop", "stop", "rewrite", "purge"])
        if action == "join":
            joining.join(joined)
        elif action == "stop":
            with pytest.MonkeyPatch.context() as patch, contextlib.suppress(Stopped):
                stop_before(int(random.integers(0, 40)), raise_stopped, patch.setattr)
                joining.join(joined)
        elif action == "rewrite":
            for name in random.choice(names, 4).tolist():
                own = failed_again(joining.rows_of(plain, [name])[name])
                for out in (plain, joined):
                    joining.rewrite(out, name, lambda _, own=own: own)
        else:
            keys = frozenset(str(rows[number]["key"]) for number in random.integers(0, len(rows), 3))
            for out in (plain, joined):
                purge(out, keys)
            for name in all_row_files(joined):
                erased = [row for row in joined.read_table(name).to_pylist() if row["key"] in keys]
                assert all(row[column] is None for row in erased for column in SIGNATURE), name
        assert joining.rows_of(joined, names) == joining.rows_of(plain, names)
    joining.join(joined)
    assert len(all_row_files(joined)) < len(names) / 2
    assert not RowIndex(joined).superseded
    assert decided(joined) == decided(plain)


@pytest.mark.full
@pytest.mark.usefixtures("small")
def test_two_hosts_that_join_the_same_units_write_the_same_parts_and_need_not_wait_for_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, alone = Folder(f"memory://{tmp_path.name}/both"), Folder(f"memory://{tmp_path.name}/alone")
    for one in (out, alone):
        names = joining.write_units(one, random_rows(150, 1), RECIPE, 1)
    before = joining.rows_of(out, names)
    joining.join(alone)
    reading, turns = Folder.read, iter(range(NEVER))
    tasks = list(join_units.joined_at_end(out, RowIndex(out), names))

    def overtaken(self: Folder, name: str, at_most: int = -1) -> bytes:
        """After some units were read by one host, the other one has joined them all."""
        if next(turns) == 10:
            for task in tasks:
                task()
        return reading(self, name, at_most)

    monkeypatch.setattr(Folder, "read", overtaken)
    for task in tasks:
        task()
    monkeypatch.undo()
    assert joining.rows_of(out, names) == before
    assert {name: alone.read(name) for name in part_files(alone)}.items() <= {
        name: out.read(name) for name in part_files(out)
    }.items()
    # What a host that was cut off writes late is not taken for a newer result.
    out.write_table(names[0], alone.read_table(part_files(alone)[0]).slice(0, 1))
    assert RowIndex(out).superseded == [names[0]]
    assert joining.rows_of(out, names) == before
    assert decided(out) == decided(alone)


def check_kill(folder: Path, at: int, names: list[str], rows: dict[str, joining.Rows]) -> None:
    """Kill joining before an operation; the rows are there at once, and joining again ends as if nothing had been."""
    killed = subprocess.run([sys.executable, PROGRAM, folder, str(at)], check=False, cwd=PROGRAM.parents[3])
    assert killed.returncode == -signal.SIGKILL
    out = Folder(str(folder))
    assert joining.rows_of(out, names) == rows, at
    out.sweep()
    joining.join(out)
    assert joining.rows_of(out, names) == rows, at
    assert not RowIndex(out).superseded
    assert len(all_row_files(out)) < len(names) / 3


@pytest.mark.full
@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(("seed", "moments"), [(0, 2), *((seed, 10) for seed in (1, 2, 3))])
def test_joining_that_is_killed_loses_nothing_and_leaves_nothing(seed: int, moments: int, tmp_path: Path) -> None:
    out = Folder(str(tmp_path / "scan"))
    names = joining.write_units(out, random_rows(120, seed), RECIPE, seed)
    rows = joining.rows_of(out, names)
    copies = [Path(shutil.copytree(tmp_path / "scan", tmp_path / f"copy {number}")) for number in range(moments)]
    with pytest.MonkeyPatch.context() as patch:
        operations = stop_before(NEVER, raise_stopped, patch.setattr)
        joining.join(out)
    expected = decided(out)
    random = np.random.default_rng(seed)
    for copy in copies:
        check_kill(copy, int(random.integers(0, operations[0])), names, rows)
        assert decided(Folder(str(copy))) == expected


def test_few_units_stay_as_they_are_and_large_ones_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = Folder(str(tmp_path))
    names = joining.write_units(out, random_rows(220, 0), RECIPE, 0)
    few = names[: join_units.MIN_UNITS - 1]
    assert not list(join_units.join_tasks(out, [(name, 0) for name in few]))
    index = RowIndex(out)
    monkeypatch.setattr(join_units, "MIN_UNITS", 1)
    monkeypatch.setattr(join_units, "PART_BYTES", 2 * max(index.size(name) or 0 for name in names))
    tasks = list(join_units.joined_at_end(out, index, names))
    left = {*names} - {unit for task in tasks for unit, _ in task.units}
    assert left == {name for name in names if 2 * (index.size(name) or 0) >= join_units.PART_BYTES}
    assert left
    for task in tasks:
        task()
    assert {*all_row_files(out)} == left | {*part_files(out)}


@pytest.mark.full
def test_a_build_whose_units_are_joined_resumes_tries_again_takes_down_and_verifies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos, recipe = tmp_path / "photos", tmp_path / "recipe.yaml"
    photos.mkdir()
    recipe.write_text("patches: {size: 64}\n")
    for number in range(9):
        scenes.photograph(number, 200, 160).save(photos / f"{number}.png")
    (photos / "broken.png").write_bytes(b"nothing")
    monkeypatch.setattr(files, "CHUNK_SIZE", 1)  # a unit for each file
    plain = million_ird.build(photos, tmp_path / "plain", recipe=recipe, options=Options(workers=0))
    for module in (join_units, joined_blocks):
        monkeypatch.setattr(module, "BLOCK_UNITS", 4)
    monkeypatch.setattr(join_units, "MIN_UNITS", 2)
    out = Folder(str(tmp_path / "out"))

    def build(**options: object) -> million_ird.Result:
        done = million_ird.build(photos, out.root, recipe=recipe, options=Options(workers=0, **options))  # type: ignore[arg-type]
        assert verify(out.root).is_current
        return done

    first = build()
    assert first.scan.measured == plain.scan.measured == 10
    assert ledger_bytes(out) == ledger_bytes(Folder(str(tmp_path / "plain")))
    assert all(name.startswith(PARTS) for name in all_row_files(out))
    assert len(part_files(out)) == 3
    assert build().did_nothing
    # A new file, and one that failed, are measured, and nothing else; they are joined, too.
    scenes.photograph(9, 200, 160).save(photos / "9.png")
    assert build(retry=frozenset()).scan.measured == 2
    assert len(all_row_files(out)) == 4
    index = RowIndex(out)
    again = [name for name in out.read_json(INDEX)["units"] if index.place(name).revision]
    assert len(again) == 1
    assert not out.exists(file_of(again[0], 1))
    take_down(out.root, ["3.png"], today=date(2026, 1, 1))
    assert verify(out.root).is_current
    removed = {name: out.read_table(name).to_pylist() for name in all_row_files(out)}
    assert all(row["frame"] is None for own in removed.values() for row in own if row["uri"] == "3.png")
    assert build().scan.measured == 0
    bytes_before = ledger_bytes(out)
    assert clean(out.root).files >= 4
    assert not all_row_files(out)
    build()
    assert ledger_bytes(out) == bytes_before
