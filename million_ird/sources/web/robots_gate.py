"""Fetches the robots.txt of each origin once, and decides which requests it allows."""

import asyncio
import time
from collections.abc import Callable

import aiohttp

from million_ird.candidate import Failed
from million_ird.config.rules import WebSettings
from million_ird.sources.web import robots
from million_ird.sources.web.addresses import FetchUrl, parse_url, redirect_target
from million_ird.sources.web.hosts import HostMemory, HostState, RobotsRecord
from million_ird.sources.web.isolated_parser import IsolatedParser
from million_ird.sources.web.response import HttpResponse, RequestProfile, send_request
from million_ird.sources.web.retries import backoff, is_host_failure, is_retriable

MAX_REDIRECTS = 5
"""How many redirects of a robots.txt are followed: RFC 9309, 2.3.1.2."""


class RobotsGate:
    """Decides by robots.txt; each file is fetched once, however many requests wait for it."""

    def __init__(
        self,
        web: WebSettings,
        memory: HostMemory,
        profile: RequestProfile,
        refused: Callable[[FetchUrl], Failed | None],
        parser: IsolatedParser,
    ) -> None:
        """Prepare a gate; `refused` returns why an address must not be requested at all, or None."""
        self._parser = parser
        self._web = web
        self._memory = memory
        self._profile = profile
        self._refused = refused
        self._locks: dict[str, asyncio.Lock] = {}

    def is_known(self, target: FetchUrl) -> bool:
        """Return whether the robots.txt of the target's origin is known or not needed."""
        return not self._web.robots or self._memory.robots(target.origin, time.time()) is not None

    async def rules(
        self, session: aiohttp.ClientSession, target: FetchUrl, host: HostState
    ) -> robots.RobotsRules | Failed:
        """Return the rules of the target's origin, or why nothing may be fetched from it.

        An origin that cannot be reached forbids everything, one without a robots.txt nothing (RFC 9309).
        """
        if not self._web.robots:
            return robots.ALLOW_ALL
        rules = self.known_rules(target)
        if rules is None:
            async with self._locks.setdefault(target.origin, asyncio.Lock()):
                rules = self.known_rules(target) or await self._learn(session, target, host)
            self._locks.pop(target.origin, None)
        if isinstance(rules, robots.RobotsRules):
            host.delay = max(host.delay, min(rules.delay, self._web.longest_wait))
        return rules

    def known_rules(self, target: FetchUrl) -> robots.RobotsRules | Failed | None:
        """Return the rules of the target's origin, or why nothing may be fetched, if that is known and parsed."""
        known = self._memory.robots(target.origin, time.time())
        return None if known is None else known.failed or known.rules

    async def _learn(
        self, session: aiohttp.ClientSession, target: FetchUrl, host: HostState
    ) -> robots.RobotsRules | Failed:
        """Fetch the robots.txt of the target's origin where it is not in memory, and parse it."""
        known = self._memory.robots(target.origin, time.time()) or await self._fetch(session, target, host)
        if known.failed is None:
            parsed = await self._parser.robots(known.text)
            if isinstance(parsed, Failed):
                detail = f"{target.host}: its robots.txt cannot be parsed ({parsed.failure_class})"
                known = RobotsRecord(fetched_at=known.fetched_at, failed=Failed("robots", detail))
            else:
                known.rules = parsed
        self._memory.save_robots(target.origin, known)
        return known.failed or known.rules or robots.ALLOW_ALL

    async def refusal(self, session: aiohttp.ClientSession, target: FetchUrl, host: HostState) -> Failed | None:
        """Return why the target may not be fetched; None if it may."""
        rules = await self.rules(session, target, host)
        if isinstance(rules, Failed):
            return rules
        if not rules.allow(str(target.url)):
            return Failed("robots", f"{target.host}: its robots.txt forbids it")
        if rules.delay > self._web.longest_wait:
            return Failed("crawl_delay", f"{target.host}: its robots.txt wants {rules.delay:g} s between requests")
        return None

    async def _fetch(self, session: aiohttp.ClientSession, target: FetchUrl, host: HostState) -> RobotsRecord:
        tries = 0
        while True:
            host.record_start(time.time())
            outcome = await self._follow(session, target)
            if isinstance(outcome, str):
                host.record_success()
                return RobotsRecord(fetched_at=time.time(), text=outcome)
            if is_host_failure(outcome):
                host.record_failure(time.time())
            if tries >= self._web.retries or not is_retriable(outcome) or host.is_circuit_open(time.time()):
                return RobotsRecord(fetched_at=time.time(), failed=_unreachable(target, outcome))
            await asyncio.sleep(backoff(tries))
            tries += 1

    async def _follow(self, session: aiohttp.ClientSession, target: FetchUrl) -> str | Failed:
        """Return the text of a robots.txt, empty if there is none, or why it cannot be fetched."""
        robots_url = parse_url(f"{target.origin}/robots.txt")
        for _ in range(MAX_REDIRECTS + 1):
            if isinstance(robots_url, Failed):
                return ""  # an invalid redirect: there is no robots.txt
            refused = self._refused(robots_url)
            if refused is not None:
                return refused
            response = await send_request(
                session,
                robots_url,
                self._profile,
                max_bytes=robots.MAX_BYTES,
                seconds=self._web.total_seconds,
                close=False,
            )
            if isinstance(response, Failed) or response.status in (301, 302, 303, 307, 308):
                if isinstance(response, Failed):
                    return response
                robots_url = redirect_target(robots_url.url, response.headers.get("Location", ""))
                continue
            return _text(response)
        return ""


def _text(response: HttpResponse) -> str | Failed:
    if response.status >= 500 or response.status == 429:
        return Failed(f"http_{response.status}", "")
    return response.body.decode("utf-8-sig", errors="replace")


def _unreachable(target: FetchUrl, failed: Failed) -> Failed:
    """Return the failure of a host that cannot be reached as it is, otherwise `robots`: it gave no permission."""
    if failed.failure_class in {"dns", "refused", "tls", "timeout", "reset", "private_address"}:
        return failed
    return Failed("robots", f"{target.host}: its robots.txt is unreachable ({failed.failure_class})")
