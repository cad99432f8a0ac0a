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

Unit = TypeVar("Unit")
Summary = TypeVar("Summary")

IN_FLIGHT_PER_WORKER = 4


class Engine:
    """Where units run. Use as a context manager: leaving it stops the workers that it started.

    `workers=0` runs inline, `None` takes one worker per core (inline on a single core). A `scheduler` address wins
    over `workers`. Workers start with the first batch that needs them, not before.
    """

    def __init__(self, workers: int | None = None, scheduler: str | None = None) -> None:
        cores = os.cpu_count() or 1
        self._workers = (cores if cores > 1 else 0) if workers is None else workers
        self._scheduler = scheduler
        self._stack = contextlib.ExitStack()
        self._client: object = None

    def __enter__(self) -> "Engine":
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def run(self, function: Callable[[Unit], Summary], units: Iterable[Unit], *, few: int = 1) -> Iterator[Summary]:
        """Yields each unit's summary as it finishes, in any order; at most `few` units run inline, to save a cluster.

        An exception of a unit is raised here, and those still in flight are cancelled.
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
        from distributed import Client, as_completed

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
        finally:
            client.cancel(list(running), force=True)

    def _connected(self) -> object:
        if self._client is None:
            import dask

            # Read when distributed is imported: its farewell messages are no news to anyone.
            dask.config.set({"logging.distributed": "critical", "distributed.comm.timeouts.connect": "60s"})
            from distributed import Client, LocalCluster

            address: object = self._scheduler
            if self._scheduler is None:
                address = self._stack.enter_context(
                    LocalCluster(
                        n_workers=self._workers,
                        threads_per_worker=1,
                        processes=True,
                        dashboard_address=None,
                        silence_logs=logging.ERROR,
                    )
                )
            self._client = self._stack.enter_context(Client(address, set_as_default=False))
        return self._client


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
