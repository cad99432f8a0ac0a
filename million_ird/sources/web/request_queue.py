"""Whose turn it is: requests wait in line by host, so that a slow host holds up nobody but itself.

Knows neither network nor clock: the time is told to it.
"""

import heapq
import itertools
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from million_ird.candidate import Failed
from million_ird.sources.web.addresses import FetchUrl
from million_ird.sources.web.hosts import HostState
from million_ird.sources.web.response import FetchResult


@dataclass(slots=True, eq=False, kw_only=True)
class QueuedRequest:
    """One request on its way, over redirects and retries, to its end."""

    place: FetchUrl
    host: HostState
    want: Literal["image", "page"]
    max_bytes: int
    done: Callable[[FetchResult | Failed], None]
    """Takes what became of it, once."""
    keep_open: bool
    """Whether more requests to the host may follow that are not in line yet."""
    hops: tuple[FetchUrl, ...] = ()
    """Where redirects led it from."""
    spent: float = 0.0
    """Seconds of its time, on earlier hops."""
    tries: int = 0
    """Earlier tries of this hop."""
    not_before: float = 0.0


@dataclass(slots=True, eq=False)
class _HostQueue:
    """The requests to one host."""

    host: HostState
    trips: deque[QueuedRequest] = field(default_factory=deque)
    busy: int = 0
    listed: bool = False
    """Whether it stands among the ready or the sleeping."""


class RequestQueue:
    """Lines of requests by host. A request waits in a line, sleeps until it may be tried again, or is taken."""

    def __init__(self, *, limit: Callable[[QueuedRequest], int], longest_wait: float) -> None:
        """`limit` says how many requests may be under way at a trip's host now."""
        self._limit = limit
        self._longest_wait = longest_wait
        self._lines: dict[str, _HostQueue] = {}
        self._ready: deque[_HostQueue] = deque()
        self._sleeping: list[tuple[float, int, _HostQueue | QueuedRequest]] = []
        self._order = itertools.count()
        self.waiting = 0
        """Requests in lines, those whose host sleeps included."""

    @property
    def ready(self) -> int:
        """Hosts that `take` may find a request for."""
        return len(self._ready)

    @property
    def next_wake(self) -> float | None:
        """When the next sleeper wakes."""
        return self._sleeping[0][0] if self._sleeping else None

    def put(self, trip: QueuedRequest, *, first: bool = False) -> None:
        """Puts a trip in its host's line, or to sleep until `not_before`."""
        if trip.not_before > 0:
            heapq.heappush(self._sleeping, (trip.not_before, next(self._order), trip))
            return
        line = self._lines.get(trip.place.host)
        if line is None:
            line = self._lines[trip.place.host] = _HostQueue(trip.host)
        if first:
            line.trips.appendleft(trip)
        else:
            line.trips.append(trip)
        self.waiting += 1
        self._list(line)

    def take(self, now: float) -> QueuedRequest | None:
        """A trip whose turn it is, hosts in rotation; None while there is none."""
        self.wake(now)
        while self._ready:
            trip = self._from(self._ready.popleft(), now)
            if trip is not None:
                return trip
        return None

    def leave(self, trip: QueuedRequest) -> None:
        """A trip that was taken is not under way any more."""
        line = self._lines[trip.place.host]
        line.busy -= 1
        if line.trips:
            self._list(line)
        elif not line.busy:
            del self._lines[trip.place.host]

    def reconsider(self, trip: QueuedRequest) -> None:
        """The limit of the host of a trip that was taken has changed."""
        self._list(self._lines[trip.place.host])

    def has_more(self, trip: QueuedRequest) -> bool:
        """Whether others wait for the host of a trip that was taken."""
        return bool(self._lines[trip.place.host].trips)

    def wake(self, now: float) -> None:
        """Puts back in line whoever has slept enough."""
        while self._sleeping and self._sleeping[0][0] <= now:
            _, _, sleeper = heapq.heappop(self._sleeping)
            if isinstance(sleeper, QueuedRequest):
                sleeper.not_before = 0.0
                self.put(sleeper, first=True)
            else:
                sleeper.listed = False
                self._list(sleeper)

    def _list(self, line: _HostQueue) -> None:
        if not line.listed and line.trips and line.busy < self._limit(line.trips[0]):
            line.listed = True
            self._ready.append(line)

    def _from(self, line: _HostQueue, now: float) -> QueuedRequest | None:
        line.listed = False
        if not line.trips or line.busy >= self._limit(line.trips[0]):
            return None
        wait = line.host.wait(now, self._longest_wait)
        if wait > 0:
            line.listed = True
            heapq.heappush(self._sleeping, (now + wait, next(self._order), line))
            return None
        trip = line.trips.popleft()
        self.waiting -= 1
        line.busy += 1
        self._list(line)
        return trip
