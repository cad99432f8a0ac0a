"""Files appear whole or not at all, under any name, and a disk that refuses is told in one line."""

import errno
import os
import pickle
import subprocess
import sys
from pathlib import Path
from random import Random

import pyarrow as pa
import pytest

from million_ird.errors import BuildError, DamagedFile, OutputError, SourceError, UsageError
from million_ird.runtime import storage
from million_ird.runtime.lock import locked
from million_ird.runtime.storage import Folder
from million_ird.sources.listing import list_files
from tests.million_ird import scenes


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(str(tmp_path / "out"))


# Writing


def test_a_file_is_visible_only_when_it_is_whole(folder: Folder) -> None:
    with folder.writing("a/b") as file:
        file.write(b"half")
        assert not folder.exists("a/b")
    assert folder.read("a/b") == b"half"
    assert folder.names("a") == ["b"]


def test_a_writer_that_raises_leaves_nothing_and_what_was_there_stays(folder: Folder) -> None:
    folder.write("a", b"before")
    with pytest.raises(ZeroDivisionError), folder.writing("a") as file:
        file.write(b"after" * (1 // 0))
    assert folder.read("a") == b"before"
    assert folder.names() == ["a"]


def test_what_a_killed_writer_left_is_swept_wherever_it_lies(folder: Folder) -> None:
    script = (
        "import os, signal, sys\nfrom million_ird.runtime.storage import Folder\n"
        "with Folder(sys.argv[1]).writing('deep/er/a') as file:\n    file.write(b'x')\n    os.kill(os.getpid(), 9)\n"
    )
    killed = subprocess.run([sys.executable, "-c", script, folder.root])
    assert killed.returncode == -9
    assert folder.names("deep/er")
    with locked(folder, ".work/lock"):
        pass
    assert folder.names("deep/er") == []


def test_temporary_files_of_living_processes_and_other_machines_stay(folder: Folder) -> None:
    script = (
        "import sys\nfrom million_ird.runtime.storage import Folder\n"
        "with Folder(sys.argv[1]).writing('a') as file:\n    print('begun', flush=True)\n    sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", script, folder.root]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        assert writer.stdin is not None
        writer.stdout.readline()
        (unfinished,) = folder.names()
        _, machine, pid, unique = unfinished.split("-")
        assert pid == str(writer.pid)
        elsewhere = f".tmp-{'0' * 8}-{pid}-{unique}"
        mine, old = f".tmp-{machine}-{os.getpid()}-{unique}", f".tmp-{unique}"
        for name in (elsewhere, mine, old, ".tmp-of-somebody-else"):
            Path(folder.path(name)).touch()
        assert sorted(folder.leftovers()) == sorted([mine, old])
        with locked(folder, ".work/lock"):
            pass
        assert {*folder.names()} == {".work", unfinished, elsewhere, ".tmp-of-somebody-else"}
        writer.stdin.close()
    assert {*folder.names()} == {".work", "a", elsewhere, ".tmp-of-somebody-else"}


class DiskCalls:
    """The calls that concern power cuts, in order: ("flush", path) and ("rename", from, to)."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.calls: list[tuple[str, ...]] = []
        fsync, replace = os.fsync, os.replace

        def recording_fsync(descriptor: int) -> None:
            self.calls.append(("flush", os.readlink(f"/proc/self/fd/{descriptor}")))
            fsync(descriptor)

        def recording_replace(old: str, new: str) -> None:
            self.calls.append(("rename", old, new))
            replace(old, new)

        patch.setattr(os, "fsync", recording_fsync)
        patch.setattr(os, "replace", recording_replace)


@pytest.mark.full
def test_every_file_of_a_build_is_flushed_around_its_renaming(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    for number in range(2):
        (tmp_path / "source").mkdir(exist_ok=True)
        scenes.photograph(number).save(tmp_path / "source" / f"{number}.png")
    disk = DiskCalls(monkeypatch)
    scenes.make(tmp_path / "source", out)
    files: dict[str, str] = {}  # the name under which each renamed file was written, by the name that it has at the end
    for place, call in enumerate(disk.calls):
        if call[0] == "rename":
            _, old, new = call
            files[new] = files.pop(old, old)
            assert ("flush", files[new]) in disk.calls[:place], f"{new} got its name before its content was flushed"
            assert ("flush", os.path.dirname(new)) in disk.calls[place:], f"the folder of {new} was not flushed"
    written = {str(path) for path in out.rglob("*") if path.is_file()}
    assert {f"{out}/{name}" for name in ("recipe.yaml", "README.md")} <= written
    assert any(name.startswith(f"{out}/.work/scan/") for name in written)
    assert written - {f"{out}/.work/lock"} <= files.keys()
    assert ("flush", str(tmp_path)) in disk.calls, "the new folder OUT itself"


@pytest.mark.parametrize(
    ("error", "is_fatal"), [("EINVAL", False), ("ENOTSUP", False), ("EACCES", False), ("EIO", True)]
)
def test_a_file_system_that_cannot_flush_folders_is_no_error(
    folder: Folder, monkeypatch: pytest.MonkeyPatch, error: str, is_fatal: bool
) -> None:
    fsync = os.fsync

    def refuse(descriptor: int) -> None:
        if os.path.isdir(f"/proc/self/fd/{descriptor}"):
            raise OSError(getattr(errno, error), "no luck")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", refuse)
    if is_fatal:
        with pytest.raises(BuildError, match="cannot be written: no luck"):
            folder.write("a", b"content")
    else:
        folder.write("a", b"content")
        folder.rename("a", "deep/b")
        assert folder.read("deep/b") == b"content"


def test_json_and_tables_come_back_as_they_went(folder: Folder) -> None:
    value = {"ü": [1, None, "a\nb"], "bytes": os.fsdecode(b"\xff")}
    folder.write_json("v", value)
    assert folder.read_json("v") == value
    assert folder.read_json("nothing") is None
    table = pa.table({"a": [1, None], "b": ["x", "y"]})
    folder.write_table("t", table)
    assert folder.read_table("t").equals(table)
    assert folder.read_table("t", ["b"]).column_names == ["b"]
    assert folder.read_schema("t").equals(table.schema)


@pytest.mark.parametrize("content", [b"", b"PAR1", b"nonsense", b"PAR1" + bytes(100) + b"PAR1"])
def test_a_file_that_is_no_table_or_no_json_is_damaged_in_one_line(folder: Folder, content: bytes) -> None:
    folder.write("t", content)
    for read in (folder.read_table, folder.read_schema, folder.read_json):
        with pytest.raises(DamagedFile, match=r"/t: damaged .*; remove it and run the build again") as caught:
            read("t")
        assert "\n" not in str(caught.value)


def test_a_table_that_is_damaged_in_its_middle_is_damaged(folder: Folder) -> None:
    random = Random(0)
    folder.write_table("t", pa.table({"a": [random.randbytes(50).hex() for _ in range(2000)]}))
    content = bytearray(folder.read("t"))
    content[4:3000] = bytes(2996)  # the head of the first page, which says what follows
    folder.write("t", bytes(content))
    with pytest.raises(DamagedFile):
        folder.read_table("t")


def test_renaming_moves_and_removing_what_is_not_there_is_fine(folder: Folder) -> None:
    folder.write("a", b"1")
    folder.rename("a", "deep/b")
    assert (folder.names(), folder.names("deep")) == (["deep"], ["b"])
    folder.remove("deep")
    folder.remove("deep")
    assert folder.names() == []


@pytest.mark.parametrize("at_most", [0, 1, 9, 10, 11, 1 << 40, 1 << 62])
def test_a_limit_beyond_all_memory_reads_the_whole_file(folder: Folder, at_most: int) -> None:
    folder.write("a", b"0123456789")
    assert folder.read("a", at_most) == b"0123456789"[:at_most]


def test_a_version_changes_with_the_file(folder: Folder) -> None:
    folder.write("a", b"1")
    first = folder.version("a")
    assert folder.version("a") == first
    folder.write("a", b"2")
    assert folder.version("a") != first


# Disks that refuse


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Path:
    """A file system of 200 kB."""
    where = tmp_path / "tiny"
    where.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", where], capture_output=True).returncode:
        pytest.skip("mounting is not permitted here")
    try:
        yield where
    finally:
        subprocess.run(["umount", "-l", where], check=True)


def test_a_full_disk_is_told_and_leaves_nothing_half(tiny_disk: Path) -> None:
    folder = Folder(str(tiny_disk))
    with pytest.raises(BuildError, match="no space left; free some and run the same command again"):
        folder.write("large", bytes(400_000))
    assert folder.names() == []
    with pytest.raises(BuildError, match="no space left"):
        folder.write_table("table", pa.table({"a": [os.urandom(50).hex() for _ in range(9000)]}))
    assert folder.names() == []


def test_a_read_only_disk_is_a_wrong_choice(tiny_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", tiny_disk], check=True)
    folder = Folder(str(tiny_disk / "out"))
    with pytest.raises(OutputError, match="cannot be written: Read-only file system"):
        folder.write("a", b"1")
    with pytest.raises(OutputError, match="cannot be written"), locked(folder, ".work/lock"):
        pass


def test_a_limit_on_file_sizes_is_told(tmp_path: Path) -> None:
    script = (
        "import resource, sys\nfrom million_ird.errors import BuildError\n"
        "from million_ird.runtime.storage import Folder\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try:\n    Folder(sys.argv[1]).write('a', bytes(5000))\nexcept BuildError as error:\n    print(error)\n"
    )
    ran = subprocess.run([sys.executable, "-c", script, tmp_path], capture_output=True, text=True, check=True)
    assert "cannot be written: File too large" in ran.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("bad", ["file/out", "x" * 300])
def test_a_path_that_cannot_be_is_a_wrong_choice(tmp_path: Path, bad: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be written"):
        Folder(str(tmp_path / bad)).write("a", b"1")


def test_other_write_errors_are_told_with_the_system_s_words() -> None:
    with pytest.raises(BuildError, match="cannot be written: Input/output error"), storage.disk_errors("x"):
        raise OSError(errno.EIO, "Input/output error")


# Paths


@pytest.mark.parametrize(
    "name", ["a::b", "with space", "ünï 写真", "a#b", "100%", "[1-9]", "what?", "*", "line\nbreak", "~", "a:b", "{x}"]
)
def test_any_name_of_a_folder_and_of_a_file_is_taken_as_it_is(tmp_path: Path, name: str) -> None:
    folder = Folder(str(tmp_path / name))
    assert folder.root == str(tmp_path / name)
    folder.write(f"{name}.bin", b"content")
    again = pickle.loads(pickle.dumps(folder))
    assert again.read(f"{name}.bin") == b"content"
    assert again.names() == [f"{name}.bin"]
    assert [entry.uri for entry in list_files(again.root)[1]] == [f"{name}.bin"]
    source, entries = list_files(str(tmp_path / name / f"{name}.bin"))
    assert [source.read(entry.uri) for entry in entries] == [b"content"]
    folder.remove(f"{name}.bin")
    assert again.names() == []


def test_relative_paths_and_file_urls_are_the_same_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").mkdir()
    monkeypatch.chdir(tmp_path)
    roots = {Folder(one).url for one in ("a", "a/", "./a", "a/../a", str(tmp_path / "a"), f"file://{tmp_path}/a")}
    assert roots == {str(tmp_path / "a")}


def test_no_path_and_an_unknown_protocol_are_told() -> None:
    with pytest.raises(UsageError, match="empty"):
        Folder("")
    with pytest.raises(SourceError, match="nonsense"):
        Folder("nonsense://bucket")


def test_a_folder_holds_what_lies_in_it_also_by_way_of_a_link(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "a")
    a = Folder(str(tmp_path / "a"))
    assert a.holds(a)
    assert a.holds(Folder(str(tmp_path / "a" / "b")))
    assert a.holds(Folder(str(tmp_path / "link" / "b")))
    assert not a.holds(Folder(str(tmp_path / "ab")))
    assert not a.holds(Folder(str(tmp_path)))
    assert not a.holds(Folder(f"memory://{tmp_path}/a"))
