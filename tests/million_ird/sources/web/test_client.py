"""Single requests and everything that servers may do to them; real servers on loopback."""

import asyncio
import gzip
import logging
import os
import socket
import struct
import time
import zlib
from collections.abc import Callable
from email.utils import formatdate
from typing import Literal

import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult

from million_ird.candidate import Failed
from million_ird.config.rules import WebSettings
from million_ird.sources.web import addresses
from million_ird.sources.web.client import Client
from million_ird.sources.web.response import FetchResult
from tests.million_ird.sources.web.raw_server import speaking
from tests.million_ird.web_server import Handler, serving

PICTURE = b"\xff\xd8\xff\xe0" + bytes(range(256)) * 40
QUICK = WebSettings(retries=0, robots=False, connect_seconds=1, read_seconds=1, total_seconds=3)


def fetch(
    url: str,
    asked: WebSettings = QUICK,
    *,
    want: Literal["image", "page"] = "image",
    max_bytes: int = 1_000_000,
    private: bool = True,
    resolver: AbstractResolver | None = None,
) -> FetchResult | Failed:
    async def run() -> FetchResult | Failed:
        async with Client(asked, concurrency=4, allow_private_hosts=private, resolver=resolver) as client:
            return await client.get(url, max_bytes=max_bytes, want=want)

    return asyncio.run(run())


def failure(*args: object, **options: object) -> str:
    result = fetch(*args, **options)  # type: ignore[arg-type]
    assert isinstance(result, Failed), result
    assert "\n" not in result.detail
    assert result.detail
    return result.failure_class


def responding(body: bytes = b"", status: int = 200, **headers: str) -> Handler:
    async def answer(request: web.Request) -> web.StreamResponse:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.Response(body=body, status=status, headers=named)

    return answer


class Names(AbstractResolver):
    """Looks names up in a table; other names do not exist, and `slow` never resolves."""

    def __init__(self, **table: tuple[str, ...]) -> None:
        self.table = table
        self.asked: list[str] = []

    async def resolve(self, host: str, port: int = 0, family: int = socket.AF_INET) -> list[ResolveResult]:
        self.asked.append(host)
        if host == "slow":
            await asyncio.sleep(60)
        if host not in self.table:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [
            ResolveResult(hostname=host, host=one, port=port, family=socket.AF_INET, proto=0, flags=0)
            for one in self.table[host]
        ]

    async def close(self) -> None: ...


def test_an_image_arrives_unchanged_and_the_user_agent_names_the_contact() -> None:
    with speaking(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nX-Robots-Tag: nofollow\r\n\r\n" + PICTURE) as raw:
        result = fetch(raw.url("/a%2Fb%20c+d?s=%2B"), QUICK.model_copy(update={"contact": "mail@x.org"}))
        assert result == FetchResult(raw.url("/a%2Fb%20c+d?s=%2B"), PICTURE, frozenset({"nofollow"}))
    (heard,) = raw.requests
    assert heard.startswith(b"GET /a%2Fb%20c+d?s=%2B HTTP/1.1\r\n")
    assert b"User-Agent: million-ird/" in heard
    assert b"(+mail@x.org)" in heard
    assert b"Accept-Encoding: identity" in heard
    for word in (b"Cookie", b"Authorization", b"Referer", b"Mozilla"):
        assert word not in heard


def head(*lines: str) -> bytes:
    return "\r\n".join(("HTTP/1.1 200 OK", *lines, "", "")).encode()


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def silent(connection: socket.socket) -> None:
    connection.sendall(head("Content-Length: 100") + b"\xff\xd8")
    time.sleep(3)


def broken_chunk(connection: socket.socket) -> None:
    connection.sendall(head("Transfer-Encoding: chunked") + b"400\r\n" + PICTURE[:1024] + b"\r\n")
    time.sleep(0.2)
    connection.sendall(b"zz\r\n")
    time.sleep(0.2)


def dripping(connection: socket.socket) -> None:
    connection.sendall(head("Content-Length: 100000") + PICTURE[:600])
    for _ in range(20):
        connection.sendall(b"x")
        time.sleep(0.3)


BOMB = gzip.compress(bytes(50_000_000))


@pytest.mark.parametrize(
    ("spoken", "expected"),
    [
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n\r\nno!", "http_404"),
        (b"HTTP/1.1 410 Gone\r\n\r\n", "http_410"),
        (b"HTTP/1.1 206 Partial Content\r\nContent-Length: 3\r\n\r\nabc", "http_206"),
        (b"HTTP/1.1 599 Hm\r\n\r\n", "http_599"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", "empty"),
        (head("Content-Length: 0"), "empty"),
        (head() + b"<!DOCTYPE html><html>sorry</html>", "not_an_image"),
        (head("Content-Type: image/jpeg") + b"%PDF-1.4 and so on", "not_an_image"),
        (head("Content-Length: 1000001") + PICTURE, "too_large"),
        (head() + bytes(1_000_001), "too_large"),
        (head("Content-Length: 20000") + PICTURE, "truncated"),
        (head("Transfer-Encoding: chunked") + b"5\r\n\xff\xd8\xff\xe0\x00\r\n", "truncated"),
        (head("Transfer-Encoding: chunked") + b"5\r\n\xff\xd8\xff\xe0\x00\r\nzz\r\n", "bad_answer"),
        (broken_chunk, "truncated"),
        (head("Content-Encoding: gzip") + gzip.compress(PICTURE)[:-20], "truncated"),
        (head("Content-Encoding: gzip") + PICTURE, "bad_answer"),
        (head("Content-Encoding: br") + PICTURE, "bad_answer"),
        (head("Content-Encoding: gzip", f"Content-Length: {len(BOMB)}") + BOMB, "too_large"),
        (b"\x00\x01\x02 what is this?\r\n\r\n", "bad_answer"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 9\r\n\r\nabcde", "bad_answer"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000 + b"\r\n\r\n", "bad_answer"),
        (b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n", "redirects"),
        (b"HTTP/1.1 302 Found\r\nLocation: ftp://x.org/\r\n\r\n", "redirects"),
        (b"HTTP/1.1 302 Found\r\nLocation: http://[x/\r\n\r\n", "redirects"),
        (b"HTTP/1.1 301 Moved\r\nLocation: /a.jpg\r\nContent-Length: 0\r\n\r\n", "redirects"),
        (head("X-Robots-Tag: noai") + PICTURE, "opt_out"),
        (head("X-Robots-Tag: otherbot: nofollow, million-ird: noindex") + PICTURE, "opt_out"),
        (head("X-Robots-Tag: all", "X-Robots-Tag: NoImageAI", "Content-Length: 900000") + PICTURE, "opt_out"),
        (b"", "reset"),
        (reset, "reset"),
        (silent, "timeout"),
        (dripping, "timeout"),
    ],
)
def test_every_way_to_fail_has_a_name(spoken: bytes | Callable[[socket.socket], None], expected: str) -> None:
    with speaking(spoken) as raw:
        assert failure(raw.url("/a.jpg")) == expected


@pytest.mark.parametrize(
    "spoken",
    [
        head("Content-Type: text/html", f"Content-Length: {len(PICTURE)}") + PICTURE,
        head("Content-Encoding: gzip") + gzip.compress(PICTURE),
        head("Content-Encoding: deflate") + zlib.compress(PICTURE),
        head("X-Robots-Tag: otherbot: noai", "X-Robots-Tag: unavailable_after: 1 Jan 2020 00:00:00 GMT") + PICTURE,
        head("Transfer-Encoding: chunked") + b"%x\r\n%b\r\n0\r\n\r\n" % (len(PICTURE), PICTURE),
        b"HTTP/1.0 200 OK\r\n\r\n" + PICTURE,
        b"HTTP/1.1 203 Changed\r\n\r\n" + PICTURE,
    ],
)
def test_every_way_to_succeed(spoken: bytes) -> None:
    with speaking(spoken) as raw:
        result = fetch(raw.url("/a.jpg"))
    assert isinstance(result, FetchResult), result
    assert result.body == PICTURE


def test_timeouts_name_their_kind() -> None:
    with speaking(dripping) as raw:
        started = time.monotonic()
        assert "that one picture has" in fetch(raw.url("/"), QUICK).detail  # type: ignore[union-attr]
        assert 2.5 < time.monotonic() - started < 10
    with speaking(silent) as raw:
        assert "silent for 1 s" in fetch(raw.url("/"), QUICK).detail  # type: ignore[union-attr]
    result = fetch("http://slow/a.jpg", QUICK, resolver=Names())
    assert isinstance(result, Failed)
    assert (result.failure_class, "no connection within 1 s" in result.detail) == ("timeout", True)


def test_failures_before_any_response() -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    assert failure(f"http://127.0.0.1:{port}/") == "refused"
    assert failure("http://nowhere.example/", resolver=Names()) == "dns"
    with speaking(b"HTTP/1.1 200 OK\r\n\r\n") as raw:
        assert failure(raw.url("/", "https")) == "tls"
    assert failure("http://user:pass@x.org/") == "bad_url"


def test_a_refused_body_is_not_read() -> None:
    sent = 0

    def endless(connection: socket.socket) -> None:
        nonlocal sent
        connection.sendall(head("Content-Length: 900000000") + b"<html>")
        while True:
            sent += connection.send(bytes(65_536))

    with speaking(endless) as raw:
        assert failure(raw.url("/"), max_bytes=1_000_000_000) == "not_an_image"
    assert sent < 20_000_000


def test_pages_are_not_refused_and_come_with_their_directives() -> None:
    with serving(
        {"/": responding(gzip.compress(b"<html>"), X_Robots_Tag="noai, none", Content_Encoding="gzip")}
    ) as site:
        result = fetch(site.url("/"), want="page")
    assert isinstance(result, FetchResult)
    assert (result.body, result.robots_directives) == (b"<html>", {"noai", "noindex", "nofollow"})


def test_an_opt_out_that_the_recipe_does_not_list_is_ignored() -> None:
    with serving({"/a": responding(PICTURE, X_Robots_Tag="noindex")}) as site:
        assert isinstance(fetch(site.url("/a"), QUICK.model_copy(update={"opt_out": ("noai",)})), FetchResult)


def in_turn(*answers: Handler) -> Handler:
    left = list(answers)

    async def answer(request: web.Request) -> web.StreamResponse:
        return await (left.pop(0) if len(left) > 1 else left[0])(request)

    return answer


def test_temporary_failures_are_retried_and_others_are_not() -> None:
    again = QUICK.model_copy(update={"retries": 2})
    pages = {
        "/503": in_turn(responding(status=503), responding(status=500), responding(PICTURE)),
        "/502": 502,
        "/404": 404,
    }
    with serving(pages) as site:
        assert isinstance(fetch(site.url("/503"), again), FetchResult)
        assert failure(site.url("/502"), again) == "http_502"
        assert failure(site.url("/404"), again) == "http_404"
        assert site.asked == {"/503": 3, "/502": 3, "/404": 1}
    with speaking(head("Content-Length: 99") + b"\xff\xd8") as raw:
        assert failure(raw.url("/"), again) == "truncated"
        assert len(raw.requests) == 3


@pytest.mark.parametrize("date", [False, True])
def test_the_client_waits_for_retry_after(date: bool) -> None:
    pause = formatdate(time.time() + 2, usegmt=True) if date else "1"
    with serving({"/a": in_turn(responding(status=429, Retry_After=pause), responding(PICTURE))}) as site:
        started = time.monotonic()
        assert isinstance(fetch(site.url("/a"), QUICK.model_copy(update={"retries": 1})), FetchResult)
        assert time.monotonic() - started > 0.9


def test_a_retry_after_beyond_longest_wait_fails_the_requests_of_the_host() -> None:
    async def run(port: int) -> list[FetchResult | Failed]:
        async with Client(QUICK.model_copy(update={"retries": 3}), concurrency=4, allow_private_hosts=True) as client:
            return [await client.get(f"http://127.0.0.1:{port}/{n}", max_bytes=99, want="image") for n in "ab"]

    with serving({"/a": responding(status=503, Retry_After="3600"), "/b": PICTURE}) as site:
        result = asyncio.run(run(site.port))
        assert [one.failure_class for one in result if isinstance(one, Failed)] == ["rate_limited", "rate_limited"]
        assert site.asked == {"/a": 1}


def redirecting_to(target: str, status: int = 302) -> Handler:
    return responding(status=status, Location=target)


def test_redirects_are_followed_up_to_the_limit_of_the_recipe() -> None:
    pages: dict[str, bytes | int | Handler] = {f"/{n}": redirecting_to(f"{n + 1}", 301 + n % 2) for n in range(5)}
    pages |= {
        "/5": PICTURE,
        "/loop": redirecting_to("/back"),
        "/back": redirecting_to("/loop#x", 307),
        "/out": redirecting_to("/noai", 308),
    }
    pages["/noai"] = responding(PICTURE, X_Robots_Tag="noai")
    with serving(pages) as site:
        result = fetch(site.url("/0"))
        assert isinstance(result, FetchResult)
        assert result.url == site.url("/5")
        assert failure(site.url("/0"), QUICK.model_copy(update={"redirects": 4})) == "redirects"
        assert failure(site.url("/loop")) == "redirects"
        assert site.asked["/loop"] == 1
        assert failure(site.url("/out")) == "opt_out"


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "2130706433", "0x7f.1", "[::1]", "[::ffff:127.0.0.1]", "localhost", "127.1", "169.254.169.254"],
)
def test_private_hosts_are_not_even_connected_to(host: str) -> None:
    with speaking(head() + PICTURE) as raw:
        assert failure(raw.url("/", host=host), private=False) == "private_address"
        assert failure(raw.url("/", host=host), WebSettings(retries=0), private=False) == "private_address"
    assert raw.connections == 0


def test_the_checked_address_is_the_one_that_is_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """In this test, 127.0.0.1 counts as public and 127.0.0.2 does not."""
    private = tuple(
        network
        for network in addresses._REFUSED_V4
        if not network.overlaps(addresses.ipaddress.IPv4Network("127.0.0.0/8"))
    )
    monkeypatch.setattr(addresses, "_REFUSED_V4", (*private, addresses.ipaddress.IPv4Network("127.0.0.2/32")))
    names = Names(both=("127.0.0.2", "127.0.0.1"), inner=("127.0.0.2",))
    inside = "http://127.0.0.2:{port}/a"
    pages: dict[str, bytes | int | Handler] = {"/a": PICTURE}
    with serving(pages, hosts=2) as site:
        pages = site.pages
        pages["/in"] = redirecting_to(inside.format(port=site.port))
        pages["/name"] = redirecting_to(f"http://inner:{site.port}/a")
        pages["/cloud"] = redirecting_to("http://169.254.169.254/latest/meta-data")
        assert isinstance(fetch(site.url("/a", "both"), private=False, resolver=names), FetchResult)
        for path in ("/in", "/name", "/cloud"):
            assert failure(site.url(path, "both"), private=False, resolver=names) == "private_address"
        assert site.asked == {"/a": 1, "/in": 1, "/name": 1, "/cloud": 1}
    assert sorted(names.asked) == ["both"] * 4 + ["inner"]  # once per client


def test_no_token_of_a_url_is_ever_shown(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    secret = "SECRET" + os.urandom(4).hex()
    pages: dict[str, bytes | int | Handler] = {
        "/a": 404,
        "/b": redirecting_to(f"ftp://x/{secret}"),
        "/c": b"<html>",
        "/d": 503,
    }
    with serving(pages) as site, speaking(b"nonsense\r\n\r\n") as raw:
        urls = [f"{site.url(path)}?token={secret}" for path in pages]
        urls += [f"{raw.url('/')}?{secret}", f"{raw.url('/', 'https')}?{secret}", f"http://none/?{secret}"]
        urls += [f"http://u:{secret}@x.org/", f"http://x.org:{secret}/", f"gopher://{secret}/", f"http://[{secret}/"]
        result = [fetch(url, WebSettings(retries=1), resolver=Names()) for url in urls]
    assert all(isinstance(one, Failed) for one in result)
    assert secret not in repr(result)
    assert secret not in caplog.text


@pytest.mark.parametrize(
    ("robots", "expected"),
    [
        (b"User-agent: *\nDisallow: /private", None),
        (b"User-agent: *\nDisallow: /a", "robots"),
        (b"User-agent: million-ird\nCrawl-delay: 500", "crawl_delay"),
        (404, None),
        (403, None),
        (500, "robots"),
        (429, "robots"),
        (redirecting_to("/other.txt"), "robots"),
        (redirecting_to("ftp://x/"), None),
        (redirecting_to("http://[x/"), None),
        (b"\xef\xbb\xbfUser-agent: *\r\nDisallow: /a\r\n" + b"# long\n" * 100_000, "robots"),
    ],
)
def test_robots_txt_is_interpreted_as_rfc_9309_says(robots: bytes | int | Handler, expected: str | None) -> None:
    pages: dict[str, bytes | int | Handler] = {"/robots.txt": robots, "/a": PICTURE}
    pages["/other.txt"] = b"User-agent: *\nDisallow: /a"
    with serving(pages) as site:
        result = fetch(site.url("/a"), WebSettings(retries=0))
        assert (result.failure_class if isinstance(result, Failed) else None) == expected
        assert site.asked["/a"] == (expected is None)
        assert isinstance(fetch(site.url("/a"), WebSettings(retries=0, robots=False)), FetchResult)


def test_a_redirect_obeys_the_robots_txt_of_its_target() -> None:
    with serving({"/robots.txt": b"User-agent: *\nDisallow: /b", "/b": PICTURE}) as there:
        with serving({"/a": redirecting_to(there.url("/b"))}) as here:
            assert failure(here.url("/a"), WebSettings(retries=0)) == "robots"
        assert there.asked == {"/robots.txt": 1}


def test_a_host_that_does_not_exist_fails_as_dns() -> None:
    assert failure("http://none/", WebSettings(retries=0), resolver=Names()) == "dns"
