"""Orders requests in one queue per host, so that a slow host delays only its own requests.

It uses neither network nor clock: callers pass the time.
"""

import heapq
import itertools
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from million_ird.candidate import Failed
from million_ird.sources.web.addresses import FetchUrl
from million_ird.sources.web.cookies import Cookie
from million_ird.sources.web.hosts import HostState
from million_ird.sources.web.response import FetchResult


@dataclass(slots=True, eq=False, kw_only=True)
class QueuedRequest:
    """One request, with its redirects and retries so far."""

    target: FetchUrl
    host: HostState
    want: Literal["image", "page"]
    max_bytes: int
    on_done: Callable[[FetchResult | Failed], None]
    """Takes the outcome, once."""
    keep_open: bool
    """Whether more requests to the host may follow that are not in the queue yet."""
    hops: tuple[FetchUrl, ...] = ()
    """The addresses that redirected it."""
    cookies: tuple[Cookie, ...] = ()
    """Those that its redirects set."""
    seconds_spent: float = 0.0
    """Seconds of its time limit that earlier redirects used."""
    tries: int = 0
    """Earlier tries at this address."""
    not_before: float = 0.0
    """Earliest time of the next try; 0 is now."""


@dataclass(slots=True, eq=False)
class _HostQueue:
    """The requests to one host."""

    host: HostState
    requests: deque[QueuedRequest] = field(default_factory=deque)
    in_flight: int = 0
    is_scheduled: bool = False
    """Whether it is among the ready or the sleeping queues."""


class RequestQueue:
    """Queues of requests by host. A request waits in its queue, sleeps until its next try, or has been taken."""

    def __init__(self, *, limit: Callable[[QueuedRequest], int], longest_wait: float) -> None:
        """Create an empty queue; `limit` returns how many requests to a request's host may be in flight now."""
        self._limit = limit
        self._longest_wait = longest_wait
        self._queues: dict[str, _HostQueue] = {}
        self._ready: deque[_HostQueue] = deque()
        self._sleeping: list[tuple[float, int, _HostQueue | QueuedRequest]] = []
        self._order = itertools.count()
        self.waiting = 0
        """Requests in the hosts' queues, including hosts that sleep."""

    @property
    def ready(self) -> int:
        """Number of hosts for which `take` may return a request."""
        return len(self._ready)

    @property
    def next_wake(self) -> float | None:
        """When the next sleeping request or host wakes; None if none sleeps."""
        return self._sleeping[0][0] if self._sleeping else None

    def put(self, request: QueuedRequest, *, first: bool = False) -> None:
        """Put a request in its host's queue, or to sleep until `not_before`."""
        if request.not_before > 0:
            heapq.heappush(self._sleeping, (request.not_before, next(self._order), request))
            return
        queue = self._queues.get(request.target.host)
        if queue is None:
            queue = self._queues[request.target.host] = _HostQueue(request.host)
        if first:
            queue.requests.appendleft(request)
        else:
            queue.requests.append(request)
        self.waiting += 1
        self._make_ready(queue)

    def take(self, now: float) -> QueuedRequest | None:
        """Return a request whose turn it is, with hosts in rotation; None if there is none."""
        self.wake(now)
        while self._ready:
            request = self._take_from(self._ready.popleft(), now)
            if request is not None:
                return request
        return None

    def release(self, request: QueuedRequest) -> None:
        """Record that a request that was taken is no longer in flight."""
        queue = self._queues[request.target.host]
        queue.in_flight -= 1
        if queue.requests:
            self._make_ready(queue)
        elif not queue.in_flight:
            del self._queues[request.target.host]

    def recheck(self, request: QueuedRequest) -> None:
        """Take note that the limit of the host of a taken request has changed."""
        self._make_ready(self._queues[request.target.host])

    def has_more(self, request: QueuedRequest) -> bool:
        """Return whether other requests wait for the host of a taken request."""
        return bool(self._queues[request.target.host].requests)

    def wake(self, now: float) -> None:
        """Put requests and hosts back into the queue that have slept long enough."""
        while self._sleeping and self._sleeping[0][0] <= now:
            _, _, sleeper = heapq.heappop(self._sleeping)
            if isinstance(sleeper, QueuedRequest):
                sleeper.not_before = 0.0
                self.put(sleeper, first=True)
            else:
                sleeper.is_scheduled = False
                self._make_ready(sleeper)

    def _make_ready(self, queue: _HostQueue) -> None:
        if not queue.is_scheduled and queue.requests and queue.in_flight < self._limit(queue.requests[0]):
            queue.is_scheduled = True
            self._ready.append(queue)

    def _take_from(self, queue: _HostQueue, now: float) -> QueuedRequest | None:
        queue.is_scheduled = False
        if not queue.requests or queue.in_flight >= self._limit(queue.requests[0]):
            return None
        wait = queue.host.wait_seconds(now, self._longest_wait)
        if wait > 0:
            queue.is_scheduled = True
            heapq.heappush(self._sleeping, (now + wait, next(self._order), queue))
            return None
        request = queue.requests.popleft()
        self.waiting -= 1
        queue.in_flight += 1
        self._make_ready(queue)
        return request
