"""Runs units of work: inline, on a local dask cluster, or on any dask cluster by its address.

What crosses between processes is a unit's description and a small summary, never pictures. The number of units in
flight is bounded, so that the scheduler's graph stays small however many there are.
"""

import contextlib
import functools
import itertools
import logging
import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol, TypeVar

from million_ird.errors import BuildError, UsageError
from million_ird.runtime.memory import memory_of_this_machine
from million_ird.runtime.threads import single_threaded

Unit = TypeVar("Unit")
Summary = TypeVar("Summary")

IN_FLIGHT_PER_WORKER = 4
SCHEDULER_PATIENCE = 15
"""Seconds in which a scheduler must answer."""


class Work(Protocol):
    """Hands out tasks, some of which can be had only when others are done."""

    def take(self) -> Any | None:
        """The next task; None when there is none, or none before another is done."""

    def done(self, task: Any, result: Any) -> None:
        """A task has been done."""

    def __len__(self) -> int:
        """About how many tasks are left: no fewer than 2 if there are more than that."""


class Engine:
    """Where units run. Use as a context manager: leaving it stops the workers that it started.

    `workers=0` runs inline, `None` takes one worker per core (inline on a single core). A `scheduler` address wins
    over `workers` and is connected to on entering; workers of our own start with the first batch that needs them.

    Raises:
        UsageError: nobody answers at the scheduler's address.
    """

    def __init__(self, workers: int | None = None, scheduler: str | None = None) -> None:
        cores = os.cpu_count() or 1
        self._workers = (cores if cores > 1 else 0) if workers is None else workers
        self._scheduler = scheduler
        self._stack = contextlib.ExitStack()
        self._client: Any = None

    def __enter__(self) -> "Engine":
        if self._scheduler is not None:
            self._connected()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def width(self) -> int:
        """How many units can be computed at once."""
        if self._scheduler is not None:
            return max(1, int(sum(self._connected().nthreads().values())))
        return max(1, self._workers)

    @property
    def memory(self) -> int:
        """Bytes that each worker may take of this machine; 0, no limit, where a scheduler of one's own deals it out."""
        return 0 if self._scheduler is not None else memory_of_this_machine() // self.width

    def run(self, function: Callable[[Unit], Summary], units: Iterable[Unit], *, few: int = 1) -> Iterator[Summary]:
        """Yields each unit's summary as it finishes, in any order; at most `few` units run inline, to save a cluster.

        An exception of a unit is raised here, and those still in flight are cancelled. A worker that dies is replaced
        and its units are given to others.

        Raises:
            BuildError: a unit outlived no worker that it was given to, or the scheduler went away.
        """
        remaining = iter(units)
        first = list(itertools.islice(remaining, few + 1))
        work = _Plain(function, itertools.chain(first, remaining), len(first))
        for _, summary in self.work(work, few=few):
            yield summary

    def work(self, work: Work, *, few: int = 1) -> Iterator[tuple[Any, Any]]:
        """Calls the tasks of `work` and yields each with its result, in any order, after `work.done` has been told.

        Guarantees and errors as of `run`. A task with `waits` set leaves its worker free for others.
        """
        if (self._workers == 0 and self._scheduler is None) or len(work) <= few:
            yield from _inline(work)
        else:
            yield from self._distributed(work)

    def _distributed(self, work: Work) -> Iterator[tuple[Any, Any]]:
        client = self._connected()
        from distributed import KilledWorker, as_completed
        from distributed.client import FutureCancelledError

        window = IN_FLIGHT_PER_WORKER * max(1, sum(client.nthreads().values()))
        running: dict[Any, Any] = {}
        completed = as_completed(loop=client.loop)

        def fill() -> None:
            while len(running) < window and (task := work.take()) is not None:
                future = client.submit(_on_worker, task, pure=False, priority=int(getattr(task, "waits", False)))
                running[future] = task
                completed.add(future)

        fill()
        try:
            for future in completed:
                task = running.pop(future)
                result = future.result()
                work.done(task, result)
                fill()
                yield task, result
        except KilledWorker as error:
            raise BuildError(
                f"a unit of work killed {error.allowed_failures + 1} workers, for want of memory most likely; "
                "run the same command with fewer --workers"
            ) from error
        except FutureCancelledError as error:
            raise BuildError("the scheduler went away; run the same command to go on") from error
        finally:
            client.cancel(list(running), force=True)

    def _connected(self) -> Any:
        if self._client is None:
            import dask

            # Read when distributed is imported: its farewell messages are no news to anyone.
            dask.config.set({"logging.distributed": "critical", "distributed.comm.timeouts.connect": "60s"})
            # Workers that something else kills are no fault of the units that they had.
            dask.config.set({"distributed.scheduler.allowed-failures": 10})
            joined = self._own_workers() if self._scheduler is None else _join(self._scheduler)
            self._client = self._stack.enter_context(joined)
        return self._client

    def _own_workers(self) -> contextlib.AbstractContextManager[object]:
        from distributed import Client, LocalCluster

        cluster = LocalCluster(
            n_workers=self._workers,
            threads_per_worker=1,
            processes=True,
            dashboard_address="127.0.0.1:0",  # None is another word for port 8787 on every interface
            silence_logs=logging.CRITICAL,
        )
        joined: contextlib.AbstractContextManager[object] = Client(
            self._stack.enter_context(cluster), set_as_default=False
        )
        return joined


def _join(scheduler: str) -> contextlib.AbstractContextManager[object]:
    from distributed import Client
    from distributed.comm.addressing import get_address_host_port

    try:
        get_address_host_port(scheduler, strict=True)
        joined: contextlib.AbstractContextManager[object] = Client(
            scheduler, set_as_default=False, timeout=SCHEDULER_PATIENCE
        )
    except (OSError, ValueError) as error:
        raise UsageError(f"--scheduler {scheduler}: nobody answers there") from error
    return joined


def _on_worker(task: Callable[[], Any]) -> Any:
    if getattr(task, "waits", False):
        from distributed import secede

        secede()
    with single_threaded():
        return task()


def _inline(work: Work) -> Iterator[tuple[Any, Any]]:
    while (task := work.take()) is not None:
        with single_threaded():
            result = task()
        work.done(task, result)
        yield task, result


class _Plain:
    """Units that wait for nothing."""

    def __init__(self, function: Callable[[Any], Any], units: Iterable[Any], at_least: int) -> None:
        self._function, self._units, self._at_least = function, iter(units), at_least

    def take(self) -> Callable[[], Any] | None:
        for unit in self._units:
            return functools.partial(self._function, unit)
        return None

    def done(self, task: object, result: object) -> None:
        """Nothing follows."""

    def __len__(self) -> int:
        return self._at_least
