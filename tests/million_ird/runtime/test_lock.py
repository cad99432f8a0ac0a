"""One run holds a folder, as long as it lives."""

import errno
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from million_ird.errors import BuildError, OutputError
from million_ird.runtime.lock import is_locked, locked
from million_ird.runtime.storage import Folder


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(str(tmp_path / "out"))


def test_a_folder_is_held_by_one_and_the_message_names_pid_and_host(folder: Folder) -> None:
    with locked(folder, "lock"):
        assert is_locked(folder, "lock")
        with pytest.raises(OutputError, match=rf"held by pid {os.getpid()} on {socket.gethostname()}"):
            locked(folder, "lock").__enter__()
    assert not is_locked(folder, "lock")
    with locked(folder, "lock"):
        pass


def test_the_kernel_lets_go_when_the_holder_is_killed(folder: Folder) -> None:
    script = (
        "import sys, time\nfrom million_ird.runtime.lock import locked\n"
        "from million_ird.runtime.storage import Folder\n"
        "with locked(Folder(sys.argv[1]), 'lock'):\n    print('held', flush=True)\n    time.sleep(60)\n"
    )
    holder = subprocess.Popen([sys.executable, "-c", script, folder.root], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    holder.stdout.readline()
    with pytest.raises(OutputError, match=f"pid {holder.pid} "), locked(folder, "lock"):
        pass
    holder.kill()
    holder.wait()
    with locked(folder, "lock"):
        pass


def test_asking_whether_a_folder_is_held_never_stops_a_run_from_taking_it(folder: Folder) -> None:
    folder.write("lock", b"")
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            is_locked(folder, "lock")

    asking = [threading.Thread(target=ask) for _ in range(3)]
    for thread in asking:
        thread.start()
    try:
        for _ in range(30):
            with locked(folder, "lock"):
                pass
    finally:
        stop.set()
        for thread in asking:
            thread.join()


WAITER = """
import sys
from million_ird.runtime import lock
from million_ird.runtime.storage import Folder
lock.LOCK_TIMEOUT = 60
print("waiting", flush=True)
with lock.locked(Folder(sys.argv[1]), "work/lock"):
    print("held", flush=True)
    sys.stdin.readline()
"""


def test_whoever_waited_for_a_lock_that_was_removed_does_not_hold_a_file_without_a_name(folder: Folder) -> None:
    with locked(folder, "work/lock"):
        waiter = subprocess.Popen(
            [sys.executable, "-c", WAITER, folder.root], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert waiter.stdout is not None
        assert waiter.stdin is not None
        assert waiter.stdout.readline() == "waiting\n"
        _wait_until_open(waiter.pid, folder.path("work/lock"))
        folder.remove("work/lock")  # as `clean` does
    assert waiter.stdout.readline() == "held\n"
    # The waiter holds what has the name now, so a third process is kept out.
    assert is_locked(folder, "work/lock")
    with pytest.raises(OutputError, match=f"held by pid {waiter.pid} "), locked(folder, "work/lock"):
        pass
    waiter.communicate("\n", timeout=30)
    with locked(folder, "work/lock"):
        pass


def _wait_until_open(pid: int, path: str) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            if entry.is_symlink() and os.readlink(entry) == path:
                return
        time.sleep(0.01)
    pytest.fail("the other process did not open the lock")


@pytest.mark.parametrize("name", ["ftruncate", "pwrite"])
@pytest.mark.parametrize(("number", "told"), [(errno.ENOSPC, "no space left"), (errno.EIO, "cannot be written")])
def test_a_disk_that_takes_no_lock_is_named(
    folder: Folder, monkeypatch: pytest.MonkeyPatch, name: str, number: int, told: str
) -> None:
    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))  # as the system does: without the name of the file

    with monkeypatch.context() as patched:
        patched.setattr(os, name, fail)
        with pytest.raises(BuildError, match=rf"^{folder.path('lock')}: {told}"):
            locked(folder, "lock").__enter__()
    assert not is_locked(folder, "lock")
