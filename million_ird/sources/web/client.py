"""Fetches images and pages from web servers: politely, with a name, and only where robots.txt and opt-outs allow it.

All requests of a client go through one `RequestQueue`, from which its `FetchPool` takes them. A request that has to
wait, for a host's delay or for its next try, goes back to the queue and blocks no other.
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
from million_ird.sources.web import content_type, robots
from million_ird.sources.web.addresses import CheckedResolver, FetchUrl, is_public, parse_url
from million_ird.sources.web.classify import classify_response
from million_ird.sources.web.cookies import cookie_header
from million_ird.sources.web.fetch_pool import FetchPool
from million_ird.sources.web.hosts import HostMemory, HostState
from million_ird.sources.web.isolated_parser import IsolatedParser
from million_ird.sources.web.request_queue import QueuedRequest, RequestQueue
from million_ird.sources.web.response import FetchResult, RequestProfile, WholeHeadConnector, send_request
from million_ird.sources.web.response_head import MAX_HEAD
from million_ird.sources.web.robots_gate import RobotsGate

URLS_PER_TURN = 32
"""URLs that are queued before the workers run again."""
MAX_LOOKUPS = 32
"""Names that are resolved at the same time."""


@dataclass(slots=True)
class _Running:
    """What a client has only inside `async with`."""

    session: aiohttp.ClientSession
    pool: FetchPool


class Client:
    """A client for one event loop; limits, delays and retries apply to all requests that go through it.

    Every request ends in `FetchResult` or `Failed`; nothing that a server does raises.
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
        """Prepare a client; `resolver` replaces the system's resolver, but private addresses are still refused here."""
        self._web = web
        self._concurrency = concurrency
        self._allow_private_hosts = allow_private_hosts
        self._memory = memory if memory is not None else HostMemory()
        self._resolver = resolver
        self._hosts: dict[str, HostState] = {}
        agent = f"million-ird/{metadata.version('million-ird')}"
        agent += f" (+{' '.join(web.contact.split())})" if web.contact.strip() else ""
        self._profiles = {
            "image": _profile(agent, "image/*,*/*;q=0.5", "identity", image=True, check_headers=self._opt_out),
            "page": _profile(agent, "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.5", "gzip"),
        }
        robots_profile = _profile(agent, "text/plain,*/*;q=0.5", "identity", cut=True)
        self.parser = IsolatedParser()
        self._robots_gate = RobotsGate(web, self._memory, robots_profile, self._refused, self.parser)
        self._queue = RequestQueue(limit=self._limit, longest_wait=web.longest_wait)
        self._entered: _Running | None = None

    async def __aenter__(self) -> "Client":
        resolver = CheckedResolver(self._resolver, allow_private_hosts=self._allow_private_hosts)
        timeout = aiohttp.ClientTimeout(total=None, connect=self._web.connect_seconds, sock_read=self._web.read_seconds)
        session = aiohttp.ClientSession(
            connector=WholeHeadConnector(limit=0, resolver=resolver, ttl_dns_cache=60),
            timeout=timeout,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            auto_decompress=False,
            max_line_size=MAX_HEAD,
            max_field_size=MAX_HEAD,
        )
        self._entered = _Running(session, FetchPool(self._queue, self._step, max_workers=self._concurrency))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._running.pool.close()
        await self._running.session.close()
        self._entered = None
        self.parser.close()

    def sitemaps_of(self, url: str) -> tuple[str, ...]:
        """Return the sitemaps that the robots.txt of a URL's origin names, once something was requested from there."""
        target = parse_url(url)
        rules = None if isinstance(target, Failed) else self._robots_gate.known_rules(target)
        return rules.sitemaps if isinstance(rules, robots.RobotsRules) else ()

    async def get(self, url: str, *, max_bytes: int, want: Literal["image", "page"]) -> FetchResult | Failed:
        """Fetch one URL when its turn comes, with redirects and retries.

        An image is refused if its first bytes are clearly something else, or if its server opts out; a page comes with
        its directives.
        """
        result: asyncio.Future[FetchResult | Failed] = asyncio.get_running_loop().create_future()

        def hand_over(outcome: FetchResult | Failed) -> None:
            if not result.done():  # the caller may have been cancelled
                result.set_result(outcome)

        target = parse_url(url)
        if isinstance(target, Failed):
            return target
        self._queue.put(self._request(target, want, max_bytes, hand_over, keep_open=True))
        return await self._running.pool.wait_for(result)

    async def get_all(
        self, urls: Sequence[str], *, max_bytes: int, deliver: Callable[[int, bytes | Failed], None]
    ) -> None:
        """Fetch images and deliver each as soon as it arrives; an exception of `deliver` ends all, and is raised."""
        n_pending = len(urls)
        all_delivered: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def hand_over(index: int, outcome: FetchResult | Failed) -> None:
            nonlocal n_pending
            deliver(index, outcome.body if isinstance(outcome, FetchResult) else outcome)
            n_pending -= 1
            if not n_pending and not all_delivered.done():
                all_delivered.set_result(None)

        for index, url in enumerate(urls):
            target = parse_url(url)
            if isinstance(target, Failed):
                hand_over(index, target)
            else:
                self._queue.put(self._request(target, "image", max_bytes, partial(hand_over, index), keep_open=False))
            if index % URLS_PER_TURN == URLS_PER_TURN - 1:
                await self._running.pool.let_workers_run()
        if urls:
            await self._running.pool.wait_for(all_delivered)

    @property
    def _running(self) -> _Running:
        if self._entered is None:
            raise RuntimeError("use a client inside `async with`")
        return self._entered

    def _request(
        self,
        target: FetchUrl,
        want: Literal["image", "page"],
        max_bytes: int,
        on_done: Callable[[FetchResult | Failed], None],
        *,
        keep_open: bool,
    ) -> QueuedRequest:
        host = self._host(target)
        return QueuedRequest(
            target=target, host=host, want=want, max_bytes=max_bytes, on_done=on_done, keep_open=keep_open
        )

    def _host(self, target: FetchUrl) -> HostState:
        host = self._hosts.get(target.host)
        if host is None:
            host = self._hosts[target.host] = self._memory.host(target.host)
            host.delay = self._web.delay  # the saved delay may be that of another recipe
        return host

    def _limit(self, request: QueuedRequest) -> int:
        one_at_a_time = request.host.is_on_probation or not self._robots_gate.is_known(request.target)
        return 1 if one_at_a_time else self._web.per_host

    def _refused(self, target: FetchUrl) -> Failed | None:
        # The resolver checks names; IP addresses in URLs never reach it.
        if target.literal is None or self._allow_private_hosts or is_public(target.literal):
            return None
        return Failed("private_address", f"{target.host} is not on the public internet")

    def _opt_out(self, headers: CIMultiDictProxy[str]) -> Failed | None:
        values = headers.getall("X-Robots-Tag", ())
        refusal = robots.refusal(robots.directives(values), self._web.opt_out) if values else None
        return Failed("opt_out", f"{refusal} (X-Robots-Tag)") if refusal else None

    async def _step(self, request: QueuedRequest) -> FetchResult | Failed | QueuedRequest:
        target, host, now = request.target, request.host, time.time()
        refused = self._refused(target)
        if refused is not None:
            return refused
        if host.is_circuit_open(now):
            return Failed("circuit_open", f"{target.host}: failed too often, and is left alone for a while")
        if host.is_paused_too_long(now, self._web.longest_wait):
            return Failed("rate_limited", f"{target.host}: asked to be left alone for too long")
        refused = await self._robots_gate.refusal(self._running.session, target, host)
        if refused is not None:
            return refused
        now = time.time()
        if host.wait_seconds(now, self._web.longest_wait) > 0:
            return request  # fetching its robots.txt used up this turn
        host.record_start(now)
        self._queue.recheck(request)
        self._running.pool.start_workers()
        started = time.monotonic()
        response = await send_request(
            self._running.session,
            target,
            self._profiles[request.want],
            max_bytes=request.max_bytes,
            seconds=max(0.001, self._web.total_seconds - request.seconds_spent),
            close=not request.keep_open and not self._queue.has_more(request),
            cookie=cookie_header(request.cookies, target),
        )
        request.seconds_spent += time.monotonic() - started
        return classify_response(request, response, self._web, self._host)


def _refuse_other_types(head: bytes) -> Failed | None:
    kind = content_type.foreign_type(head)
    return Failed("not_an_image", f"is {kind}") if kind else None


def _profile(
    agent: str,
    accept: str,
    encoding: str,
    *,
    image: bool = False,
    check_headers: Callable[[CIMultiDictProxy[str]], Failed | None] | None = None,
    cut: bool = False,
) -> RequestProfile:
    headers = CIMultiDict({"User-Agent": agent, "Accept": accept, "Accept-Encoding": encoding})
    closing = CIMultiDict({**headers, "Connection": "close"})
    return RequestProfile(
        headers=headers,
        closing=closing,
        check_head=_refuse_other_types if image else None,
        head_bytes=content_type.HEAD_BYTES,
        check_headers=check_headers,
        cut=cut,
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
    """Fetch images, and deliver the index of each once, in any order, with its bytes or its failure.

    The call runs an event loop of its own, so the thread must not have one. At most `concurrency` images are in memory.
    An exception of `deliver` stops everything and is raised.
    """

    async def run() -> None:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(MAX_LOOKUPS, thread_name_prefix="names"))
        async with Client(
            web, concurrency=concurrency, allow_private_hosts=allow_private_hosts, memory=memory
        ) as client:
            await client.get_all(urls, max_bytes=max_bytes, deliver=deliver)

    with asyncio.Runner() as runner:
        runner.run(run())
