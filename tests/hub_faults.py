"""What requests to our Hub meet instead of their answer, so that clients can be seen to cope."""

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware


@dataclass
class Fault:
    """What the next requests to some address meet instead of their answer."""

    where: str
    """A regular expression that `METHOD /path` is searched for."""
    how: Literal["answer", "drop", "lose", "hold", "serve"]
    """Another answer; a connection broken in mid-request; a request served, its answer lost; no answer ever; or the
    right answer, after `first` was called."""
    times: int = 1
    status: int = 503
    headers: Mapping[str, str] = field(default_factory=dict)
    text: str = "not now"
    first: Callable[[], object] = bool
    skip: int = 0
    """So many requests are served well before."""


def fallible(faults: Sequence[Fault]) -> Middleware:
    """Lets each request meet the first fault that is still to happen at its address."""

    @web.middleware
    async def meet(request: web.Request, handler: Handler) -> web.StreamResponse:
        fault = _due(faults, f"{request.method} {request.path}")
        if fault is None:
            return await handler(request)
        fault.first()
        if fault.how == "serve":
            return await handler(request)
        while fault.how == "hold" and request.transport is not None:
            await asyncio.sleep(0.02)
        if fault.how == "lose":
            await handler(request)
        if fault.how == "drop" and request.body_exists:
            await request.content.readany()
        if fault.how in {"lose", "drop"}:
            assert request.transport is not None
            request.transport.abort()
        text = fault.text.replace("{authorization}", request.headers.get("Authorization", ""))
        return web.Response(status=fault.status, headers=fault.headers, text=text)

    return meet


def _due(faults: Sequence[Fault], line: str) -> Fault | None:
    for fault in faults:
        if fault.times > 0 and re.search(fault.where, line):
            if fault.skip > 0:
                fault.skip -= 1
                continue
            fault.times -= 1
            return fault
    return None
