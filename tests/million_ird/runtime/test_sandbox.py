"""What a call does to the process that it runs in, and what it does not do to ours."""

import ctypes
import os
import pickle
import signal
import subprocess
import sys
import time

import pytest

from million_ird.runtime.sandbox import WorkerDied, WorkerProcess, worker_process


class Fragile:
    """Lives in the process."""

    def __init__(self, word: str) -> None:
        self.word = word
        self.asked = 0

    def say(self, more: str) -> str:
        self.asked += 1
        print("a library that talks on stdout")
        os.write(1, b"and one that does so below Python")
        return f"{self.word} {more} {self.asked}"

    def pid(self) -> int:
        return os.getpid()

    def refuse(self) -> None:
        raise ValueError("no")

    def crash(self) -> None:
        ctypes.string_at(0)

    def hang(self) -> None:
        while True:
            time.sleep(1)

    def hang_with_the_lock(self) -> None:
        ctypes.PyDLL(None).sleep(60)  # does not let go of the interpreter's lock

    def eat(self) -> int:
        return len(bytearray(2_000_000_000))

    def die(self, how: int) -> None:
        os.kill(os.getpid(), how)


FACTORY = "tests.million_ird.runtime.test_sandbox:Fragile"


def test_calls_are_answered_whatever_is_printed_between() -> None:
    process = WorkerProcess(FACTORY, ("hello",))
    assert [process.call("say", "a"), process.call("say", "b")] == ["hello a 1", "hello b 2"]
    with pytest.raises(ValueError, match="no"):
        process.call("refuse")
    assert process.call("say", "c") == "hello c 3"
    process.kill()
    assert not process.alive


@pytest.mark.parametrize(
    ("method", "arguments", "seconds", "failure_class", "told"),
    [
        ("crash", (), None, "crashed", "SIGSEGV"),
        ("die", (signal.SIGABRT,), None, "crashed", "SIGABRT"),
        ("die", (signal.SIGKILL,), None, "killed", "memory"),
        ("hang", (), 0.5, "hung", "0.5 s"),
        ("hang_with_the_lock", (), 0.5, "hung", "0.5 s"),
        ("eat", (), None, "out_of_memory", "memory"),
    ],
)
def test_a_call_that_kills_or_hangs_is_told_by_its_kind(
    method: str, arguments: tuple[object, ...], seconds: float | None, failure_class: str, told: str
) -> None:
    process = WorkerProcess(FACTORY, ("x",), 1_000_000_000)
    with pytest.raises(WorkerDied, match=told) as lost:
        process.call(method, *arguments, seconds=seconds)
    assert lost.value.failure_class == failure_class
    assert lost.value.started
    process.kill()


def test_a_death_before_the_object_is_made_is_told() -> None:
    process = WorkerProcess(f"{__name__}:Stillborn", ())
    with pytest.raises(WorkerDied) as lost:
        process.call("say", "a")
    assert (lost.value.failure_class, lost.value.started) == ("killed", False)
    assert not pickle.loads(pickle.dumps(lost.value)).started


class Stillborn:
    def __init__(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


def test_processes_are_lent_again_and_replaced_when_lost() -> None:
    with worker_process(FACTORY, ("lent",)) as process:
        first = process().call("pid")
    with worker_process(FACTORY, ("lent",)) as process:
        assert process().call("pid") == first
        with pytest.raises(WorkerDied):
            process().call("crash")
        second = process().call("pid")
        assert second != first
    for other in ("another", "and another"):
        with worker_process(FACTORY, (other,)) as process:
            process().call("pid")
    deadline = time.monotonic() + 10
    while os.path.exists(f"/proc/{second}") and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not os.path.exists(f"/proc/{second}")  # two others came after it: nobody will ask for it again


def test_a_child_ends_with_its_parent() -> None:
    code = (
        "import os, sys; from million_ird.runtime.sandbox import WorkerProcess; "
        f"process = WorkerProcess({FACTORY!r}, ('x',)); print(process.call('pid'), flush=True); os.kill(os.getpid(), 9)"
    )
    parent = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert parent.returncode == -signal.SIGKILL
    pid = int(parent.stdout)
    deadline = time.monotonic() + 10
    while os.path.exists(f"/proc/{pid}") and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not os.path.exists(f"/proc/{pid}")
