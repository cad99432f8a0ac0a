"""Files appear whole or not at all, listings are complete and never hang, and one run holds a folder."""

import errno
import os
import pickle
import socket
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path
from random import Random

import pyarrow as pa
import pytest

from million_ird import storage
from million_ird.errors import BuildError, DamagedFile, OutputError, SourceError, UsageError
from million_ird.lock import is_owned, owned
from million_ird.storage import Folder, list_files


def names(root: Path | str) -> list[str]:
    return [entry.uri for entry in list_files(str(root))[1]]


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
        "import os, signal, sys\nfrom million_ird.storage import Folder\n"
        "with Folder(sys.argv[1]).writing('deep/er/a') as file:\n    file.write(b'x')\n    os.kill(os.getpid(), 9)\n"
    )
    killed = subprocess.run([sys.executable, "-c", script, folder.root])
    assert killed.returncode == -9
    assert folder.names("deep/er")
    with owned(folder, ".work/lock"):
        pass
    assert folder.names("deep/er") == []


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
    with pytest.raises(OutputError, match="cannot be written"), owned(folder, ".work/lock"):
        pass


def test_a_limit_on_file_sizes_is_told(tmp_path: Path) -> None:
    script = (
        "import resource, sys\nfrom million_ird.storage import Folder\nfrom million_ird.errors import BuildError\n"
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
    assert names(again.root) == [f"{name}.bin"]
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


# Listing


def test_a_listing_is_sorted_by_path_whole_and_without_what_is_hidden(tmp_path: Path) -> None:
    for name in ("b/2", "b/1", "a", "b.x", ".hidden/1", "c/.hidden", "c/deep/er/1"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"xy")
    found = list(list_files(str(tmp_path))[1])
    assert [entry.uri for entry in found] == ["a", "b.x", "b/1", "b/2", "c/deep/er/1"]
    assert {entry.size for entry in found} == {2}


def test_pipes_sockets_and_devices_are_no_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket.jpg"))
        (tmp_path / "device.jpg").symlink_to("/dev/zero")
        (tmp_path / "link to a pipe.jpg").symlink_to(tmp_path / "pipe.jpg")
        (tmp_path / "picture.jpg").touch()
        assert names(tmp_path) == ["picture.jpg"]
    with pytest.raises(SourceError, match="neither a file nor a folder"):
        list_files(str(tmp_path / "pipe.jpg"))


def test_linked_folders_are_entered_once_and_circles_end(tmp_path: Path) -> None:
    for name in ("a/x/1", "b/2", "outside/3"):
        (tmp_path / "root" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "root" / name).touch()
    (tmp_path / "root" / "outside").rename(tmp_path / "outside")
    (tmp_path / "root" / "a" / "up").symlink_to(tmp_path / "root")
    (tmp_path / "root" / "a" / "across").symlink_to(tmp_path / "root" / "b")
    (tmp_path / "root" / "b" / "back").symlink_to(tmp_path / "root" / "a")
    (tmp_path / "root" / "z").symlink_to(tmp_path / "outside")
    (tmp_path / "root" / "itself").symlink_to("itself")
    assert names(tmp_path / "root") == ["a/x/1", "b/2", "itself", "z/3"]


def test_a_link_to_nowhere_is_listed_so_that_it_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").symlink_to(tmp_path / "gone")
    assert names(tmp_path) == ["a.jpg"]


def test_a_changed_target_of_a_link_is_another_version(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a").write_bytes(b"1")
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "a").symlink_to(tmp_path / "real" / "a")
    (before,) = list_files(str(tmp_path / "root"))[1]
    time.sleep(0.01)
    (tmp_path / "real" / "a").write_bytes(b"2")
    (after,) = list_files(str(tmp_path / "root"))[1]
    assert before.version != after.version


def test_a_name_that_is_not_utf_8_is_text_and_finds_its_file(tmp_path: Path) -> None:
    raw = os.fsencode(tmp_path) + b"/caf\xe9 \xff.jpg"
    with open(raw, "wb") as file:
        file.write(b"coffee")
    folder, entries = list_files(str(tmp_path))
    (entry,) = entries
    assert entry.uri == "caf\\xe9 \\xff.jpg"
    assert entry.uri.encode()
    assert folder.read(entry.uri) == b"coffee"


def test_a_name_that_looks_escaped_finds_itself(tmp_path: Path) -> None:
    (tmp_path / "a\\xe9.jpg").write_bytes(b"mine")
    folder, entries = list_files(str(tmp_path))
    assert [folder.read(entry.uri) for entry in entries] == [b"mine"]


def test_very_long_names_are_listed(tmp_path: Path) -> None:
    (tmp_path / ("x" * 251 + ".jpg")).touch()
    assert len(names(tmp_path)[0]) == 255


def test_a_folder_that_cannot_be_listed_is_told_not_lost(tmp_path: Path) -> None:
    script = (
        "import logging, os, sys\nlogging.basicConfig(stream=sys.stdout, format='%(message)s')\n"
        "from million_ird.errors import SourceError\nfrom million_ird.storage import list_files\n"
        "os.getuid() or os.seteuid(65534)\n"  # root may list anything
        "for root in sys.argv[1:]:\n    try:\n        print([entry.uri for entry in list_files(root)[1]])\n"
        "    except SourceError as error:\n        print(error)\n"
    )
    root = tmp_path / "root"
    (root / "closed").mkdir(parents=True)
    (root / "closed" / "1").touch()
    (root / "open").touch()
    (root / "closed").chmod(0)
    secret = tmp_path / "secret.jpg"
    secret.touch(mode=0)
    for above in (tmp_path, *list(tmp_path.parents)[:3]):
        above.chmod(0o755)
    command = [sys.executable, "-c", script, root, root / "closed", secret]
    ran = subprocess.run(command, capture_output=True, text=True)
    (root / "closed").chmod(0o755)
    told = ran.stdout.splitlines()
    assert told[0] == f"{root}/closed: cannot be listed and is left out: Permission denied"
    assert told[1] == "['open']"
    assert told[2] == f"source {root}/closed: Permission denied"
    assert told[3] == f"source {secret}: Permission denied"


def test_what_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="nope: no such file or folder"):
        list_files(str(tmp_path / "nope"))


def test_a_remote_folder_is_listed_like_a_local_one() -> None:
    folder = Folder(f"memory://{uuid.uuid4().hex}")
    for name in ("b/2", "a", ".hidden/1"):
        folder.write(name, b"xyz")
    where, entries = list_files(folder.url)
    found = list(entries)
    assert [entry.uri for entry in found] == ["a", "b/2"]
    assert where.read("b/2") == b"xyz"
    before = found[0].version
    time.sleep(0.01)
    folder.write("a", b"abc")
    assert next(iter(list_files(folder.url)[1])).version != before
    parent, single = list_files(f"{folder.url}/a")
    assert [parent.read(entry.uri) for entry in single] == [b"abc"]
    folder.rename("a", "c")
    folder.remove("b")
    assert folder.names() == [".hidden", "c"]


# Holding


def test_a_folder_is_held_by_one_and_the_message_names_pid_and_host(folder: Folder) -> None:
    with owned(folder, "lock"):
        assert is_owned(folder, "lock")
        with pytest.raises(OutputError, match=rf"held by pid {os.getpid()} on {socket.gethostname()}"):
            owned(folder, "lock").__enter__()
    assert not is_owned(folder, "lock")
    with owned(folder, "lock"):
        pass


def test_the_kernel_lets_go_when_the_holder_is_killed(folder: Folder) -> None:
    script = (
        "import sys, time\nfrom million_ird.lock import owned\nfrom million_ird.storage import Folder\n"
        "with owned(Folder(sys.argv[1]), 'lock'):\n    print('held', flush=True)\n    time.sleep(60)\n"
    )
    holder = subprocess.Popen([sys.executable, "-c", script, folder.root], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    holder.stdout.readline()
    with pytest.raises(OutputError, match=f"pid {holder.pid} "), owned(folder, "lock"):
        pass
    holder.kill()
    holder.wait()
    with owned(folder, "lock"):
        pass


def test_asking_whether_a_folder_is_held_never_stops_a_run_from_taking_it(folder: Folder) -> None:
    folder.write("lock", b"")
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            is_owned(folder, "lock")

    asking = [threading.Thread(target=ask) for _ in range(3)]
    for thread in asking:
        thread.start()
    try:
        for _ in range(30):
            with owned(folder, "lock"):
                pass
    finally:
        stop.set()
        for thread in asking:
            thread.join()


def test_other_write_errors_are_told_with_the_system_s_words() -> None:
    with pytest.raises(BuildError, match="cannot be written: Input/output error"), storage.disk_errors("x"):
        raise OSError(errno.EIO, "Input/output error")
