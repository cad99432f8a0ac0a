"""A filter in front of gradio's server that only lets the page's own requests pass.

gradio answers many more requests than the page makes: a description of its functions, calls by name, a proxy,
monitoring, an editor. It also opens a file, or downloads a URL, that a request names as an image. With this filter

- only the paths of ALLOWED_PATHS are answered; all others get 404;
- a request may only name files in the page's own folder, and no URL;
- a body must declare its length, which must be within the limits;
- an upload must find room in the page's folder;
- pages of other sites may not send requests, and a page for this machine only is not served under other host names;
- the page may not contact other hosts: the response headers tell the browser to block that.
"""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import SplitResult, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dynet.demo.uploads import NO_ROOM

_API = "/gradio_api"
_FILE = f"{_API}/file="
_JOIN, _UPLOAD = f"{_API}/queue/join", f"{_API}/upload"
_READ = re.compile(
    rf"/|/theme\.css|/favicon\.ico|/manifest\.json|/(assets|static)/.+"
    rf"|{_API}/(queue/data|upload_progress|startup-events|heartbeat/\w+|file=.+)"
)
_WRITE = re.compile(rf"{_API}/(queue/join|upload|reset|cancel)")
ALLOWED_PATHS = MappingProxyType({"GET": _READ, "HEAD": _READ, "POST": _WRITE})
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
MAX_JSON_BYTES = 2**18
"""The limit for a request that is not an upload; the page's own requests have some hundred bytes."""

# gradio's scripts are inline and create functions from text. Uploaded files are shown, but never executed.
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
    """An ASGI application that passes only the page's own requests to the application behind it."""

    app: ASGIApp
    folder: Path  # resolved; requests may only name files in it
    max_upload_bytes: int  # for one upload
    loopback: bool  # whether requests must name a host of LOOPBACK
    room_for: Callable[[int], AbstractContextManager[bool]]  # of `PageFolder`

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI request, or one of the server's lifespan messages."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        try:
            self._check_head(scope)
            if scope["path"] == _JOIN:
                receive = await self._checked_body(receive)
            if scope["path"] == _UPLOAD:
                await self._upload(scope, receive, send)
                return
        except _RefusedError as refusal:
            await PlainTextResponse(str(refusal), refusal.status)(scope, receive, send)
            return
        await self.app(scope, receive, _with_policy(scope["path"], send))

    async def _upload(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self.room_for(int(Headers(scope=scope)["content-length"])) as has_room:
            if not has_room:
                raise _RefusedError(507, NO_ROOM)
            await self.app(scope, receive, _with_policy(scope["path"], send))

    def _check_head(self, scope: Scope) -> None:
        path, headers = scope["path"], Headers(scope=scope)
        allowed = ALLOWED_PATHS.get(scope["method"])
        if allowed is None or not allowed.fullmatch(path):
            raise _RefusedError(404, "The page has no such address.")
        host = headers.get("host", "")
        if self.loopback and _address(f"//{host}").hostname not in LOOPBACK:
            raise _RefusedError(403, f"The page is served as 127.0.0.1 only, not as {host}.")
        origin = headers.get("origin")
        if origin and _address(origin).netloc not in (host, headers.get("x-forwarded-host", host)):
            raise _RefusedError(403, "Pages of other sites may not use this one.")
        if path.startswith(_FILE) and not self._is_in_folder(path.removeprefix(_FILE)):
            raise _RefusedError(403, "There is no such file.")
        if scope["method"] == "POST":
            length = headers.get("content-length", "")
            if not length.isdecimal():
                raise _RefusedError(411, "The length of the request is missing.")
            if int(length) > (self.max_upload_bytes if path == _UPLOAD else MAX_JSON_BYTES):
                raise _RefusedError(413, "This file is too large for the page.")

    async def _checked_body(self, receive: Receive) -> Receive:
        """Read the body, check the files that it names, and return a function that provides the body again."""
        body, more_body = b"", True
        while more_body:
            message = await receive()
            body += message.get("body", b"")
            more_body = message.get("more_body", False)
            if len(body) > MAX_JSON_BYTES:
                raise _RefusedError(413, "The request is too long.")
        try:
            names = list(_file_names(json.loads(body)))
        except (ValueError, RecursionError) as error:
            raise _RefusedError(400, "The request is not JSON.") from error
        if not all(isinstance(name, str) and self._is_in_folder(name) for name in names):
            raise _RefusedError(403, "There is no such file.")
        unread = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive_again() -> Message:
            return unread.pop() if unread else await receive()

        return receive_again

    def _is_in_folder(self, name: str) -> bool:
        """Return whether a name is a path in the page's folder, after following links."""
        try:
            path = Path(name)
            return path.is_absolute() and path.resolve().is_relative_to(self.folder)
        except (OSError, ValueError):  # the name is too long or contains a zero byte
            return False


def _address(text: str) -> SplitResult:
    """Split an address of a request's head."""
    try:
        return urlsplit(text)
    except ValueError as error:  # such as brackets that enclose no address
        raise _RefusedError(400, "The request names no valid address.") from error


def _file_names(value: Any) -> Iterator[object]:
    """Yield every value that gradio would treat as the path or URL of a file, at any depth of a request."""
    if isinstance(value, dict) and "path" in value:
        yield value["path"]
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _file_names(inner)


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
