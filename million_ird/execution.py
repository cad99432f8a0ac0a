"""Runs units of work: inline, on a local dask cluster, or on any dask cluster by its address.

What crosses between processes is a unit's description and a small summary, never pictures. The number of units in
flight is bounded, so that the scheduler's graph stays small however many there are.
"""

import contextlib
import itertools
import logging
import os
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import cv2

from million_ird.errors import BuildError, UsageError

Unit = TypeVar("Unit")
Summary = TypeVar("Summary")

IN_FLIGHT_PER_WORKER = 4
SCHEDULER_PATIENCE = 15
"""Seconds in which a scheduler must answer."""


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
        self._client: object = None

    def __enter__(self) -> "Engine":
        if self._scheduler is not None:
            self._connected()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def run(self, function: Callable[[Unit], Summary], units: Iterable[Unit], *, few: int = 1) -> Iterator[Summary]:
        """Yields each unit's summary as it finishes, in any order; at most `few` units run inline, to save a cluster.

        An exception of a unit is raised here, and those still in flight are cancelled. A worker that dies is replaced
        and its units are given to others.

        Raises:
            BuildError: a unit outlived no worker that it was given to, or the scheduler went away.
        """
        remaining = iter(units)
        first = list(itertools.islice(remaining, few + 1))
        inline = self._workers == 0 and self._scheduler is None
        if inline or len(first) <= few:
            with single_threaded():
                yield from map(function, itertools.chain(first, remaining))
        else:
            yield from self._distributed(function, itertools.chain(first, remaining))

    def _distributed(self, function: Callable[[Unit], Summary], units: Iterator[Unit]) -> Iterator[Summary]:
        client = self._connected()
        from distributed import Client, KilledWorker, as_completed
        from distributed.client import FutureCancelledError

        assert isinstance(client, Client)
        window = IN_FLIGHT_PER_WORKER * max(1, sum(client.nthreads().values()))
        running = {client.submit(_quietly, function, unit, pure=False) for unit in itertools.islice(units, window)}
        completed = as_completed(running, loop=client.loop)
        try:
            for future in completed:
                running.discard(future)
                summary = future.result()
                for unit in itertools.islice(units, 1):
                    running.add(following := client.submit(_quietly, function, unit, pure=False))
                    completed.add(following)
                yield summary
        except KilledWorker as error:
            raise BuildError(
                f"a unit of work killed {error.allowed_failures + 1} workers, for want of memory most likely; "
                "run the same command with fewer --workers"
            ) from error
        except FutureCancelledError as error:
            raise BuildError("the scheduler went away; run the same command to go on") from error
        finally:
            client.cancel(list(running), force=True)

    def _connected(self) -> object:
        if self._client is None:
            import dask

            # Read when distributed is imported: its farewell messages are no news to anyone.
            dask.config.set({"logging.distributed": "critical", "distributed.comm.timeouts.connect": "60s"})
            joined = self._own_workers() if self._scheduler is None else _join(self._scheduler)
            self._client = self._stack.enter_context(joined)
        return self._client

    def _own_workers(self) -> contextlib.AbstractContextManager[object]:
        from distributed import Client, LocalCluster

        cluster = LocalCluster(
            n_workers=self._workers,
            threads_per_worker=1,
            processes=True,
            dashboard_address=None,
            silence_logs=logging.ERROR,
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


def _quietly(function: Callable[[Unit], Summary], unit: Unit) -> Summary:
    with single_threaded():
        return function(unit)


@contextlib.contextmanager
def single_threaded() -> Iterator[None]:
    """One thread a worker, and OpenCV's own code instead of Intel's.

    The parallelism is between units, and OpenCV's pool would fight it. Intel's primitives round differently with where
    in memory their input happens to lie, so that one picture would have other numbers from run to run.
    """
    threads, primitives = cv2.getNumThreads(), cv2.ipp.useIPP()
    cv2.setNumThreads(1)
    cv2.ipp.setUseIPP(False)
    try:
        yield
    finally:
        cv2.setNumThreads(threads)
        cv2.ipp.setUseIPP(primitives)
