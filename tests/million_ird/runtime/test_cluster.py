"""Executors on real dask clusters that cannot work, or can no longer."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

from million_ird.errors import BuildError, UsageError, VersionMismatch
from million_ird.runtime import cluster
from million_ird.runtime.executor import Executor

WORKER = "import sys; sys.argv = ['dask worker', *sys.argv[1:]]; from distributed.cli.dask_worker import main; main()"
HIDDEN = "import sys; sys.modules['million_ird'] = None; "
OTHER = (
    "import importlib.metadata as m; real = m.version; "
    "m.version = lambda name: '0.0.1' if name == 'million-ird' else real(name); "
)
Start = Callable[..., subprocess.Popen[bytes]]


def _sleep(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    with ExitStack() as stack:

        def run(*command: str) -> subprocess.Popen[bytes]:
            environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
            process = subprocess.Popen(
                [sys.executable, *command], cwd=tmp_path, env=environment, stderr=subprocess.DEVNULL
            )
            stack.callback(process.wait)
            stack.callback(process.kill)
            return process

        yield run


@pytest.fixture
def scheduler(start: Start, tmp_path: Path) -> tuple[str, subprocess.Popen[bytes]]:
    file = tmp_path / "scheduler.json"
    options = ["--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(file)]
    process = start("-m", "distributed.cli.dask_scheduler", *options)
    deadline = time.monotonic() + 60
    while not (file.exists() and '"address"' in file.read_text()):
        assert time.monotonic() < deadline, "no scheduler"
        time.sleep(0.05)
    return file.read_text().split('"address": "')[1].split('"')[0], process


def _worker(start: Start, address: str, before: str = "") -> subprocess.Popen[bytes]:
    return start("-c", before + WORKER, address, "--no-nanny", "--nthreads", "1", "--no-dashboard")


def test_a_cluster_without_workers_is_one_line(
    scheduler: tuple[str, subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "WORKER_SECONDS", 0.5)
    with pytest.raises(UsageError, match=r"has no worker after 0\.5 s; start some: dask worker tcp://127"):
        Executor(scheduler=scheduler[0]).__enter__()


@pytest.mark.parametrize(
    ("before", "said"), [(HIDDEN, "a worker cannot run million-ird"), (OTHER, "runs million-ird 0.0.1")]
)
def test_a_worker_without_this_version_is_one_line(
    scheduler: tuple[str, subprocess.Popen[bytes]], start: Start, before: str, said: str
) -> None:
    _worker(start, scheduler[0], before)
    with pytest.raises(VersionMismatch, match=said) as raised:
        Executor(scheduler=scheduler[0]).__enter__()
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("lost", ["worker", "scheduler"])
def test_a_cluster_that_goes_away_in_the_middle_is_one_line(
    scheduler: tuple[str, subprocess.Popen[bytes]], start: Start, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    monkeypatch.setattr(cluster, "LOST_SECONDS", 2.0)
    monkeypatch.setattr(cluster, "CHECK_SECONDS", 0.2)
    worker = _worker(start, scheduler[0])
    with Executor(scheduler=scheduler[0]) as executor:
        monkeypatch.setattr(cluster, "WORKER_SECONDS", 2.0)
        results = executor.run(_sleep, [0.1, *[30.0] * 50])
        assert next(results) == 0.1
        {"worker": worker, "scheduler": scheduler[1]}[lost].send_signal(signal.SIGKILL)
        said = {"worker": "no worker for 2 s; start workers", "scheduler": "the scheduler went away"}[lost]
        with pytest.raises(BuildError, match=said):
            next(results)


def test_workers_that_do_not_stop_are_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    from distributed import Nanny

    async def wait(*_: object, **__: object) -> None:
        await asyncio.sleep(3600)

    monkeypatch.setattr(cluster, "CLOSE_SECONDS", 1.0)
    with Executor(2) as executor:
        assert sorted(executor.run(_sleep, [0.0, 0.1, 0.2])) == [0.0, 0.1, 0.2]
        own = psutil.Process().children(recursive=True)
        workers = [process for process in own if "spawn_main" in " ".join(process.cmdline())]
        monkeypatch.setattr(Nanny, "kill", wait)  # as it waits for a worker that was killed while dask starts it
        began = time.monotonic()
    assert len(workers) == 2
    assert not psutil.wait_procs(workers, timeout=10)[1]
    assert time.monotonic() - began < 30
