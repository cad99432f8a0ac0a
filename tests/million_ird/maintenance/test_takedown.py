"""Takedown: the image is in no file, no later build keeps it, and a kill does not lose the blocklist."""

import base64
import csv
import hashlib
import io
import json
import multiprocessing
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from PIL import Image

from million_ird import ledger
from million_ird.config.recipe import Recipe
from million_ird.dataset.key_ranges import order_of_keys
from million_ird.dataset.rewrite_shards import rewrite_shards
from million_ird.errors import OutputError, UsageError
from million_ird.images.decode import shrink
from million_ird.images.encode import encode_jpeg
from million_ird.images.encoded_image import EncodedImage
from million_ird.maintenance import releases
from million_ird.maintenance.explain import explain
from million_ird.maintenance.takedown import TakedownResult, read_names, take_down
from million_ird.maintenance.verify import verify
from million_ird.reporting.thumbnail_maker import QUALITY, SIDE
from million_ird.runtime.file_names import as_typed
from million_ird.runtime.lock import locked
from million_ird.runtime.storage import Folder
from million_ird.workflow import Options, build
from tests.million_ird import scenes
from tests.million_ird.conftest import CommandResult
from tests.million_ird.web_server import Site, serving

TODAY = date(2026, 3, 1)
CHANGES = {"gates": [], "patches": {"size": 96, "format": "png"}, "shards": {"bytes": 400_000}, "validation": 0.3}
NAMED = "p003.png"


def by() -> Recipe:
    return scenes.recipe(**CHANGES)


def photographs(where: Path) -> Path:
    """Create ten images, and one of them again as a JPEG."""
    where.mkdir(parents=True)
    for number in range(10):
        scenes.photograph(number, 320, 240).save(where / f"p{number:03d}.png")
    scenes.photograph(3, 320, 240).save(where / "saved again.jpg", quality=88)
    return where


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return photographs(tmp_path_factory.mktemp("removal") / "in")


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory, source: Path) -> Path:
    """A build and its first release; tests do not change it."""
    out = tmp_path_factory.mktemp("before") / "out"
    scenes.make(source, out, by())
    assert releases.make_release(Folder(str(out)), today=date(2026, 1, 1)) is not None
    return out


@pytest.fixture(scope="module")
def after(tmp_path_factory: pytest.TempPathFactory, before: Path) -> tuple[Path, TakedownResult]:
    """The same after one image was taken down; tests do not change it."""
    out = Path(shutil.copytree(before, tmp_path_factory.mktemp("after") / "out"))
    return out, take_down(str(out), [NAMED], today=TODAY, reason="a request")


@pytest.fixture
def out(before: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(before, tmp_path / "out"))


def rows(out: Path) -> dict[str, dict[str, object]]:
    return {str(row["uri"]): row for row in ledger.load(Folder(str(out))).to_pylist()}


def signatures(out: Path) -> dict[str, tuple[bytes | None, ...]]:
    found = ledger.load(Folder(str(out)), ["uri", *ledger.SIGNATURE]).to_pylist()
    return {row["uri"]: tuple(row[name] for name in ledger.SIGNATURE) for row in found}


def traces(out: Path, name: str) -> list[bytes]:
    """Return some bytes of an image and of each of its patches."""
    found = []
    for kind, column in (("data", "id"), ("patches", "parent")):
        table = pa.concat_tables([pq.read_table(file) for file in sorted((out / kind).iterdir())])
        found += [one["bytes"] for one in table.filter(pc.equal(table[column], name))["image"].to_pylist()]
    return [one[len(one) // 2 :][:64] for one in found]


def holding(out: Path, wanted: list[bytes]) -> set[str]:
    """Return the files that contain any of these bytes."""
    files = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    return {str(path.relative_to(out)) for path, content in files.items() if any(one in content for one in wanted)}


def shards(out: Path) -> dict[str, str]:
    files = [path for kind in ("data", "patches") for path in (out / kind).iterdir()]
    return {str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def start(out: Path, names: Path) -> subprocess.Popen[bytes]:
    code = "from million_ird.cli.app import main; main()"
    command = [sys.executable, "-c", code, "remove", str(out), "--ids", str(names)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def test_the_image_is_in_no_file_and_the_dataset_verifies(before: Path, after: tuple[Path, TakedownResult]) -> None:
    out, done = after
    found = rows(before)
    wanted = traces(before, str(found[NAMED]["id"]))
    assert len(wanted) > 4
    assert {name.partition("/")[0] for name in holding(before, wanted)} == {"data", "patches"}
    assert holding(out, wanted) == set()
    assert verify(str(out)).faults == []
    assert (done.refused, done.unknown, done.lacking, done.images) == (2, 0, 0, 9)
    assert done.release is not None
    assert (done.release.version, done.release.removed, done.release.reasons) == (2, 1, {"removed": 1})
    assert done.release.taken_down == (found[NAMED]["id"],)
    assert "a request" in (out / "CHANGES.md").read_text()
    assert "version 2" in (out / "README.md").read_text()


def test_the_report_does_not_show_it_any_more(before: Path, after: tuple[Path, TakedownResult], source: Path) -> None:
    encoded = (source / NAMED).read_bytes()
    sample = EncodedImage(encoded)
    small = base64.b64encode(encode_jpeg(shrink(sample.thumbnail, SIDE), QUALITY)).decode()
    assert small in (before / "report" / "index.html").read_text()
    assert small not in (after[0] / "report" / "index.html").read_text()


def test_its_copies_are_removed_and_the_rows_keep_only_hashes(after: tuple[Path, TakedownResult]) -> None:
    out, _ = after
    for name in (NAMED, "saved again.jpg"):
        row = rows(out)[name]
        assert (row["verdict"], row["reason"]) == ("dropped", "removed")
        assert row["measured"] is row["leak_of"] is None
        assert signatures(out)[name] == (None, None, None)
    for file in (out / ".work" / "scan").rglob("*.parquet"):
        table = pq.read_table(file)
        gone = pc.is_in(table["uri"], value_set=pa.array([NAMED, "saved again.jpg"]))
        erased = dict.fromkeys(ledger.SIGNATURE)
        assert table.filter(gone).select([*ledger.SIGNATURE]).to_pylist() == [erased] * 2
    refusals = pq.read_table(out / "removed.parquet")
    assert refusals.column_names == ["id", "pixels_id", "width", "height", "phash", "points"]
    assert refusals["id"].to_pylist() == sorted(str(rows(out)[name]["id"]) for name in (NAMED, "saved again.jpg"))
    assert all(refusals["points"].to_pylist())


def test_shards_without_it_keep_their_bytes(before: Path, after: tuple[Path, TakedownResult]) -> None:
    old, new = shards(before), shards(after[0])
    changed = set(old.values()) - set(new.values())
    wanted = traces(before, str(rows(before)[NAMED]["id"]))
    assert changed == {old[name] for name in holding(before, wanted)}
    assert len(old) >= len(changed) + 4


@pytest.mark.full
def test_the_next_build_equals_a_fresh_build_with_the_same_blocklist(
    after: tuple[Path, TakedownResult], source: Path, tmp_path: Path
) -> None:
    again, fresh = Path(shutil.copytree(after[0], tmp_path / "again")), tmp_path / "fresh"
    scenes.make(source, again, by())
    fresh.mkdir()
    for name in ("removed.parquet", "recipe.yaml", "CHANGES.md"):
        shutil.copy(again / name, fresh / name)
    shutil.copytree(again / "releases", fresh / "releases")
    scenes.make(source, fresh, by())
    assert scenes.contents(fresh) == scenes.contents(again)
    assert verify(str(again)).faults == []
    assert verify(str(fresh)).faults == []
    assert rows(fresh)[NAMED]["reason"] == "removed"


def test_a_takedown_needs_no_work_folder(out: Path, source: Path, after: tuple[Path, TakedownResult]) -> None:
    wanted = traces(out, str(rows(out)[NAMED]["id"]))
    shutil.rmtree(out / ".work")
    done = take_down(str(out), [NAMED], today=TODAY, reason="a request")
    assert holding(out, wanted) == set()
    assert scenes.contents(out) == scenes.contents(after[0])
    assert verify(str(out)).faults == []
    again = take_down(str(out), [NAMED], today=date(2027, 1, 1))
    assert (again.refused, again.release, done.refused) == (0, None, 2)
    assert scenes.contents(out) == scenes.contents(after[0])


def _save_altered_copies(picture: Image.Image, where: Path) -> None:
    wide, high = picture.size
    picture.save(where / "z another name.png")
    picture.save(where / "z encoded.jpg", quality=85)
    picture.save(where / "z encoded.webp", quality=90)
    picture.resize((wide * 3 // 4, high * 3 // 4), Image.Resampling.LANCZOS).save(where / "z smaller.jpg", quality=92)
    picture.crop((wide // 50, high // 50, wide - wide // 50, high - high // 50)).save(
        where / "z cropped.jpg", quality=92
    )


@pytest.mark.full
def test_no_altered_copy_brings_it_back(after: tuple[Path, TakedownResult], source: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(after[0], tmp_path / "out"))
    shutil.copytree(source, tmp_path / "in")
    (tmp_path / "in" / NAMED).unlink()
    _save_altered_copies(scenes.photograph(3, 320, 240), tmp_path / "in")
    for _ in range(2):
        scenes.make(tmp_path / "in", out, by())
        found = {name: row["reason"] for name, row in rows(out).items() if name.startswith("z ")}
        assert found == dict.fromkeys(found, "removed")
        assert len(found) == 5
        assert verify(str(out)).faults == []
        shutil.rmtree(out / ".work")


@pytest.mark.full
def test_no_altered_copy_brings_a_real_image_back(shared_data: Path, tmp_path: Path) -> None:
    pictures = tmp_path / "in"
    pictures.mkdir()
    chosen = sorted((shared_data / "photos").glob("*.jpg"))[7:12]
    for path in chosen:
        shutil.copy(path, pictures / path.name)
    recipe = scenes.recipe(patches={"size": 512}, gates=[])
    out = tmp_path / "out"
    scenes.make(pictures, out, recipe)
    kept = [name for name, row in rows(out).items() if row["verdict"] == "kept"]
    assert len(kept) == 5
    take_down(str(out), [kept[1]], today=TODAY)
    with Image.open(pictures / kept[1]) as picture:
        _save_altered_copies(picture.convert("RGB"), pictures)
    (pictures / kept[1]).unlink()
    shutil.rmtree(out / ".work")
    scenes.make(pictures, out, recipe)
    assert {row["reason"] for name, row in rows(out).items() if name.startswith("z ")} == {"removed"}
    assert [name for name, row in rows(out).items() if row["verdict"] == "kept"] == [k for k in kept if k != kept[1]]
    assert verify(str(out)).faults == []


def _assert_same_as_without_kill(out: Path, expected: Path) -> None:
    assert scenes.contents(out) == scenes.contents(expected)
    for name in ("removed.parquet", "CHANGES.md", "releases/releases.json"):
        assert (out / name).read_bytes() == (expected / name).read_bytes()
    assert verify(str(out)).faults == []
    assert scenes.temporary(out) == []


@pytest.mark.full
def test_a_kill_at_the_first_shard_keeps_the_blocklist_and_the_command_can_run_again(
    out: Path, after: tuple[Path, TakedownResult], tmp_path: Path
) -> None:
    names = tmp_path / "names.txt"
    names.write_text(f"# to be taken down\n\n{NAMED}\n")
    times = {path: path.stat().st_mtime_ns for path in (out / "data").iterdir()}
    process = start(out, names)
    while process.poll() is None and all(path.exists() and path.stat().st_mtime_ns == t for path, t in times.items()):
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL, "it was too quick to be killed"
    assert (out / "removed.parquet").exists()
    ended = start(out, names)
    _, said = ended.communicate(timeout=120)
    assert ended.returncode == 0, said
    assert shards(out) == shards(after[0])
    assert verify(str(out)).faults == []


def _remove_and_die(out: str, at: int, counts: "multiprocessing.SimpleQueue[int]") -> None:
    """Run a takedown that dies by SIGKILL before the given change of a file."""
    count = 0

    def watch(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal count
        if event in {"os.rename", "os.remove", "os.rmdir", "shutil.rmtree"}:
            count += 1
            if count == at:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)
    take_down(out, [NAMED], today=TODAY, reason="a request")
    counts.put(count)


def _killed(out: Path, at: int) -> int | None:
    """Return None if the takedown was killed, else the number of changes."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    counts = context.SimpleQueue()
    process = context.Process(target=_remove_and_die, args=(str(out), at, counts))
    process.start()
    process.join()
    if process.exitcode == -signal.SIGKILL:
        return None
    assert process.exitcode == 0
    return int(counts.get())


def _kills(before: Path, after: Path, tmp_path: Path, every: int) -> None:
    changes = _killed(Path(shutil.copytree(before, tmp_path / "whole")), 0)
    assert changes is not None
    assert changes > 15
    held = shards(before)
    for at in range(1, changes + 1, every):
        out = Path(shutil.copytree(before, tmp_path / f"killed {at}"))
        assert _killed(out, at) is None
        assert (out / "removed.parquet").exists() or shards(out) == held
        take_down(str(out), [NAMED], today=TODAY, reason="a request")
        _assert_same_as_without_kill(out, after)
        shutil.rmtree(out)


@pytest.mark.full
def test_after_some_kills_the_same_command_gives_the_same_result(
    before: Path, after: tuple[Path, TakedownResult], tmp_path: Path
) -> None:
    _kills(before, after[0], tmp_path, 7)


@pytest.mark.full
def test_after_any_kill_the_same_command_gives_the_same_result(
    before: Path, after: tuple[Path, TakedownResult], tmp_path: Path
) -> None:
    _kills(before, after[0], tmp_path, 1)


def test_an_unknown_name_changes_nothing(out: Path, tmp_path: Path, program: Callable[..., CommandResult]) -> None:
    held = scenes.contents(out)
    names = tmp_path / "names.txt"
    names.write_text("\n".join([NAMED, *(f"nobody {number}" for number in range(7))]))
    said = program("remove", out, "--ids", names)
    assert said.code == 2
    assert "'nobody 0', 'nobody 1'" in said.line
    assert "2 more" in said.line
    assert scenes.contents(out) == held
    assert not (out / "removed.parquet").exists()
    names.write_text("# nothing\n")
    assert program("remove", out, "--ids", names).code == 2
    assert program("remove", out, "--ids", tmp_path / "none.txt").code == 2
    with locked(Folder(str(out)), ".work/lock"), pytest.raises(OutputError, match="held by"):
        take_down(str(out), [NAMED], today=TODAY)


def test_a_candidate_is_named_by_id_key_uri_or_source_and_the_result_is_json(
    out: Path, tmp_path: Path, program: Callable[..., CommandResult]
) -> None:
    found = rows(out)
    told = [str(found["p000.png"]["id"]), str(found["p001.png"]["key"]), "p002.png"]
    told.append(f"{found['p004.png']['source']}/p004.png")
    (tmp_path / "names.txt").write_text("\n".join(told))
    said = program("remove", out, "--ids", tmp_path / "names.txt", "--json")
    assert said.code == 0, said.err
    answer = json.loads(said.out.splitlines()[-1])
    assert (answer["refused"], answer["images"], answer["release"]["removed"]) == (4, 6, 4)
    assert {name for name, row in rows(out).items() if row["reason"] == "removed"} == {
        "p000.png", "p001.png", "p002.png", "p004.png"
    }  # fmt: skip
    assert verify(str(out)).faults == []


@pytest.mark.parametrize("typed", ["caf\udce9", "\ud800"])
def test_words_that_are_no_text_are_taken_as_escapes(out: Path, typed: str) -> None:
    with pytest.raises(UsageError, match=re.escape(repr(as_typed(typed)))):
        explain(str(out), typed)
    with pytest.raises(UsageError, match=re.escape(repr(as_typed(typed)))):
        take_down(str(out), [typed], today=TODAY)
    taken = take_down(str(out), [NAMED], today=TODAY, reason=typed)
    assert taken.release is not None
    assert taken.release.note == as_typed(typed)


def test_all_images_can_be_removed(out: Path) -> None:
    done = take_down(str(out), sorted(rows(out)), today=TODAY)
    assert (done.images, done.patches) == (0, 0)
    assert sorted(path.name for path in (out / "data").iterdir()) == [
        "train-00000-of-00001.parquet", "validation-00000-of-00001.parquet"
    ]  # fmt: skip
    assert verify(str(out)).faults == []


def test_an_export_in_the_dataset_is_reported(out: Path) -> None:
    from million_ird.export.export import export

    export(str(out), "folder")
    wanted = traces(out, str(rows(out)[NAMED]["id"]))
    done = take_down(str(out), [NAMED], today=TODAY)
    assert done.exports == (f"million-ird export {out} --format folder --config patches",)
    assert holding(out, wanted) != set()
    export(str(out), "folder")
    assert holding(out, wanted) == set()


def test_rows_that_change_their_split_move_and_nothing_else_is_written(out: Path) -> None:
    folder = Folder(str(out))
    table = ledger.load(folder)
    moving = ["p000.png", "p005.png", "p009.png"]
    there = {row["uri"]: row["split"] for row in table.to_pylist()}
    other = {"train": "validation", "validation": "train"}
    splits = [
        other[s] if u in moving else s
        for u, s in zip(table["uri"].to_pylist(), table["split"].to_pylist(), strict=True)
    ]
    place = table.column_names.index("split")
    changed = table.set_column(place, table.schema.field("split"), pa.array(splits, pa.string()))
    ledger.save(folder, [changed], changed.num_rows, changed.schema)
    left = rewrite_shards(folder)
    assert (left.images, left.missing_images) == (10, 0)
    for kind in ("data", "patches"):
        for split in ("train", "validation"):
            found = [pq.read_table(file) for file in sorted((out / kind).glob(f"{split}-*"))]
            uris = list(dict.fromkeys(pa.concat_tables(found)["uri"].to_pylist()))
            order, _ = order_of_keys(changed["key"].to_pylist())
            named = list(zip(changed["uri"].to_pylist(), splits, strict=True))
            assert uris == [named[row][0] for row in order if named[row][1] == split]
    assert there != dict(zip(changed["uri"].to_pylist(), splits, strict=True))
    held = shards(out)
    assert rewrite_shards(folder) == left
    assert shards(out) == held


@pytest.fixture
def site() -> Iterator[Site]:
    bodies = {}
    for number in range(4):
        file = io.BytesIO()
        scenes.photograph(number, 160, 120).save(file, "PNG")
        bodies[f"/{number}.png"] = file.getvalue()
    with serving(bodies) as found:
        yield found


@pytest.mark.full
def test_a_streamed_original_is_overwritten_and_never_fetched_again(tmp_path: Path, site: Site) -> None:
    listed = tmp_path / "urls.csv"
    with listed.open("w", newline="") as file:
        csv.writer(file).writerows([["url"], *([site.url(f"/{number}.png")] for number in (*range(4), 404))])
    out = tmp_path / "out"
    how = Options(workers=0, allow_private_hosts=True)
    plain = {"patches": {"size": 64}, "limits": {"failed_share": 1}, "web": {"retries": 0}}
    build([str(listed)], str(out), Recipe.model_validate(plain), how)
    (named,) = (row for uri, row in rows(out).items() if uri.endswith("/2.png"))
    body = site.pages["/2.png"]
    assert isinstance(body, bytes)
    wanted = [body[len(body) // 2 :][:64], *traces(out, str(named["id"]))]
    assert any(name.endswith(".tar") for name in holding(out, wanted))
    done = take_down(str(out), [str(named["key"]), site.url("/404.png")], today=TODAY)
    assert (done.refused, done.unknown) == (1, 1)  # of the one that was never there nothing is known
    assert holding(out, wanted) == set()
    assert verify(str(out)).faults == []
    build([str(listed)], str(out), Recipe.model_validate(plain), how)
    assert verify(str(out)).faults == []
    # Every picture is to be measured anew, and all failures tried again: of this one there is nothing left to measure.
    more = Recipe.model_validate(plain | {"limits": {"failed_share": 1, "max_pixels": 10_000_000}})
    for retry in (None, frozenset[str]()):
        build([str(listed)], str(out), more, Options(workers=0, allow_private_hosts=True, retry=retry))
        found = rows(out)[str(named["uri"])]
        assert (found["verdict"], found["reason"]) == ("dropped", "removed")
        assert verify(str(out)).faults == []
    assert {path: count for path, count in site.asked.items() if path.endswith(".png")} == {
        "/0.png": 1, "/1.png": 1, "/2.png": 1, "/3.png": 1, "/404.png": 2
    }  # fmt: skip
    assert holding(out, wanted) == set()


@pytest.mark.full
def test_an_image_that_a_gate_dropped_can_be_blocked_too(tmp_path: Path) -> None:
    scenes.lay_out(tmp_path / "in")
    out = tmp_path / "out"
    scenes.make(tmp_path / "in", out)
    assert take_down(str(out), ["small.png"], today=TODAY).refused == 1
    assert rows(out)["small.png"]["reason"] == "removed"
    scenes.make(tmp_path / "in", out, scenes.recipe(gates=[]))
    assert rows(out)["small.png"]["reason"] == "removed"
    assert verify(str(out)).faults == []


def test_a_list_of_names_may_have_empty_lines_and_comments() -> None:
    assert read_names(["a\n", "\n", "# no\n", " b c \n", "a\n"]) == ["a", "b c"]
    assert read_names(["\ufeff# no\n", "a\n"]) == ["a"]


@pytest.mark.parametrize("content", [b"caf\xe9\n", "a\n".encode("utf-16")])
def test_a_list_of_names_that_is_not_utf8_is_told_in_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "ids.txt").write_bytes(content)
    with open(tmp_path / "ids.txt", encoding="utf-8") as lines, pytest.raises(UsageError, match=r"ids\.txt: not UTF-8"):
        read_names(lines)


def test_no_name_is_an_error(out: Path) -> None:
    with pytest.raises(UsageError, match="no candidate is named"):
        take_down(str(out), [], today=TODAY)
