"""One run holds a folder, as long as it lives."""

import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from million_ird.errors import OutputError
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
