"""One request and its answer; every way in which it can go wrong has a name, and none raises.

Details name the host alone: a URL may hold a token.
"""

import asyncio
import errno
import ssl
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import aiohttp
from multidict import CIMultiDict, CIMultiDictProxy

from million_ird.candidate import Failed
from million_ird.errors import BuildError
from million_ird.sources.web.addresses import FetchUrl, PrivateAddress

MAX_DRAINED_BYTES = 65_536
"""Bytes of an answer nobody wants that are read nevertheless, to keep the connection."""

Look: TypeAlias = Callable[[bytes], Failed | None]


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """What a server answered; the body is there where the status is 200 or 203."""

    status: int
    headers: CIMultiDictProxy[str]
    body: bytes


@dataclass(frozen=True, slots=True)
class FetchResult:
    """What was asked for."""

    url: str
    """Where it was in the end, after redirects."""
    body: bytes
    robots_directives: frozenset[str]
    """Of X-Robots-Tag."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestProfile:
    """What one kind of request asks for and accepts."""

    headers: CIMultiDict[str]
    closing: CIMultiDict[str]
    """The same, and to close the connection after it."""
    look: Look | None = None
    """Looks at the first bytes: the rest of a body that it refuses is not read."""
    welcome: Callable[[CIMultiDictProxy[str]], Failed | None] | None = None
    """Looks at the headers, before the body is read."""
    look_at: int = 1
    cut: bool = False
    """Whether a body over the limit is cut off instead of refused."""


async def exchange(
    session: aiohttp.ClientSession, place: FetchUrl, ask: RequestProfile, *, max_bytes: int, seconds: float, close: bool
) -> HttpResponse | Failed:
    """Asks for `place` and reads the answer, in at most `seconds`. Redirects are answers.

    Raises:
        BuildError: this machine has no file handles left.
    """
    headers = ask.closing if close else ask.headers
    try:
        async with asyncio.timeout(seconds):
            response = await session.get(place.url, headers=headers, allow_redirects=False)
            try:
                return await _read(response, ask, max_bytes, session.timeout.sock_read)
            finally:
                # To the pool if it was read to its end, otherwise closed.
                response.release()
    except (aiohttp.ClientError, OSError) as error:  # TimeoutError is an OSError
        return _why(error, place, session.timeout)


async def _read(
    response: aiohttp.ClientResponse, ask: RequestProfile, max_bytes: int, silence: float | None
) -> HttpResponse | Failed:
    refused = ask.welcome(response.headers) if ask.welcome else None
    if response.status not in (200, 203):
        if response.content_length is not None and response.content_length <= MAX_DRAINED_BYTES:
            await response.content.read(MAX_DRAINED_BYTES)
        return refused if refused and response.status < 400 else HttpResponse(response.status, response.headers, b"")
    if refused:
        return refused
    if response.content_length is not None and response.content_length > max_bytes and not ask.cut:
        return Failed("too_large", f"{response.content_length:,} bytes, more than {max_bytes:,}")
    unpack = _decompressor(response.headers.get("Content-Encoding", ""))
    if isinstance(unpack, Failed):
        return unpack
    body = await _body(response, ask, max_bytes, unpack, silence)
    return body if isinstance(body, Failed) else HttpResponse(response.status, response.headers, body)


async def _body(
    response: aiohttp.ClientResponse,
    ask: RequestProfile,
    max_bytes: int,
    unpack: "_Decompressor | None",
    silence: float | None,
) -> bytes | Failed:
    """Reads to the end, or as far as it takes to know that the rest is not wanted."""
    chunks: list[bytes] = []
    size, looked = 0, ask.look is None
    while True:
        try:
            # Of its own: aiohttp forgets its own when broken chunking made it close the connection.
            async with asyncio.timeout(silence):
                chunk = await response.content.readany()
        except TimeoutError:
            if response.connection is None or response.connection.transport is None:
                return Failed("truncated", "its chunks are broken")
            raise aiohttp.SocketTimeoutError from None
        ended = not chunk
        if unpack is not None:
            try:
                chunk = unpack.feed(chunk, max_bytes + 1 - size)
            except zlib.error:
                return Failed("bad_answer", "is not compressed as it says")
        chunks.append(chunk)
        size += len(chunk)
        if not looked and ask.look is not None and size and (ended or size >= ask.look_at):
            looked = True
            refused = ask.look(b"".join(chunks)[: ask.look_at])
            if refused:
                return refused
        if size > max_bytes:
            return b"".join(chunks)[:max_bytes] if ask.cut else Failed("too_large", f"more than {max_bytes:,} bytes")
        if ended:
            break
    if unpack is not None and size and not unpack.is_whole:
        return Failed("truncated", "its compressed body ends early")
    return b"".join(chunks) if len(chunks) != 2 else chunks[0]


class _Decompressor:
    """Takes gzip and deflate apart, never further than asked: a bomb does not go off."""

    def __init__(self) -> None:
        self._unpack = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)

    @property
    def is_whole(self) -> bool:
        return self._unpack.eof

    def feed(self, packed: bytes, at_most: int) -> bytes:
        """The next bytes; what is over `at_most` is lost, since the caller stops there."""
        return self._unpack.decompress(packed, max(at_most, 1))


def _decompressor(encoding: str) -> "_Decompressor | Failed | None":
    match encoding.strip().lower():
        case "" | "identity":
            return None
        case "gzip" | "x-gzip" | "deflate":
            return _Decompressor()
        case _:
            return Failed("bad_answer", "is compressed in a way that was not asked for")


def _why(error: Exception, place: FetchUrl, limits: aiohttp.ClientTimeout) -> Failed:
    host = place.host
    if isinstance(error, TimeoutError):
        return _which_timeout(error, host, limits)
    if isinstance(error, aiohttp.ClientConnectorError):
        return _no_connection(error, host)
    if isinstance(error, ssl.SSLError | ssl.CertificateError):
        return Failed("tls", f"{host}: {_reason(error)}")
    if isinstance(error, aiohttp.ClientPayloadError):
        return Failed("truncated", f"{host}: the answer ended before its end")
    if isinstance(error, aiohttp.ClientConnectionError | OSError):
        return Failed("reset", f"{host}: the connection broke")
    if isinstance(error, aiohttp.InvalidURL):
        return Failed("bad_url", "cannot be asked for")
    return Failed("bad_answer", f"{host}: its answer is no HTTP")


def _which_timeout(error: TimeoutError, host: str, limits: aiohttp.ClientTimeout) -> Failed:
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return Failed("timeout", f"{host}: no connection within {limits.connect:g} s")
    if isinstance(error, aiohttp.SocketTimeoutError):
        return Failed("timeout", f"{host}: silent for {limits.sock_read:g} s")
    return Failed("timeout", f"{host}: not done in the time that one picture has")


def _no_connection(error: aiohttp.ClientConnectorError, host: str) -> Failed:
    cause = error.os_error
    if isinstance(cause, PrivateAddress):
        return Failed("private_address", f"{host} is not on the public internet")
    if cause.errno in (errno.EMFILE, errno.ENFILE):
        raise BuildError("too many open files: lower web.concurrency, or allow more (ulimit -n)") from error
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return Failed("dns", f"{host}: {cause.strerror or 'the name is not known'}")
    if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientSSLError):
        return Failed("tls", f"{host}: {_reason(cause)}")
    kinds = {errno.ETIMEDOUT: "timeout", errno.ECONNRESET: "reset"}
    return Failed(kinds.get(cause.errno or 0, "refused"), f"{host}: {cause.strerror or 'no connection'}")


def _reason(error: BaseException) -> str:
    return str(getattr(error, "verify_message", "") or getattr(error, "reason", "") or "no secure connection")
