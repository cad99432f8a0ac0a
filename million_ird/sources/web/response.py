"""Sends one request and reads its response; every way in which it can fail has a failure class, and none raises.

Details name the host only, because a URL may contain a token.
"""

import asyncio
import errno
import ssl
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias, cast

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.http_exceptions import BadHttpMessage
from multidict import CIMultiDict, CIMultiDictProxy

from million_ird.candidate import Failed
from million_ird.errors import BuildError
from million_ird.sources.web.addresses import FetchUrl, PrivateAddress
from million_ird.sources.web.response_head import MAX_HEAD, ResponseHead, whole_range

MAX_DRAINED_BYTES = 65_536
"""Bytes of an unwanted response that are read anyway, so that the connection can be kept."""

CheckHead: TypeAlias = Callable[[bytes], Failed | None]
"""Returns why a body is refused by its first bytes; None if it is not."""


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """What a server sent; only status 200 and 203 come with a body. A 206 with the whole file counts as 200."""

    status: int
    headers: CIMultiDictProxy[str]
    body: bytes


@dataclass(frozen=True, slots=True)
class FetchResult:
    """A file that was fetched."""

    url: str
    """Its address after redirects."""
    body: bytes
    robots_directives: frozenset[str]
    """Those of X-Robots-Tag."""


class _WholeHeads(ResponseHandler):
    """A connection that gives aiohttp each head at once, with one Content-Length, or refuses it as too long."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self._head: ResponseHead | None = None

    def set_response_params(self, **options: Any) -> None:
        self._head = ResponseHead()
        if "max_headers" in options:  # by newer versions of aiohttp: their number; all of them are limited here
            options["max_headers"] = MAX_HEAD
        super().set_response_params(**options)

    def data_received(self, data: bytes) -> None:
        if self._head is None or not data:
            super().data_received(data)
            return
        ready = self._head.feed(data)
        if ready is not None:
            self._head = None
            super().data_received(ready)
        elif self._head.too_long:
            if self.transport is not None:
                self.transport.close()
            self.set_exception(BadHttpMessage(f"a head of more than {MAX_HEAD:,} bytes"))
        else:
            self._reschedule_timeout()

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._head is not None and not self._head.too_long and (rest := self._head.rest()):
            self._head = None
            super().data_received(rest)
        super().connection_lost(exc)


class WholeHeadConnector(aiohttp.TCPConnector):
    """Connects as aiohttp does, but reads heads of responses as browsers do."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._factory = cast("partial[ResponseHandler]", partial(_WholeHeads, loop=self._loop))


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestProfile:
    """What one kind of request sends and accepts."""

    headers: CIMultiDict[str]
    closing: CIMultiDict[str]
    """The same headers, asking to close the connection afterwards."""
    check_head: CheckHead | None = None
    """Checks the first bytes; the rest of a refused body is not read."""
    check_headers: Callable[[CIMultiDictProxy[str]], Failed | None] | None = None
    """Checks the headers before the body is read."""
    head_bytes: int = 1
    """How many first bytes `check_head` needs."""
    cut: bool = False
    """Whether a body over the limit is cut off instead of refused."""


async def send_request(
    session: aiohttp.ClientSession,
    target: FetchUrl,
    profile: RequestProfile,
    *,
    max_bytes: int,
    seconds: float,
    close: bool,
    cookie: str = "",
) -> HttpResponse | Failed:
    """Request `target` and read the response, in at most `seconds`. Redirects are responses.

    Raises:
        BuildError: this machine has no file handles left.
    """
    headers = profile.closing if close else profile.headers
    if cookie:
        headers = CIMultiDict({**headers, "Cookie": cookie})
    try:
        async with asyncio.timeout(seconds):
            response = await session.get(target.url, headers=headers, allow_redirects=False)
            try:
                return await _read(response, profile, max_bytes, session.timeout.sock_read)
            finally:
                # The connection is kept if the body was read to its end, otherwise closed.
                response.release()
    except (aiohttp.ClientError, OSError) as error:  # TimeoutError is an OSError
        return _failure_of(error, target, session.timeout)


async def _read(
    response: aiohttp.ClientResponse, profile: RequestProfile, max_bytes: int, silence: float | None
) -> HttpResponse | Failed:
    refused = profile.check_headers(response.headers) if profile.check_headers else None
    whole = _whole_size(response)
    if response.status not in (200, 203) and whole is None:
        if response.content_length is not None and response.content_length <= MAX_DRAINED_BYTES:
            await response.content.read(MAX_DRAINED_BYTES)
        return refused if refused and response.status < 400 else HttpResponse(response.status, response.headers, b"")
    if refused:
        return refused
    size = max(response.content_length or 0, whole or 0)
    if size > max_bytes and not profile.cut:
        return Failed("too_large", f"{size:,} bytes, more than {max_bytes:,}")
    decompressor = _decompressor(response.headers.getall("Content-Encoding", ()))
    if isinstance(decompressor, Failed):
        return decompressor
    body = await _body(response, profile, max_bytes, decompressor, silence)
    if isinstance(body, Failed):
        return body
    if whole is not None and decompressor is None and len(body) != min(whole, max_bytes):
        return Failed("truncated", f"{len(body):,} bytes of {whole:,}")
    return HttpResponse(200 if whole is not None else response.status, response.headers, body)


def _whole_size(response: aiohttp.ClientResponse) -> int | None:
    """Return the size that a partial response says it has, if it is the whole file."""
    ranges = response.headers.getall("Content-Range", ())
    return whole_range(ranges[0]) if response.status == 206 and len(ranges) == 1 else None


async def _body(
    response: aiohttp.ClientResponse,
    profile: RequestProfile,
    max_bytes: int,
    decompressor: "_Decompressor | None",
    silence: float | None,
) -> bytes | Failed:
    """Read to the end, or until it is known that the rest is not wanted."""
    chunks: list[bytes] = []
    size, checked = 0, profile.check_head is None
    while True:
        try:
            # aiohttp drops its own timeout when broken chunking makes it close the connection.
            async with asyncio.timeout(silence):
                chunk = await response.content.readany()
        except TimeoutError:
            if response.connection is None or response.connection.transport is None:
                return Failed("truncated", "its chunks are broken")
            raise aiohttp.SocketTimeoutError from None
        ended = not chunk
        if decompressor is not None:
            try:
                chunk = decompressor.feed(chunk, max_bytes + 1 - size)
            except zlib.error:
                return Failed("bad_answer", "is not compressed as it says")
        chunks.append(chunk)
        size += len(chunk)
        if not checked and profile.check_head is not None and size and (ended or size >= profile.head_bytes):
            checked = True
            refused = profile.check_head(b"".join(chunks)[: profile.head_bytes])
            if refused:
                return refused
        if size > max_bytes:
            return (
                b"".join(chunks)[:max_bytes] if profile.cut else Failed("too_large", f"more than {max_bytes:,} bytes")
            )
        if ended:
            break
    if decompressor is not None and size and not decompressor.is_whole:
        return Failed("truncated", "its compressed body ends early")
    return b"".join(chunks) if len(chunks) != 2 else chunks[0]


class _Decompressor:
    """Decompresses gzip and deflate, never more than asked for: safe against decompression bombs."""

    def __init__(self) -> None:
        self._zlib = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)

    @property
    def is_whole(self) -> bool:
        return self._zlib.eof

    def feed(self, packed: bytes, at_most: int) -> bytes:
        """Decompress the next bytes; what is over `at_most` is lost, since the caller stops there."""
        return self._zlib.decompress(packed, max(at_most, 1))


_COMPRESSIONS = frozenset({"br", "zstd", "compress", "x-compress", "dcb", "dcz", "exi", "xz", "bzip2", "lzma"})
"""Encodings that are never asked for, and not decoded here."""


def _decompressor(headers: Sequence[str]) -> "_Decompressor | Failed | None":
    """Return what decompresses a body; None if it is not compressed.

    What names no compression (`identity`, `none`, `utf-8`, `aws-chunked`, …) is ignored, as browsers do.
    """
    names = [name.strip().lower() for header in headers for name in header.split(",")]
    packed = [name for name in names if name in {"gzip", "x-gzip", "deflate"} | _COMPRESSIONS]
    if not packed:
        return None
    if len(packed) == 1 and packed[0] not in _COMPRESSIONS:
        return _Decompressor()
    return Failed("bad_answer", "is compressed in a way that was not asked for")


def _failure_of(error: Exception, target: FetchUrl, limits: aiohttp.ClientTimeout) -> Failed:
    host = target.host
    if isinstance(error, TimeoutError):
        return _timeout_failure(error, host, limits)
    if isinstance(error, aiohttp.ClientConnectorError):
        return _connection_failure(error, host)
    if isinstance(error, ssl.SSLError | ssl.CertificateError):
        return Failed("tls", f"{host}: {_tls_reason(error)}")
    if isinstance(error, aiohttp.ClientPayloadError):
        return Failed("truncated", f"{host}: the answer ended before its end")
    if isinstance(error, aiohttp.ClientConnectionError | OSError):
        return Failed("reset", f"{host}: the connection broke")
    if isinstance(error, aiohttp.InvalidURL):
        return Failed("bad_url", "cannot be asked for")
    return Failed("bad_answer", f"{host}: its answer is no HTTP")


def _timeout_failure(error: TimeoutError, host: str, limits: aiohttp.ClientTimeout) -> Failed:
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return Failed("timeout", f"{host}: no connection within {limits.connect:g} s")
    if isinstance(error, aiohttp.SocketTimeoutError):
        return Failed("timeout", f"{host}: silent for {limits.sock_read:g} s")
    return Failed("timeout", f"{host}: not done in the time that one picture has")


def _connection_failure(error: aiohttp.ClientConnectorError, host: str) -> Failed:
    cause = error.os_error
    if isinstance(cause, PrivateAddress):
        return Failed("private_address", f"{host} is not on the public internet")
    if cause.errno in (errno.EMFILE, errno.ENFILE):
        raise BuildError("too many open files: lower web.concurrency, or allow more (ulimit -n)") from error
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return Failed("dns", f"{host}: {cause.strerror or 'the name is not known'}")
    if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientSSLError):
        return Failed("tls", f"{host}: {_tls_reason(cause)}")
    kinds = {errno.ETIMEDOUT: "timeout", errno.ECONNRESET: "reset"}
    return Failed(kinds.get(cause.errno or 0, "refused"), f"{host}: {cause.strerror or 'no connection'}")


def _tls_reason(error: BaseException) -> str:
    return str(getattr(error, "verify_message", "") or getattr(error, "reason", "") or "no secure connection")
