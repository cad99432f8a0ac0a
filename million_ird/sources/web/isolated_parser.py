"""Parses text of strangers, pages, sitemaps and robots.txt, in a process that need not survive it."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import cast

from million_ird.candidate import Failed
from million_ird.runtime.sandbox import WorkerDied, WorkerProcess, worker_process
from million_ird.sources.web import robots
from million_ird.sources.web.html import HtmlPage, parse_page
from million_ird.sources.web.robots import RobotsRules
from million_ird.sources.web.sitemaps import Sitemap, parse_sitemap

MEMORY_BYTES = 1 << 30
PAGE_SECONDS = 10.0
SITEMAP_SECONDS = 30.0
ROBOTS_SECONDS = 5.0


class WebParser:
    """The side of the worker process."""

    def page(self, body: bytes, address: str) -> HtmlPage:
        """Parse a page of HTML."""
        return parse_page(body.decode(errors="replace"), address)

    def sitemap(self, body: bytes, address: str) -> Sitemap:
        """Parse a sitemap."""
        return parse_sitemap(body, address)

    def robots(self, text: str) -> RobotsRules:
        """Parse a robots.txt."""
        return robots.parse(text)


class IsolatedParser:
    """Parses one text at a time, for one event loop; the process starts at the first call.

    What takes too long or too much memory, or crashes the process, is a `Failed` of class `hung`, `out_of_memory`,
    `killed` or `crashed`. An error that the parser does not expect is `unexpected`: a bug of this program, but no
    reason to stop a crawl.
    """

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._entered = contextlib.ExitStack()
        self._process: Callable[[], WorkerProcess] | None = None

    async def page(self, body: bytes, address: str) -> HtmlPage | Failed:
        """Parse a page of HTML that was fetched from `address`."""
        return cast(HtmlPage | Failed, await self._call("page", PAGE_SECONDS, body, address))

    async def sitemap(self, body: bytes, address: str) -> Sitemap | Failed:
        """Parse a sitemap that was fetched from `address`."""
        return cast(Sitemap | Failed, await self._call("sitemap", SITEMAP_SECONDS, body, address))

    async def robots(self, text: str) -> RobotsRules | Failed:
        """Parse a robots.txt."""
        return cast(RobotsRules | Failed, await self._call("robots", ROBOTS_SECONDS, text))

    def close(self) -> None:
        """Give the process back."""
        self._entered.close()
        self._process = None

    async def _call(self, method: str, seconds: float, *arguments: object) -> object:
        async with self._lock:
            if self._process is None:
                factory = f"{__name__}:{WebParser.__name__}"
                self._process = self._entered.enter_context(worker_process(factory, (), MEMORY_BYTES))
            try:
                return await asyncio.to_thread(_call, self._process, method, arguments, seconds)
            except asyncio.CancelledError:
                self._process().kill()  # its answer would be taken for that of the next call
                raise


def _call(process: Callable[[], WorkerProcess], method: str, arguments: tuple[object, ...], seconds: float) -> object:
    try:
        return process().call(method, *arguments, seconds=seconds)
    except WorkerDied as death:
        return Failed(death.failure_class, death.detail)
    except Exception as error:
        return Failed("unexpected", f"{type(error).__name__} in {method}")
