"""A web server on loopback, in a thread of the test's process: pictures by path, and whatever else a test wants."""

import asyncio
import contextlib
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field

from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Site:
    """What is served, and what was asked for."""

    port: int = 0
    pages: dict[str, bytes | int | Handler] = field(default_factory=dict)
    """By path: a body, a status, or what answers."""
    asked: Counter[str] = field(default_factory=Counter)
    """How often each path was asked for."""
    busy: Counter[str] = field(default_factory=Counter)
    most_busy: Counter[str] = field(default_factory=Counter)
    """The most requests that were under way at once, by host."""

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        """The address of a path."""
        return f"http://{host}:{self.port}{path}"

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answers one request."""
        host = request.host.rpartition(":")[0]
        self.asked[request.path_qs if request.path_qs in self.pages else request.path] += 1
        self.busy[host] += 1
        self.most_busy[host] = max(self.most_busy[host], self.busy[host])
        try:
            found = self.pages.get(request.path_qs, self.pages.get(request.path, 404))
            if isinstance(found, bytes):
                return web.Response(body=found)
            return web.Response(status=found) if isinstance(found, int) else await found(request)
        finally:
            self.busy[host] -= 1


@contextlib.contextmanager
def serving(pages: Mapping[str, bytes | int | Handler], hosts: int = 1) -> Iterator[Site]:
    """Serves on 127.0.0.1 and its neighbours, all on one port."""
    site = Site(pages=dict(pages))
    ready, loop = threading.Event(), asyncio.new_event_loop()

    async def start() -> web.AppRunner:
        app = web.Application()
        app.router.add_route("*", "/{rest:.*}", site.answer)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        for number in range(1, hosts + 1):
            listener = web.TCPSite(runner, f"127.0.0.{number}", site.port, backlog=1024)
            await listener.start()
            site.port = runner.addresses[0][1]
        return runner

    def run() -> None:
        asyncio.set_event_loop(loop)
        runner = loop.run_until_complete(start())
        ready.set()
        loop.run_forever()
        loop.run_until_complete(runner.cleanup())

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert ready.wait(10)
    try:
        yield site
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
