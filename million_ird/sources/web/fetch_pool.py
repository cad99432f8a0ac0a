"""The workers of a client: at most a given number at a time, and none that only waits."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeAlias, TypeVar

from million_ird.candidate import Failed
from million_ird.sources.web.request_queue import QueuedRequest, RequestQueue
from million_ird.sources.web.response import FetchResult

T = TypeVar("T")

Step: TypeAlias = Callable[[QueuedRequest], Awaitable[FetchResult | Failed | QueuedRequest]]
"""Makes one attempt at a request; returns the next request if it has to be retried or redirected."""

MAX_WAITING = 50_000
"""Requests in the queue at once; large, so that requests to slow hosts do not keep others out of it."""


class FetchPool:
    """Takes requests from a queue, makes one attempt at each, and hands over the outcome.

    An exception of a step or of a request's `on_done` ends the pool, and is raised in `wait_for` and `let_workers_run`.
    """

    def __init__(self, queue: RequestQueue, step: Step, *, max_workers: int) -> None:
        """Create a pool of at most `max_workers` workers; must be called in the running event loop."""
        self._queue = queue
        self._step = step
        self._max_workers = max_workers
        self._loop = asyncio.get_running_loop()
        self._workers: set[asyncio.Task[None]] = set()
        self._starting = 0
        self._alarm: asyncio.TimerHandle | None = None
        self._error: asyncio.Future[None] = self._loop.create_future()
        self._has_room = asyncio.Event()

    def start_workers(self) -> None:
        """Start as many workers as there is work for, and set the timer for the next sleeping request."""
        if self._error.done():
            return
        while self._queue.ready > self._starting and len(self._workers) < self._max_workers:
            self._starting += 1
            worker = self._loop.create_task(self._work())
            self._workers.add(worker)
            worker.add_done_callback(self._ended)
        wake = self._queue.next_wake
        if wake is not None:
            self._set_alarm(self._loop.time() + max(0.0, wake - time.time()))

    async def let_workers_run(self) -> None:
        """Let the workers run, and wait while the queue is full."""
        self.start_workers()
        await asyncio.sleep(0)
        while self._queue.waiting >= MAX_WAITING and not self._error.done():
            self._has_room.clear()
            await self._has_room.wait()
        self._raise_error()

    async def wait_for(self, future: asyncio.Future[T]) -> T:
        """Wait for a future and return its result; raise the pool's error if that comes first."""
        self.start_workers()
        await asyncio.wait((future, self._error), return_when=asyncio.FIRST_COMPLETED)
        if not future.done():
            self._raise_error()
        return await future

    async def close(self) -> None:
        """Stop all work; return when nothing is in flight."""
        if self._alarm is not None:
            self._alarm.cancel()
        workers = list(self._workers)
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
        if not self._error.cancel() and not self._error.cancelled():
            self._error.exception()  # marks it as retrieved: a waiting call has raised it

    def _raise_error(self) -> None:
        if self._error.done():
            self._error.result()

    async def _work(self) -> None:
        request = self._queue.take(time.time())
        self._starting -= 1
        while request is not None:
            self.start_workers()
            outcome = await self._step(request)
            self._queue.release(request)
            if isinstance(outcome, QueuedRequest):
                self._queue.put(outcome, first=True)
            else:
                request.on_done(outcome)
                if isinstance(outcome, Failed):
                    await asyncio.sleep(0)  # many requests that fail at once must not block the others
            self._has_room.set()
            request = self._queue.take(time.time())

    def _ended(self, worker: asyncio.Task[None]) -> None:
        self._workers.discard(worker)
        error = None if worker.cancelled() else worker.exception()
        if error is not None and not self._error.done():
            self._error.set_exception(error)
            self._has_room.set()
        self.start_workers()

    def _set_alarm(self, loop_time: float) -> None:
        if self._alarm is not None:
            if self._alarm.when() <= loop_time:
                return
            self._alarm.cancel()
        self._alarm = self._loop.call_at(loop_time, self._on_alarm)

    def _on_alarm(self) -> None:
        self._alarm = None
        self._queue.wake(time.time())
        self.start_workers()
