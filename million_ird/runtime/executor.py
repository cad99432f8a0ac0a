"""Run units of work: inline, on a local dask cluster, or on any dask cluster by its address.

A unit's description and a small summary cross between processes, never images. The number of units in flight is
bounded, so that the scheduler's graph stays small however many there are.
"""

import contextlib
import functools
import itertools
import logging
import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import version
from typing import Any, Protocol, TypeVar

from million_ird.errors import BuildError
from million_ird.runtime.cluster import FinishedFutures, cancel, compare_versions, gone, join, own_workers, threads_of
from million_ird.runtime.memory import memory_of_this_machine
from million_ird.runtime.threads import single_threaded

log = logging.getLogger(__name__)
T = TypeVar("T")
Summary = TypeVar("Summary")

IN_FLIGHT_PER_WORKER = 4


class TaskQueue(Protocol):
    """Tasks, some of which become available only when others are complete.

    A task is a callable without arguments that pickles. One whose attribute `io_bound` is true waits more than it
    computes, and leaves its worker free for others.
    """

    def next(self) -> Any | None:
        """Return the next task; None where there is none, or none before another is complete."""

    def complete(self, task: Any, result: Any) -> None:
        """Take note of a task's result."""

    def __len__(self) -> int:
        """About how many tasks remain: at least 2 where more than 2 do."""


class Executor:
    """Where units run. Use as a context manager: leaving it stops the workers that it started.

    Args:
        workers: processes on this machine; 0 runs inline, None takes one per core (inline on a single core),
            which is also the largest number.
        scheduler: address of a dask scheduler, used instead of `workers` and connected to on entering.

    Raises:
        UsageError: the scheduler does not answer, or has no worker for 30 s.
        VersionMismatch: one of its workers runs another version of this program.
    """

    def __init__(self, workers: int | None = None, scheduler: str | None = None) -> None:
        cores = os.cpu_count() or 1
        if getattr(multiprocessing.current_process(), "_inheriting", False):
            # A worker imports the script that started it, which has no guard: `own_workers` tells what to do.
            raise SystemExit(1)
        if workers is not None and workers > cores and scheduler is None:
            log.warning("--workers %d: this machine has %d cores, and as many workers are used", workers, cores)
        self._workers = (cores if cores > 1 else 0) if workers is None else min(workers, cores)
        self._scheduler = scheduler
        self._stack = contextlib.ExitStack()
        self._client: Any = None

    def __enter__(self) -> "Executor":
        if self._scheduler is not None:
            self._connected()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def parallelism(self) -> int:
        """How many units can be computed at once."""
        if self._scheduler is not None:
            return threads_of(self._connected())
        return max(1, self._workers)

    @property
    def local(self) -> bool:
        """Whether all units run on this machine, and have its disks."""
        return self._scheduler is None

    @property
    def memory(self) -> int:
        """Bytes that each worker may take of this machine; 0, no limit, with a scheduler, which has its own limits."""
        return 0 if self._scheduler is not None else memory_of_this_machine() // self.parallelism

    def run(self, function: Callable[[T], Summary], units: Iterable[T], *, inline_below: int = 1) -> Iterator[Summary]:
        """Yield each unit's summary as it finishes, in any order; up to `inline_below` units run inline.

        An exception of a unit is raised here, and units in flight are cancelled. A worker that dies is replaced and its
        units are given to others.

        Raises:
            BuildError: a unit killed every worker that had it, the scheduler went away, or there is no worker any more.
            VersionMismatch: a worker runs another version of this program.
        """
        remaining = iter(units)
        first = list(itertools.islice(remaining, inline_below + 1))
        queue = _Independent(function, itertools.chain(first, remaining), len(first))
        for _, summary in self.work(queue, inline_below=inline_below):
            yield summary

    def work(self, queue: TaskQueue, *, inline_below: int = 1) -> Iterator[tuple[Any, Any]]:
        """Run the tasks of a queue; yield each with its result, in any order, after `queue.complete`.

        Guarantees and errors are those of `run`.
        """
        if (self._workers == 0 and self._scheduler is None) or len(queue) <= inline_below:
            yield from _inline(queue)
        else:
            yield from self._distributed(queue)

    def _distributed(self, queue: TaskQueue) -> Iterator[tuple[Any, Any]]:
        client = self._connected()
        from distributed import KilledWorker
        from distributed.client import FutureCancelledError

        window = IN_FLIGHT_PER_WORKER * threads_of(client)
        running: dict[Any, Any] = {}
        finished = FinishedFutures(client)
        release = version("million-ird")

        def fill() -> None:
            while len(running) < window and (task := queue.next()) is not None:
                priority = int(getattr(task, "io_bound", False))
                future = client.submit(_on_worker, task, release, pure=False, priority=priority)
                running[future] = task
                finished.add(future)

        fill()
        try:
            for future in finished:
                task = running.pop(future)
                result = future.result()
                queue.complete(task, result)
                fill()
                yield task, result
        except KilledWorker as error:
            raise BuildError(
                f"a unit of work killed {error.allowed_failures + 1} workers, most likely for lack of memory; "
                "run the same command with fewer --workers"
            ) from error
        except FutureCancelledError as error:
            raise gone() from error
        finally:
            cancel(client, running)

    def _connected(self) -> Any:
        if self._client is None:
            import dask

            # Read when distributed is imported; its messages on shutdown are of no use to anyone.
            dask.config.set({"logging.distributed": "critical", "distributed.comm.timeouts.connect": "60s"})
            # A worker that something else kills is no fault of the units that it had.
            dask.config.set({"distributed.scheduler.allowed-failures": 10})
            if self._scheduler is None:
                self._client = own_workers(self._workers, self._stack)
            else:
                self._client = join(self._scheduler, self._stack)
        return self._client


def _on_worker(task: Callable[[], Any], release: str) -> Any:
    """Run a task on a worker. One that joined later was not asked for its version when the build began."""
    compare_versions(version("million-ird"), release, "a dask worker")
    if getattr(task, "io_bound", False):
        from distributed import secede

        secede()
    with single_threaded():
        return task()


def _inline(queue: TaskQueue) -> Iterator[tuple[Any, Any]]:
    while (task := queue.next()) is not None:
        with single_threaded():
            result = task()
        queue.complete(task, result)
        yield task, result


class _Independent:
    """Units of which none waits for another."""

    def __init__(self, function: Callable[[Any], Any], units: Iterable[Any], at_least: int) -> None:
        self._function, self._units, self._at_least = function, iter(units), at_least

    def next(self) -> Callable[[], Any] | None:
        for unit in self._units:
            return functools.partial(self._function, unit)
        return None

    def complete(self, task: object, result: object) -> None:
        """Do nothing: no unit depends on another."""

    def __len__(self) -> int:
        return self._at_least
