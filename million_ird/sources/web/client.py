"""Fetches pictures and pages from web servers, as a guest: with a name, in turn, and not where it is unwelcome.

All requests of a client go through one `RequestQueue`, from which its `FetchPool` takes them. Whoever has to wait – for a
host's delay, for the next try – is put back there and holds up nobody.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from types import TracebackType
from typing import Literal

import aiohttp
from aiohttp.abc import AbstractResolver
from multidict import CIMultiDict, CIMultiDictProxy

from million_ird.candidate import Failed
from million_ird.config.rules import WebSettings
from million_ird.sources.web import content_type as sniff
from million_ird.sources.web import robots
from million_ird.sources.web.addresses import CheckedResolver, FetchUrl, is_public, parse_url
from million_ird.sources.web.classify import classify_response
from million_ird.sources.web.fetch_pool import FetchPool
from million_ird.sources.web.hosts import HostMemory, HostState
from million_ird.sources.web.request_queue import QueuedRequest, RequestQueue
from million_ird.sources.web.response import FetchResult, RequestProfile, exchange
from million_ird.sources.web.robots_gate import RobotsGate

URLS_PER_TURN = 32
MAX_LOOKUPS = 32
"""Names that are looked up at the same time."""


@dataclass(slots=True)
class _Open:
    """What a client has only while it is entered."""

    session: aiohttp.ClientSession
    crew: FetchPool


class Client:
    """A client for one event loop: limits, delays and retries hold over all that goes through it.

    What becomes of a request is `FetchResult` or `Failed`; nothing that a server does raises.
    """

    def __init__(
        self,
        web: WebSettings,
        *,
        concurrency: int,
        allow_private_hosts: bool = False,
        memory: HostMemory | None = None,
        resolver: AbstractResolver | None = None,
    ) -> None:
        """`resolver` looks names up in the system's stead; which addresses are refused is decided here all the same."""
        self._web = web
        self._concurrency = concurrency
        self._allow_private_hosts = allow_private_hosts
        self._memory = memory if memory is not None else HostMemory()
        self._resolver = resolver
        self._hosts: dict[str, HostState] = {}
        agent = f"million-ird/{metadata.version('million-ird')}"
        agent += f" (+{' '.join(web.contact.split())})" if web.contact.strip() else ""
        self._asks = {
            "image": _ask(agent, "image/*,*/*;q=0.5", "identity", image=True, welcome=self._welcome),
            "page": _ask(agent, "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.5", "gzip"),
        }
        asking = _ask(agent, "text/plain,*/*;q=0.5", "identity", cut=True)
        self._permissions = RobotsGate(web, self._memory, asking, self._refused)
        self._schedule = RequestQueue(limit=self._limit, longest_wait=web.longest_wait)
        self._entered: _Open | None = None

    async def __aenter__(self) -> "Client":
        resolver = CheckedResolver(self._resolver, allow_private_hosts=self._allow_private_hosts)
        timeout = aiohttp.ClientTimeout(total=None, connect=self._web.connect_seconds, sock_read=self._web.read_seconds)
        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, resolver=resolver, ttl_dns_cache=60),
            timeout=timeout,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            auto_decompress=False,
        )
        self._entered = _Open(session, FetchPool(self._schedule, self._step, most=self._concurrency))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._open.crew.close()
        await self._open.session.close()
        self._entered = None

    async def get(self, url: str, *, max_bytes: int, want: Literal["image", "page"]) -> FetchResult | Failed:
        """Fetches one URL, over redirects and retries; waits for its turn.

        An image is refused by its first bytes if they are clearly something else, and where its server opts out; of a
        page the directives are told.
        """
        ended: asyncio.Future[FetchResult | Failed] = asyncio.get_running_loop().create_future()

        def hand_over(end: FetchResult | Failed) -> None:
            if not ended.done():  # whoever asked may have gone
                ended.set_result(end)

        place = parse_url(url)
        if isinstance(place, Failed):
            return place
        self._schedule.put(self._request(place, want, max_bytes, hand_over, keep_open=True))
        return await self._open.crew.until(ended)

    async def get_all(
        self, urls: Sequence[str], *, max_bytes: int, deliver: Callable[[int, bytes | Failed], None]
    ) -> None:
        """Fetches pictures and delivers each as soon as it is here; what `deliver` raises ends all, and is raised."""
        left = len(urls)
        all_here: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def hand_over(index: int, end: FetchResult | Failed) -> None:
            nonlocal left
            deliver(index, end.body if isinstance(end, FetchResult) else end)
            left -= 1
            if not left and not all_here.done():
                all_here.set_result(None)

        for index, url in enumerate(urls):
            place = parse_url(url)
            if isinstance(place, Failed):
                hand_over(index, place)
            else:
                self._schedule.put(self._request(place, "image", max_bytes, partial(hand_over, index), keep_open=False))
            if index % URLS_PER_TURN == URLS_PER_TURN - 1:
                await self._open.crew.breathe()
        if urls:
            await self._open.crew.until(all_here)

    @property
    def _open(self) -> _Open:
        if self._entered is None:
            raise RuntimeError("a client is used inside `async with`")
        return self._entered

    def _request(
        self,
        place: FetchUrl,
        want: Literal["image", "page"],
        max_bytes: int,
        done: Callable[[FetchResult | Failed], None],
        *,
        keep_open: bool,
    ) -> QueuedRequest:
        host = self._host(place)
        return QueuedRequest(place=place, host=host, want=want, max_bytes=max_bytes, done=done, keep_open=keep_open)

    def _host(self, place: FetchUrl) -> HostState:
        host = self._hosts.get(place.host)
        if host is None:
            host = self._hosts[place.host] = self._memory.host(place.host)
            host.delay = self._web.delay  # what was remembered may be of another recipe
        return host

    def _limit(self, trip: QueuedRequest) -> int:
        alone = trip.host.is_on_probation or not self._permissions.is_known(trip.place)
        return 1 if alone else self._web.per_host

    def _refused(self, place: FetchUrl) -> Failed | None:
        # A name is judged when the resolver looks it up; an address never gets there.
        if place.literal is None or self._allow_private_hosts or is_public(place.literal):
            return None
        return Failed("private_address", f"{place.host} is not on the public internet")

    def _welcome(self, headers: CIMultiDictProxy[str]) -> Failed | None:
        values = headers.getall("X-Robots-Tag", ())
        refusal = robots.refusal(robots.directives(values), self._web.opt_out) if values else None
        return Failed("opt_out", f"{refusal} (X-Robots-Tag)") if refusal else None

    async def _step(self, trip: QueuedRequest) -> FetchResult | Failed | QueuedRequest:
        place, host, now = trip.place, trip.host, time.time()
        refused = self._refused(place)
        if refused is not None:
            return refused
        if host.is_circuit_open(now):
            return Failed("circuit_open", f"{place.host}: failed too often, and is left alone for a while")
        if host.is_paused_too_long(now, self._web.longest_wait):
            return Failed("rate_limited", f"{place.host}: asked to be left alone for too long")
        refused = await self._permissions.refusal(self._open.session, place, host)
        if refused is not None:
            return refused
        now = time.time()
        if host.wait(now, self._web.longest_wait) > 0:
            return trip  # asking for its robots.txt was this turn
        host.record_start(now)
        self._schedule.reconsider(trip)
        self._open.crew.pump()
        started = time.monotonic()
        reply = await exchange(
            self._open.session,
            place,
            self._asks[trip.want],
            max_bytes=trip.max_bytes,
            seconds=max(0.001, self._web.total_seconds - trip.spent),
            close=not trip.keep_open and not self._schedule.has_more(trip),
        )
        trip.spent += time.monotonic() - started
        return classify_response(trip, reply, self._web, self._host)


def _look(head: bytes) -> Failed | None:
    kind = sniff.foreign_type(head)
    return Failed("not_an_image", f"is {kind}") if kind else None


def _ask(
    agent: str,
    accept: str,
    encoding: str,
    *,
    image: bool = False,
    welcome: Callable[[CIMultiDictProxy[str]], Failed | None] | None = None,
    cut: bool = False,
) -> RequestProfile:
    headers = CIMultiDict({"User-Agent": agent, "Accept": accept, "Accept-Encoding": encoding})
    closing = CIMultiDict({**headers, "Connection": "close"})
    look = _look if image else None
    return RequestProfile(
        headers=headers, closing=closing, look=look, look_at=sniff.HEAD_BYTES, welcome=welcome, cut=cut
    )


def fetch_all(
    urls: Sequence[str],
    web: WebSettings,
    *,
    max_bytes: int,
    concurrency: int,
    allow_private_hosts: bool,
    memory: HostMemory | None,
    deliver: Callable[[int, bytes | Failed], None],
) -> None:
    """Fetches pictures, and delivers the index of each once, in any order, with its bytes or why there are none.

    Runs an event loop of its own, in any thread that has none. At most `concurrency` pictures are in memory. What
    `deliver` raises stops everything, and is raised.
    """

    async def run() -> None:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(MAX_LOOKUPS, thread_name_prefix="names"))
        async with Client(
            web, concurrency=concurrency, allow_private_hosts=allow_private_hosts, memory=memory
        ) as client:
            await client.get_all(urls, max_bytes=max_bytes, deliver=deliver)

    with asyncio.Runner() as runner:
        runner.run(run())
