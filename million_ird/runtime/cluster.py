"""Join a dask cluster, and notice when it cannot work: no workers, other versions, a scheduler that is gone."""

import contextlib
import logging
import os
import queue
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import version
from typing import Any

from million_ird.errors import BuildError, UsageError, VersionMismatch, one_line

log = logging.getLogger(__name__)
SCHEDULER_SECONDS = 15.0
"""In which a scheduler must answer."""
WORKER_SECONDS = 30.0
"""In which a cluster without workers must have one."""
LOST_SECONDS = 30.0
"""For which a connection to the scheduler may be interrupted."""
CLOSE_SECONDS = 15.0
"""In which own workers must have stopped."""
CHECK_SECONDS = 2.0
"""After which a cluster that has not finished anything is looked at."""


def join(scheduler: str, stack: contextlib.ExitStack) -> Any:
    """Return a client of a running cluster with at least one worker, all of the same version as this program.

    Args:
        scheduler: The address of a dask scheduler.
        stack: Closes the client.

    Raises:
        UsageError: The scheduler does not answer, or has no worker for 30 s.
        VersionMismatch: A worker runs another version of this program, or cannot run it.
    """
    from distributed import Client
    from distributed.comm.addressing import get_address_host_port

    try:
        get_address_host_port(scheduler, strict=True)
        client = stack.enter_context(Client(scheduler, set_as_default=False, timeout=SCHEDULER_SECONDS))
    except (OSError, ValueError) as error:
        raise UsageError(f"--scheduler {scheduler}: does not answer") from error
    try:
        client.wait_for_workers(1, timeout=WORKER_SECONDS)
    except TimeoutError as error:
        raise UsageError(
            f"--scheduler {scheduler}: has no worker after {WORKER_SECONDS:g} s; start some: dask worker {scheduler}"
        ) from error
    _require_same_version(client, scheduler)
    return client


def own_workers(count: int, stack: contextlib.ExitStack) -> Any:
    """Return a client of a cluster of that many processes on this machine; the stack closes both.

    Raises:
        UsageError: The workers do not start.
    """
    from distributed import Client, LocalCluster

    try:
        cluster = LocalCluster(
            n_workers=count,
            threads_per_worker=1,
            processes=True,
            dashboard_address="127.0.0.1:0",  # None would mean port 8787 on every interface
            silence_logs=logging.CRITICAL,
        )
    except RuntimeError as error:
        raise UsageError(
            f"the workers do not start ({one_line(error)}): each imports the script that calls million_ird, so the "
            'call must be under `if __name__ == "__main__":`; Options(workers=0) needs no workers'
        ) from error
    stack.callback(_close, cluster)
    return stack.enter_context(Client(cluster, set_as_default=False))


def _close(cluster: Any) -> None:
    """Stop own workers, by force if they do not: one that is killed while dask stops it can keep dask waiting."""
    from distributed.core import Status

    nannies = list(cluster.workers.values())
    try:
        cluster.close(timeout=CLOSE_SECONDS)
    except TimeoutError:
        log.debug("the workers did not stop within %g s", CLOSE_SECONDS)
        for pid in [nanny.pid for nanny in nannies if nanny.pid]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        cluster.status = Status.closed  # else dask waits once more when the program ends


def threads_of(client: Any) -> int:
    """Return how many tasks the workers can run at once.

    Raises:
        BuildError: The scheduler has gone away.
    """
    try:
        return max(1, int(sum(client.nthreads().values())))
    except (AttributeError, OSError) as error:  # a client that has lost its scheduler has None in its place
        raise gone() from error


def cancel(client: Any, futures: Iterable[Any]) -> None:
    """Cancel what runs, if the scheduler is still there."""
    if not _is_lost(client):
        client.cancel(list(futures), force=True)


def gone() -> BuildError:
    """Return the error of a scheduler that is no longer there."""
    return BuildError("the scheduler went away; run the same command to go on")


def compare_versions(theirs: str, ours: str, where: str) -> None:
    """Raise VersionMismatch if two versions of this program differ."""
    if theirs != ours:
        raise VersionMismatch(f"{where} runs million-ird {theirs}, this program is {ours}; install the same version")


class FinishedFutures:
    """The futures that finish, in that order; looks at the cluster while none does."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._finished: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._waiting = 0

    def add(self, future: Any) -> None:
        """Wait for one more future."""
        self._waiting += 1
        future.add_done_callback(self._finished.put)

    def __iter__(self) -> Iterator[Any]:
        """Yield futures until none is left.

        Raises:
            BuildError: For 30 s there is no worker left, or no connection to the scheduler.
        """
        while self._waiting:
            yield self._next()

    def _next(self) -> Any:
        idle_since: dict[Callable[[Any], bool], float] = dict.fromkeys((_has_no_worker, _is_lost), time.monotonic())
        while True:
            try:
                future = self._finished.get(timeout=CHECK_SECONDS)
            except queue.Empty:
                self._check(idle_since)
            else:
                self._waiting -= 1
                return future

    def _check(self, idle_since: dict[Callable[[Any], bool], float]) -> None:
        now = time.monotonic()
        for problem in idle_since:
            if not problem(self._client):
                idle_since[problem] = now
        if now - idle_since[_is_lost] >= LOST_SECONDS:
            raise gone()
        if now - idle_since[_has_no_worker] >= WORKER_SECONDS:
            raise BuildError(
                f"the cluster has had no worker for {WORKER_SECONDS:g} s; start workers, and run the same command to "
                "go on"
            )


def _is_lost(client: Any) -> bool:
    return bool(client.status != "running")


def _has_no_worker(client: Any) -> bool:
    if _is_lost(client):
        return False
    try:
        return not client.scheduler_info(n_workers=-1)["workers"]
    except (AttributeError, OSError):
        return False


def _require_same_version(client: Any, scheduler: str) -> None:
    """Ask all workers of a cluster for their version of this program, before they get any work."""
    try:
        versions: dict[str, str] = client.run(_version_here)
    except Exception as error:  # whatever a worker without this program raises, dask raises here
        raise VersionMismatch(f"--scheduler {scheduler}: a worker cannot run million-ird: {one_line(error)}") from error
    for address, theirs in sorted(versions.items()):
        compare_versions(theirs, version("million-ird"), f"--scheduler {scheduler}: the worker {address}")


def _version_here() -> str:
    return version("million-ird")
