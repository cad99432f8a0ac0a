"""What the benchmarks of fetching share: a server on loopback in a process of its own, and real JPEGs for it."""

import asyncio
import contextlib
import io
import multiprocessing
from collections.abc import Awaitable, Callable, Iterator

import numpy as np
from aiohttp import web
from machine import photographs
from PIL import Image

Answer = Callable[[web.Request, int], Awaitable[web.StreamResponse]]
"""Answers a request for the picture of a number."""


def crops(count: int, side: int) -> list[bytes]:
    """Square JPEGs out of real photographs, each at a place of its own."""
    found = []
    paths = photographs()
    for number in range(count):
        with Image.open(paths[number % len(paths)]) as picture:
            picture.draft("RGB", (2048, 2048))
            draw = np.random.default_rng(number)
            left, top = (int(draw.integers(max(1, length - side))) for length in picture.size)
            file = io.BytesIO()
            picture.convert("RGB").crop((left, top, left + side, top + side)).save(file, "JPEG", quality=90)
            found.append(file.getvalue())
    return found


@contextlib.contextmanager
def serving(answering: Callable[[list[bytes]], Answer], bodies: list[bytes], hosts: int) -> Iterator[tuple[int, int]]:
    """Serves `/…/<number>.jpg` on 127.0.0.1 and its neighbours; gives the port and the server's process id.

    `answering(bodies)` is called in the server's process and gives what answers.
    """
    context = multiprocessing.get_context("spawn")
    port: multiprocessing.Queue[int] = context.Queue()
    server = context.Process(target=_serve, args=(answering, bodies, hosts, port), daemon=True)
    server.start()
    try:
        yield port.get(timeout=60), server.pid or 0
    finally:
        server.kill()


def _serve(
    answering: Callable[[list[bytes]], Answer], bodies: list[bytes], hosts: int, port: "multiprocessing.Queue[int]"
) -> None:
    answer = answering(bodies)

    async def numbered(request: web.Request) -> web.StreamResponse:
        name = request.path.rsplit("/", 1)[-1].removesuffix(".jpg")
        return await answer(request, int(name)) if name.isdigit() else web.Response(status=404)

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
