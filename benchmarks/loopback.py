"""Shared by the benchmarks of fetching: a loopback server in a separate process, and real JPEGs for it."""

import asyncio
import contextlib
import io
import multiprocessing
from collections.abc import Awaitable, Callable, Iterator

import numpy as np
from aiohttp import web
from machine import photographs
from PIL import Image

Respond = Callable[[web.Request, int], Awaitable[web.StreamResponse]]
"""Responds a request for the image with this number."""


def crops(count: int, side: int) -> list[bytes]:
    """Return square JPEGs cut from real photographs at random positions."""
    encoded = []
    paths = photographs()
    for number in range(count):
        with Image.open(paths[number % len(paths)]) as image:
            image.draft("RGB", (2048, 2048))
            draw = np.random.default_rng(number)
            left, top = (int(draw.integers(max(1, length - side))) for length in image.size)
            file = io.BytesIO()
            image.convert("RGB").crop((left, top, left + side, top + side)).save(file, "JPEG", quality=90)
            encoded.append(file.getvalue())
    return encoded


@contextlib.contextmanager
def serving(
    make_respond: Callable[[list[bytes]], Respond], bodies: list[bytes], hosts: int
) -> Iterator[tuple[int, int]]:
    """Serve `/…/<number>.jpg` on 127.0.0.1 and the next addresses; yield the port and the server's process id.

    `make_respond(bodies)` is called in the server's process and returns the function that responds to requests.
    """
    context = multiprocessing.get_context("spawn")
    port: multiprocessing.Queue[int] = context.Queue()
    server = context.Process(target=_serve, args=(make_respond, bodies, hosts, port), daemon=True)
    server.start()
    try:
        yield port.get(timeout=60), server.pid or 0
    finally:
        server.kill()


def _serve(
    make_respond: Callable[[list[bytes]], Respond], bodies: list[bytes], hosts: int, port: "multiprocessing.Queue[int]"
) -> None:
    respond = make_respond(bodies)

    async def numbered(request: web.Request) -> web.StreamResponse:
        name = request.path.rsplit("/", 1)[-1].removesuffix(".jpg")
        return await respond(request, int(name)) if name.isdigit() else web.Response(status=404)

    async def run() -> None:
        app = web.Application()
        app.router.add_get("/{rest:.*}", numbered)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        chosen = 0
        for host in range(1, hosts + 1):
            await web.TCPSite(runner, f"127.0.0.{host}", chosen, backlog=2048).start()
            chosen = runner.addresses[0][1]
        port.put(chosen)
        await asyncio.Event().wait()

    asyncio.run(run())
