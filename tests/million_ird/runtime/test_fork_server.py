"""Processes that are forked: each on its own, told of and ended one by one, whatever becomes of the server."""

import contextlib
import os
import pickle
import resource
import signal
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from million_ird.runtime import fork_server
from million_ird.runtime.fork_server import ForkedProcess, start_forked

ENTRY = f"{__name__}:answer"


def answer(read: int, write: int) -> None:
    """Evaluate every expression that is sent."""
    calls, answers = os.fdopen(read, "rb"), os.fdopen(write, "wb")
    while True:
        try:
            text = pickle.load(calls)
        except EOFError:
            return
        pickle.dump(eval(text), answers)
        answers.flush()


def asked(process: ForkedProcess, text: str) -> object:
    pickle.dump(text, process.stdin)
    process.stdin.flush()
    return pickle.load(process.stdout)


@pytest.fixture
def started() -> Iterator[list[ForkedProcess]]:
    processes = [start_forked(ENTRY, __name__) for _ in range(4)]
    yield processes
    for process in processes:
        process.kill()


def test_each_has_a_process_and_ends_alone(started: list[ForkedProcess]) -> None:
    pids = [asked(process, "os.getpid()") for process in started]
    assert pids == [process.pid for process in started]
    assert len({*pids, os.getpid()}) == 5
    started[1].kill()
    assert started[1].poll() == -signal.SIGKILL
    started[1].kill()  # again: nothing happens
    os.kill(started[2].pid or 0, signal.SIGTERM)
    assert started[2].wait() == -signal.SIGTERM
    started[3].stdin.close()
    assert started[3].wait() == 0
    assert started[0].poll() is None
    assert asked(started[0], "1 + 1") == 2
    for gone in pids[1:]:
        assert not Path(f"/proc/{gone}").exists()  # waited for, too


def test_it_is_where_the_program_is_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, started: list[ForkedProcess]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FORKED", "yes")
    monkeypatch.delenv("HOME")
    monkeypatch.syspath_prepend(str(tmp_path))
    late = start_forked(ENTRY, __name__)
    try:
        assert asked(late, "os.getcwd()") == str(tmp_path)
        assert asked(late, "dict(os.environ)") == dict(os.environ)
        assert asked(late, "sys.path") == sys.path
        assert asked(late, "signal.getsignal(signal.SIGCHLD)") == signal.SIG_DFL
    finally:
        late.kill()
    assert asked(started[0], "os.environ.get('FORKED')") is None


def test_it_has_no_descriptor_but_its_own(started: list[ForkedProcess]) -> None:
    counts = [asked(process, "len(os.listdir('/proc/self/fd'))") for process in started]
    assert counts == [6] * 4  # input, output and errors, the two pipes, and the folder that is listed


def test_a_program_may_have_a_thousand_files_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fork_server, "_server", None)  # a new server gets descriptors above those
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 2000:
        pytest.skip(f"this machine allows only {hard} open files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2000), hard))
    with contextlib.ExitStack() as files:
        for _ in range(1100):
            files.enter_context(open(os.devnull))
        process = start_forked(ENTRY, __name__)
        assert process.stdin.fileno() > 1024
        assert process.poll() is None
        assert asked(process, "3 + 4") == 7
        process.kill()


def test_threads_may_start_and_end_them_at_once() -> None:
    def use(number: int) -> object:
        process = start_forked(ENTRY, __name__)
        try:
            return asked(process, f"{number} * 2")
        finally:
            process.kill()

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(use, range(40))) == [number * 2 for number in range(40)]


def test_a_server_that_is_killed_is_replaced_and_its_processes_end() -> None:
    first = start_forked(ENTRY, __name__)
    pid, server = first.pid, fork_server._server
    assert server is not None
    server._process.kill()
    assert first.wait() == -signal.SIGKILL
    server._process.wait()
    second = start_forked(ENTRY, __name__)
    assert asked(second, "2 * 3") == 6
    first.kill()
    second.kill()
    assert fork_server._server is not server
    deadline = time.monotonic() + 10
    while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not Path(f"/proc/{pid}").exists() or "Z" in Path(f"/proc/{pid}/stat").read_text().split()[2]


def test_the_server_has_one_thread_when_all_that_measuring_needs_is_loaded() -> None:
    module = "million_ird.scan.isolated_measuring"
    process = start_forked(ENTRY, module)
    try:
        assert asked(process, f"{module!r} in sys.modules") is True
    finally:
        process.kill()
    assert fork_server._server is not None
    assert len(os.listdir(f"/proc/{fork_server._server._process.pid}/task")) == 1


def test_a_module_that_cannot_be_imported_is_found_by_the_process_itself() -> None:
    process = start_forked("no.such.module:answer", "no.such.module")
    assert process.wait() == 1
    process.kill()
