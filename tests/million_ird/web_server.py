"""A loopback web server in a thread of the test's process, with any responses by path."""

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
    """What a server serves, and what was requested."""

    port: int = 0
    pages: dict[str, bytes | int | Handler] = field(default_factory=dict)
    """By path: a body, a status, or a handler."""
    asked: Counter[str] = field(default_factory=Counter)
    """How often each path was requested."""
    busy: Counter[str] = field(default_factory=Counter)
    most_busy: Counter[str] = field(default_factory=Counter)
    """The largest number of requests in flight at once, by host."""

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        """Return the address of a path."""
        return f"http://{host}:{self.port}{path}"

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        host = request.host.rpartition(":")[0]
        self.asked[request.path_qs if request.path_qs in self.pages else request.path] += 1
        self.busy[host] += 1
        self.most_busy[host] = max(self.most_busy[host], self.busy[host])
        try:
            page = self.pages.get(request.path_qs, self.pages.get(request.path, 404))
            if isinstance(page, bytes):
                return web.Response(body=page)
            return web.Response(status=page) if isinstance(page, int) else await page(request)
        finally:
            self.busy[host] -= 1


@contextlib.contextmanager
def serving(pages: Mapping[str, bytes | int | Handler], hosts: int = 1) -> Iterator[Site]:
    """Serve on 127.0.0.1 and the next addresses, all on one port."""
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
