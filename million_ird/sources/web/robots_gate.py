"""Asks each origin for its robots.txt, once, and says what it allows."""

import asyncio
import time
from collections.abc import Callable
from urllib.parse import urljoin

import aiohttp

from million_ird.candidate import Failed
from million_ird.config.rules import WebSettings
from million_ird.sources.web import robots
from million_ird.sources.web.addresses import FetchUrl, parse_url
from million_ird.sources.web.hosts import HostMemory, HostState, RobotsRecord
from million_ird.sources.web.response import HttpResponse, RequestProfile, exchange
from million_ird.sources.web.retries import backoff, is_host_failure, is_retriable

MAX_REDIRECTS = 5
"""Redirects of a robots.txt that are followed: RFC 9309, 2.3.1.2."""


class RobotsGate:
    """What robots.txt files allow; each is fetched once, however many requests wait for it."""

    def __init__(
        self, web: WebSettings, memory: HostMemory, ask: RequestProfile, refused: Callable[[FetchUrl], Failed | None]
    ) -> None:
        """`refused` says why an address is not asked at all."""
        self._web = web
        self._memory = memory
        self._ask = ask
        self._refused = refused
        self._asking: dict[str, asyncio.Lock] = {}

    def is_known(self, place: FetchUrl) -> bool:
        """Whether nothing need be asked before a request to that origin."""
        return not self._web.robots or self._memory.robots(place.origin, time.time()) is not None

    async def rules(
        self, session: aiohttp.ClientSession, place: FetchUrl, host: HostState
    ) -> robots.RobotsRules | Failed:
        """The rules of the place's origin, or why there are none and it must be left alone.

        A server that cannot be reached forbids everything, one without robots.txt nothing (RFC 9309).
        """
        if not self._web.robots:
            return robots.EVERYTHING
        known = self._memory.robots(place.origin, time.time())
        if known is None:
            async with self._asking.setdefault(place.origin, asyncio.Lock()):
                known = self._memory.robots(place.origin, time.time())
                if known is None:
                    known = await self._inquire(session, place, host)
                    self._memory.save_robots(place.origin, known)
            self._asking.pop(place.origin, None)
        if known.failed is not None:
            return known.failed
        host.delay = max(host.delay, min(known.rules.delay, self._web.longest_wait))
        return known.rules

    async def refusal(self, session: aiohttp.ClientSession, place: FetchUrl, host: HostState) -> Failed | None:
        """Why a place may not be asked for; None where it may."""
        rules = await self.rules(session, place, host)
        if isinstance(rules, Failed):
            return rules
        if not rules.allow(str(place.url)):
            return Failed("robots", f"{place.host}: its robots.txt forbids it")
        if rules.delay > self._web.longest_wait:
            return Failed("crawl_delay", f"{place.host}: its robots.txt wants {rules.delay:g} s between requests")
        return None

    async def _inquire(self, session: aiohttp.ClientSession, place: FetchUrl, host: HostState) -> RobotsRecord:
        tries = 0
        while True:
            host.record_start(time.time())
            answer = await self._follow(session, place)
            if isinstance(answer, str):
                host.record_success()
                return RobotsRecord(at=time.time(), text=answer)
            if is_host_failure(answer):
                host.record_failure(time.time())
            if tries >= self._web.retries or not is_retriable(answer) or host.is_circuit_open(time.time()):
                return RobotsRecord(at=time.time(), failed=_unreachable(place, answer))
            await asyncio.sleep(backoff(tries))
            tries += 1

    async def _follow(self, session: aiohttp.ClientSession, place: FetchUrl) -> str | Failed:
        """The text of a robots.txt, empty where there is none; or why it cannot be had."""
        there = parse_url(f"{place.origin}/robots.txt")
        for _ in range(MAX_REDIRECTS + 1):
            if isinstance(there, Failed):
                return ""  # a redirect to nowhere: there is none
            refused = self._refused(there)
            if refused is not None:
                return refused
            reply = await exchange(
                session, there, self._ask, max_bytes=robots.MAX_BYTES, seconds=self._web.total_seconds, close=False
            )
            if isinstance(reply, Failed) or reply.status in (301, 302, 303, 307, 308):
                if isinstance(reply, Failed):
                    return reply
                there = parse_url(urljoin(str(there.url), reply.headers.get("Location", "")))
                continue
            return _text(reply)
        return ""


def _text(reply: HttpResponse) -> str | Failed:
    if reply.status >= 500 or reply.status == 429:
        return Failed(f"http_{reply.status}", "")
    return reply.body.decode("utf-8-sig", errors="replace")


def _unreachable(place: FetchUrl, failed: Failed) -> Failed:
    """A host that is not there at all keeps the name of that; one that is there has not given permission."""
    if failed.failure_class in {"dns", "refused", "tls", "timeout", "reset", "private_address"}:
        return failed
    return Failed("robots", f"{place.host}: its robots.txt is unreachable ({failed.failure_class})")
