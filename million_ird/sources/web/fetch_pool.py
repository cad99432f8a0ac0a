"""The workers of a client: never more than may be busy at once, and none that only waits."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeAlias, TypeVar

from million_ird.candidate import Failed
from million_ird.sources.web.request_queue import QueuedRequest, RequestQueue
from million_ird.sources.web.response import FetchResult

T = TypeVar("T")

Step: TypeAlias = Callable[[QueuedRequest], Awaitable[FetchResult | Failed | QueuedRequest]]
"""Takes a trip one hop on. It comes back where there is more to do: later, again or elsewhere."""

MAX_WAITING = 50_000
"""Requests in line at once: only beyond so many of slow hosts would others come late."""


class FetchPool:
    """Takes trips from a schedule, one step at a time, and hands over what became of each.

    An exception of a step or of a trip's `done` ends the crew's work, and is raised to whoever waits for it.
    """

    def __init__(self, schedule: RequestQueue, step: Step, *, most: int) -> None:
        """`most` workers are at work at once. To be made where the event loop runs."""
        self._schedule = schedule
        self._step = step
        self._most = most
        self._loop = asyncio.get_running_loop()
        self._workers: set[asyncio.Task[None]] = set()
        self._starting = 0
        self._alarm: asyncio.TimerHandle | None = None
        self._trouble: asyncio.Future[None] = self._loop.create_future()
        self._room = asyncio.Event()

    def pump(self) -> None:
        """Starts as many workers as there is work for, and sets the alarm for the next sleeper."""
        if self._trouble.done():
            return
        while self._schedule.ready > self._starting and len(self._workers) < self._most:
            self._starting += 1
            worker = self._loop.create_task(self._work())
            self._workers.add(worker)
            worker.add_done_callback(self._ended)
        wake = self._schedule.next_wake
        if wake is not None:
            self._set_alarm(self._loop.time() + max(0.0, wake - time.time()))

    async def breathe(self) -> None:
        """Lets the workers work, and waits while enough is in line."""
        self.pump()
        await asyncio.sleep(0)
        while self._schedule.waiting >= MAX_WAITING and not self._trouble.done():
            self._room.clear()
            await self._room.wait()
        self._raise_trouble()

    async def until(self, end: asyncio.Future[T]) -> T:
        """What `end` gives, unless the crew comes to grief before."""
        self.pump()
        await asyncio.wait((end, self._trouble), return_when=asyncio.FIRST_COMPLETED)
        if not end.done():
            self._raise_trouble()
        return await end

    async def close(self) -> None:
        """Stops all work; returns when nothing is under way."""
        if self._alarm is not None:
            self._alarm.cancel()
        workers = list(self._workers)
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
        if not self._trouble.cancel() and not self._trouble.cancelled():
            self._trouble.exception()  # marks it as seen: whoever waited has raised it

    def _raise_trouble(self) -> None:
        if self._trouble.done():
            self._trouble.result()

    async def _work(self) -> None:
        trip = self._schedule.take(time.time())
        self._starting -= 1
        while trip is not None:
            self.pump()
            outcome = await self._step(trip)
            self._schedule.leave(trip)
            if isinstance(outcome, QueuedRequest):
                self._schedule.put(outcome, first=True)
            else:
                trip.done(outcome)
                if isinstance(outcome, Failed):
                    await asyncio.sleep(0)  # a row of those that fail at once must not hold up the others
            self._room.set()
            trip = self._schedule.take(time.time())

    def _ended(self, worker: asyncio.Task[None]) -> None:
        self._workers.discard(worker)
        error = None if worker.cancelled() else worker.exception()
        if error is not None and not self._trouble.done():
            self._trouble.set_exception(error)
            self._room.set()
        self.pump()

    def _set_alarm(self, at: float) -> None:
        if self._alarm is not None:
            if self._alarm.when() <= at:
                return
            self._alarm.cancel()
        self._alarm = self._loop.call_at(at, self._ring)

    def _ring(self) -> None:
        self._alarm = None
        self._schedule.wake(time.time())
        self.pump()
