"""Listings are complete and sorted, and never hang."""

import os
import socket
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest

from million_ird.errors import SourceError
from million_ird.runtime.storage import Folder
from million_ird.sources.containment import OUTSIDE
from million_ird.sources.listing import list_files


def names(root: Path | str, *, follow_links: bool = False) -> list[str]:
    return [entry.uri for entry in list_files(str(root), follow_links=follow_links)[1]]


def test_a_listing_is_complete_sorted_by_path_and_without_hidden_files(tmp_path: Path) -> None:
    for name in ("b/2", "b/1", "a", "b.x", ".hidden/1", "c/.hidden", "c/deep/er/1"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"xy")
    files = list(list_files(str(tmp_path))[1])
    assert [entry.uri for entry in files] == ["a", "b.x", "b/1", "b/2", "c/deep/er/1"]
    assert {entry.size for entry in files} == {2}


def test_pipes_sockets_and_devices_are_left_out(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket.jpg"))
        (tmp_path / "device.jpg").symlink_to("/dev/zero")
        (tmp_path / "link to a pipe.jpg").symlink_to(tmp_path / "pipe.jpg")
        (tmp_path / "picture.jpg").touch()
        assert names(tmp_path) == ["picture.jpg"]
    with pytest.raises(SourceError, match="neither a file nor a folder"):
        list_files(str(tmp_path / "pipe.jpg"))


def test_linked_folders_are_entered_once_also_in_circles(tmp_path: Path) -> None:
    for name in ("a/x/1", "b/2", "outside/3"):
        (tmp_path / "root" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "root" / name).touch()
    (tmp_path / "root" / "outside").rename(tmp_path / "outside")
    (tmp_path / "root" / "a" / "up").symlink_to(tmp_path / "root")
    (tmp_path / "root" / "a" / "across").symlink_to(tmp_path / "root" / "b")
    (tmp_path / "root" / "b" / "back").symlink_to(tmp_path / "root" / "a")
    (tmp_path / "root" / "z").symlink_to(tmp_path / "outside")
    (tmp_path / "root" / "itself").symlink_to("itself")
    assert names(tmp_path / "root", follow_links=True) == ["a/x/1", "b/2", "itself", "z/3"]
    versions = {entry.uri: entry.version for entry in list_files(str(tmp_path / "root"))[1]}
    assert list(versions) == ["a/x/1", "b/2", "itself", "z"]
    assert versions["z"] == OUTSIDE


def test_a_broken_link_is_listed_so_that_it_fails_visibly(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").symlink_to(tmp_path / "gone")
    assert names(tmp_path) == ["a.jpg"]


def test_a_changed_target_of_a_link_is_another_version(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a").write_bytes(b"1")
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "a").symlink_to(tmp_path / "real" / "a")
    (before,) = list_files(str(tmp_path / "root"), follow_links=True)[1]
    time.sleep(0.01)
    (tmp_path / "real" / "a").write_bytes(b"2")
    (after,) = list_files(str(tmp_path / "root"), follow_links=True)[1]
    assert before.version != after.version


def test_a_name_that_is_not_utf_8_becomes_text_that_opens_its_file(tmp_path: Path) -> None:
    raw = os.fsencode(tmp_path) + b"/caf\xe9 \xff.jpg"
    with open(raw, "wb") as file:
        file.write(b"coffee")
    folder, entries = list_files(str(tmp_path))
    (entry,) = entries
    assert entry.uri == "caf\\xe9 \\xff.jpg"
    assert entry.uri.encode()
    assert folder.read(entry.uri) == b"coffee"


def test_a_name_that_looks_escaped_opens_its_file(tmp_path: Path) -> None:
    (tmp_path / "a\\xe9.jpg").write_bytes(b"mine")
    folder, entries = list_files(str(tmp_path))
    assert [folder.read(entry.uri) for entry in entries] == [b"mine"]


def test_very_long_names_are_listed(tmp_path: Path) -> None:
    (tmp_path / ("x" * 251 + ".jpg")).touch()
    assert len(names(tmp_path)[0]) == 255


def test_a_folder_that_cannot_be_listed_is_reported(tmp_path: Path) -> None:
    script = (
        "import logging, os, sys\nlogging.basicConfig(stream=sys.stdout, format='%(message)s')\n"
        "from million_ird.errors import SourceError\nfrom million_ird.sources.listing import list_files\n"
        "from million_ird.sources.cells import failure_in\n"
        "os.getuid() or os.seteuid(65534)\n"  # root may list anything
        "for root in sys.argv[1:]:\n    try:\n"
        "        print([(e.uri, failure_in(e.version)) for e in list_files(root)[1]])\n"
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
    lines = ran.stdout.splitlines()
    assert lines[0] == f"{root}/closed: cannot be listed, and is a failed row: Permission denied"
    failed = "Failed(failure_class='unreadable', detail='Permission denied')"
    assert lines[1] == f"[('closed', {failed}), ('open', None)]"
    assert lines[2] == f"source {root}/closed: Permission denied"
    assert lines[3] == f"source {secret}: Permission denied"


def test_a_missing_path_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="nope: no such file or folder"):
        list_files(str(tmp_path / "nope"))


def test_a_remote_folder_is_listed_like_a_local_one() -> None:
    folder = Folder(f"memory://{uuid.uuid4().hex}")
    for name in ("b/2", "a", ".hidden/1"):
        folder.write(name, b"xyz")
    where, entries = list_files(folder.url)
    files = list(entries)
    assert [entry.uri for entry in files] == ["a", "b/2"]
    assert where.read("b/2") == b"xyz"
    before = files[0].version
    time.sleep(0.01)
    folder.write("a", b"abc")
    assert next(iter(list_files(folder.url)[1])).version != before
    parent, single = list_files(f"{folder.url}/a")
    assert [parent.read(entry.uri) for entry in single] == [b"abc"]
    folder.rename("a", "c")
    folder.remove("b")
    assert folder.names() == [".hidden", "c"]
