"""What stands between the network and gradio's server: only what the page itself needs comes through.

gradio answers many more requests than a page makes: a description of its functions, calls by name, a proxy, monitoring,
an editor. It also opens a file, or fetches an address, that a request names as a picture. Here

- only the paths of ALLOWED are answered, and every other with 404;
- a request may name only files of the page's own folder, and no address;
- a body is as long as it says, and no longer than the limits;
- another site's page may not send requests, and where only this machine is served, no other host's name is answered to;
- the page may ask nothing of another host: the browser is told so, and refuses.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_API = "/gradio_api"
_FILE = f"{_API}/file="
_JOIN, _UPLOAD = f"{_API}/queue/join", f"{_API}/upload"
_READ = re.compile(
    rf"/|/theme\.css|/favicon\.ico|/manifest\.json|/(assets|static)/.+"
    rf"|{_API}/(queue/data|upload_progress|startup-events|heartbeat/\w+|file=.+)"
)
_WRITE = re.compile(rf"{_API}/(queue/join|upload|reset|cancel)")
ALLOWED = MappingProxyType({"GET": _READ, "HEAD": _READ, "POST": _WRITE})
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
MOST_JSON = 2**18
"""Bytes of a request that is not an upload: the page's own are of some hundred."""

# gradio's scripts are inline and build functions of text. Files that somebody uploaded are shown, and never run.
_PAGE_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; worker-src 'self' blob:; object-src 'none'; base-uri 'self'; form-action 'self'; "
    "frame-ancestors 'self'"
)
_FILE_POLICY = "default-src 'none'; sandbox"


class _RefusedError(Exception):
    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


@dataclass(frozen=True, slots=True)
class RequestFilter:
    """The application behind it sees only requests that the page makes."""

    app: ASGIApp
    folder: Path  # resolved; everything that a request may name lies in it
    most_upload: int  # bytes of one upload
    loopback: bool  # True: requests name a host of LOOPBACK

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, or one of the server's own messages, of ASGI."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        try:
            self._check_head(scope)
            if scope["path"] == _JOIN:
                receive = await self._checked_body(receive)
        except _RefusedError as refusal:
            await PlainTextResponse(str(refusal), refusal.status)(scope, receive, send)
            return
        await self.app(scope, receive, _with_policy(scope["path"], send))

    def _check_head(self, scope: Scope) -> None:
        path, headers = scope["path"], Headers(scope=scope)
        allowed = ALLOWED.get(scope["method"])
        if allowed is None or not allowed.fullmatch(path):
            raise _RefusedError(404, "The page has no such address.")
        host = headers.get("host", "")
        if self.loopback and urlsplit(f"//{host}").hostname not in LOOPBACK:
            raise _RefusedError(403, f"The page is not served as {host}, but as 127.0.0.1 only.")
        origin = headers.get("origin")
        if origin and urlsplit(origin).netloc not in (host, headers.get("x-forwarded-host", host)):
            raise _RefusedError(403, "Pages of other sites may not use this one.")
        if path.startswith(_FILE) and not self._is_ours(path.removeprefix(_FILE)):
            raise _RefusedError(403, "There is no such file.")
        if scope["method"] == "POST":
            length = headers.get("content-length", "")
            if not length.isdecimal():
                raise _RefusedError(411, "The length of the request is missing.")
            if int(length) > (self.most_upload if path == _UPLOAD else MOST_JSON):
                raise _RefusedError(413, "This file is too large for the page.")

    async def _checked_body(self, receive: Receive) -> Receive:
        """The same body again, after a look at the files that it names."""
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > MOST_JSON:
                raise _RefusedError(413, "The request is too long.")
        try:
            named = list(_files(json.loads(body)))
        except (ValueError, RecursionError) as error:
            raise _RefusedError(400, "The request is not JSON.") from error
        if not all(isinstance(name, str) and self._is_ours(name) for name in named):
            raise _RefusedError(403, "There is no such file.")
        unread = [{"type": "http.request", "body": body, "more_body": False}]

        async def again() -> Message:
            return unread.pop() if unread else await receive()

        return again

    def _is_ours(self, name: str) -> bool:
        """True for a path that leads into the page's folder, links followed."""
        try:
            path = Path(name)
            return path.is_absolute() and path.resolve().is_relative_to(self.folder)
        except (OSError, ValueError):  # too long a name, or one with a zero byte
            return False


def _files(value: Any) -> Iterator[object]:
    """Every value that gradio would take for a file's path or address, at any depth of a request."""
    if isinstance(value, dict) and "path" in value:
        yield value["path"]
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _files(inner)


def _with_policy(path: str, send: Send) -> Send:
    policy = _FILE_POLICY if path.startswith(_FILE) else _PAGE_POLICY

    async def send_with_policy(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers["content-security-policy"] = policy
            headers["x-content-type-options"] = "nosniff"
            headers["referrer-policy"] = "no-referrer"
        await send(message)

    return send_with_policy
