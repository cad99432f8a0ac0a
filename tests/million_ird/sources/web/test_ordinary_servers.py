"""What ordinary servers send, and browsers read, is read; the limits stay."""

import gzip
import socket
import time

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from million_ird.candidate import Failed
from million_ird.sources.web.addresses import FetchUrl, parse_url
from million_ird.sources.web.cookies import MAX_BYTES, MAX_COOKIES, cookie_header, cookies_after
from million_ird.sources.web.response import FetchResult
from million_ird.sources.web.response_head import MAX_HEAD, ResponseHead, one_length, whole_range
from tests.million_ird.sources.web.raw_server import speaking
from tests.million_ird.sources.web.test_client import PICTURE, QUICK, Names, failure, fetch, head, responding
from tests.million_ird.web_server import Handler, serving

SIZE = len(PICTURE)


def headers_of(size: int, each: int = 500) -> list[str]:
    """Header lines that make a head of exactly this many bytes, the status line and a Content-Length included."""
    lines = [f"Content-Length: {SIZE}"]
    while (left := size - len(head(*lines))) > 2 * each:
        lines.append(f"X-{len(lines)}: ".ljust(each - 2, "y"))
    return [*lines, "Z: ".ljust(left - 2, "z")]


@pytest.mark.parametrize("name", ["aws-chunked", "utf-8", "none", "identity", "UTF8", "AWS-Chunked", "binary", ""])
@pytest.mark.parametrize("form", ["{}", "{}, identity", "identity,{}", " {} "])
def test_an_encoding_that_compresses_nothing_is_ignored(name: str, form: str) -> None:
    with speaking(head(f"Content-Encoding: {form.format(name)}") + PICTURE) as raw:
        result = fetch(raw.url("/a.jpg"))
    assert isinstance(result, FetchResult), result
    assert result.body == PICTURE


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (("Content-Encoding: aws-chunked, gzip",), None),
        (("Content-Encoding: aws-chunked", "Content-Encoding: GZIP"), None),
        (("Content-Encoding: identity", "Content-Encoding: br"), "bad_answer"),
        (("Content-Encoding: gzip, zstd",), "bad_answer"),
        (("Content-Encoding: gzip, gzip",), "bad_answer"),
    ],
)
def test_the_compression_among_several_encodings_counts(lines: tuple[str, ...], expected: str | None) -> None:
    with speaking(head(*lines) + gzip.compress(PICTURE)) as raw:
        result = fetch(raw.url("/a.jpg"))
    assert (result.failure_class if isinstance(result, Failed) else None) == expected
    assert expected or result.body == PICTURE  # type: ignore[union-attr]


@pytest.mark.parametrize("each", [60, 500, 8_000, 20_000])
@pytest.mark.parametrize(("size", "expected"), [(MAX_HEAD, None), (MAX_HEAD + 1, "bad_answer")])
def test_headers_of_64_kb_are_read_and_longer_ones_are_not(each: int, size: int, expected: str | None) -> None:
    content = head(*headers_of(size, each))
    assert len(content) == size
    with speaking(content + PICTURE) as raw:
        result = fetch(raw.url("/a.jpg"))
    assert (result.failure_class if isinstance(result, Failed) else None) == expected


def test_headers_without_end_are_cut_off() -> None:
    sent = 0

    def endless(connection: socket.socket) -> None:
        nonlocal sent
        connection.sendall(b"HTTP/1.1 200 OK\r\n")
        while sent < 50_000_000:
            sent += connection.send(b"X: y\r\n" * 1000)

    with speaking(endless) as raw:
        assert failure(raw.url("/")) == "bad_answer"
    assert sent < 20_000_000


def test_a_head_may_come_byte_by_byte_behind_early_hints() -> None:
    def slow(connection: socket.socket) -> None:
        early = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n"
        for byte in early + head(f"Content-Length: {SIZE}", f"content-length:{SIZE}"):
            connection.sendall(bytes([byte]))
            time.sleep(0.001)
        connection.sendall(PICTURE)

    with speaking(slow) as raw:
        assert isinstance(fetch(raw.url("/a.jpg")), FetchResult)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ((f"Content-Length: {SIZE}", f"Content-Length: {SIZE}"), None),
        ((f"Content-Length: {SIZE}, {SIZE}",), None),
        ((f"content-length: {SIZE} ,{SIZE}", f"CONTENT-LENGTH:{SIZE}"), None),
        ((f"Content-Length: {SIZE}", "Content-Length: 5"), "bad_answer"),
        ((f"Content-Length: {SIZE}, 5",), "bad_answer"),
        (("Content-Length: x", "Content-Length: x"), "bad_answer"),
        (("Content-Length: -1", "Content-Length: -1"), "bad_answer"),
        ((f"Content-Length: {SIZE}", f"Content-Length: {SIZE}", "Content-Length: 5"), "bad_answer"),
        (("Content-Length: 1000001", "Content-Length: 1000001"), "too_large"),
    ],
)
def test_an_equal_content_length_may_be_there_twice(lines: tuple[str, ...], expected: str | None) -> None:
    with speaking(head(*lines) + PICTURE) as raw:
        result = fetch(raw.url("/a.jpg"))
    assert (result.failure_class if isinstance(result, Failed) else None) == expected
    assert expected or result.body == PICTURE  # type: ignore[union-attr]


@given(st.lists(st.sampled_from(["Content-Length: 5", "X: 5, 5", "Content-Length : 5", " folded", "y: z"]), max_size=5))
def test_no_other_header_changes(lines: list[str]) -> None:
    content = head("A: b", *lines)
    changed = one_length(content)
    kept = [line for line in content.split(b"\r\n") if not line.lower().startswith(b"content-length")]
    assert [line for line in changed.split(b"\r\n") if not line.lower().startswith(b"content-length")] == kept


@given(st.binary(max_size=60), st.integers(1, 70))
def test_what_a_head_is_fed_comes_out_in_order(body: bytes, step: int) -> None:
    content = head("Content-Length: 9") + body
    collected, out = ResponseHead(), b""
    for start in range(0, len(content), step):
        out = collected.feed(content[start : start + step]) or b""
        if out:
            out += content[start + step :]
            break
    assert out == content


def partial(*lines: str) -> bytes:
    return head(*lines).replace(b"200 OK", b"206 Partial Content")


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ((f"Content-Range: bytes 0-{SIZE - 1}/{SIZE}", f"Content-Length: {SIZE}"), None),
        ((f"content-range: Bytes  0-{SIZE - 1}/{SIZE}",), None),
        ((f"Content-Range: bytes 0-{SIZE - 1}/{SIZE + 1}", f"Content-Length: {SIZE}"), "http_206"),
        ((f"Content-Range: bytes 1-{SIZE}/{SIZE + 1}", f"Content-Length: {SIZE}"), "http_206"),
        ((f"Content-Range: bytes 0-{SIZE - 1}/*", f"Content-Length: {SIZE}"), "http_206"),
        ((f"Content-Range: bytes 0-{SIZE + 9}/{SIZE + 10}",), "truncated"),
        (("Content-Range: bytes 0-4/5",), "truncated"),
        (("Content-Range: bytes 0-1999999/2000000",), "too_large"),
        ((f"Content-Range: bytes 0-{SIZE - 1}/{SIZE}", "Content-Range: bytes 0-4/5"), "http_206"),
        ((f"Content-Range: bytes 0-{SIZE - 1}/{SIZE}", "X-Robots-Tag: noai"), "opt_out"),
    ],
)
def test_a_partial_answer_with_the_whole_file_is_read(lines: tuple[str, ...], expected: str | None) -> None:
    with speaking(partial(*lines) + PICTURE) as raw:
        result = fetch(raw.url("/a.jpg"))
    assert (result.failure_class if isinstance(result, Failed) else None) == expected
    assert expected or result.body == PICTURE  # type: ignore[union-attr]


def test_ranges_that_are_not_the_whole_file_are_none() -> None:
    assert whole_range("bytes 0-0/1") == 1
    for text in ("", "bytes */5", "bytes 0-5/5", "bytes 0-3/5", "items 0-4/5", "bytes 0-4/5, 0-4/5", "bytes -4/5"):
        assert whole_range(text) is None


def needing(cookie: str, set_cookie: str, target: str = "") -> Handler:
    """Serves the picture to who sends this cookie; all others are redirected, by default to the same address."""

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.headers.get("Cookie") == cookie:
            return web.Response(body=PICTURE)
        return web.Response(status=302, headers={"Location": target or request.path, "Set-Cookie": set_cookie})

    return answer


@pytest.mark.parametrize("set_cookie", ["id=1", "id=1; Path=/; HttpOnly; Max-Age=60; SameSite=Lax", " id = 1 ;path=/a"])
def test_a_redirect_that_sets_a_cookie_gets_it_back_at_the_next_hop(set_cookie: str) -> None:
    with serving({"/a/b.jpg": needing("id=1", set_cookie)}) as site:
        result = fetch(site.url("/a/b.jpg"))
        assert isinstance(result, FetchResult), result
        assert site.asked["/a/b.jpg"] == 2
        assert isinstance(fetch(site.url("/a/b.jpg")), FetchResult)
        assert site.asked["/a/b.jpg"] == 4, "no fetch knows the cookies of another"


def test_a_circle_ends_also_when_every_answer_sets_another_cookie() -> None:
    count = 0

    async def restless(request: web.Request) -> web.StreamResponse:
        nonlocal count
        count += 1
        return web.Response(status=302, headers={"Location": request.path, "Set-Cookie": f"n={count}"})

    with serving({"/a": restless, "/b": needing("none", "id=1")}) as site:
        assert failure(site.url("/a")) == "redirects"
        assert count == QUICK.redirects + 1
        assert failure(site.url("/b")) == "redirects"
        assert site.asked["/b"] == 2, "the same cookie again changes nothing"


def test_no_cookie_goes_to_another_site() -> None:
    names = Names(**dict.fromkeys(("www.x.test", "img.x.test", "x.other.test", "test"), ("127.0.0.1",)))
    heard: dict[str, str | None] = {}

    async def listening(request: web.Request) -> web.StreamResponse:
        heard[request.host.partition(":")[0]] = request.headers.get("Cookie")
        return web.Response(body=PICTURE)

    with serving({"/end": listening}) as site:
        for host, cookie in (
            ("img.x.test", "id=1"),
            ("img.x.test", "id=2; Domain=x.test"),
            ("x.other.test", "id=3; Domain=x.test"),
            ("x.other.test", "id=4; Domain=other.test"),
            ("x.other.test", "id=5; Domain=test"),
        ):
            site.pages["/start"] = responding(status=302, Location=site.url("/end", host), Set_Cookie=cookie)
            assert isinstance(fetch(site.url("/start", "www.x.test"), resolver=names), FetchResult)
            expected = "id=2" if cookie.startswith("id=2") else None
            assert heard.pop(host) == expected, cookie


def url(text: str) -> FetchUrl:
    parsed = parse_url(text)
    assert isinstance(parsed, FetchUrl)
    return parsed


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("a=1", "a=1"),
        ("a=1; path=/p", "a=1"),
        ("a=1; path=/p/", "a=1"),
        ("a=1; path=/q", ""),
        ("a=1; path=/p/q.jp", ""),
        ("a=1; path=relative", "a=1"),
        ("a=1; domain=.X.org", "a=1"),
        ("a=1; domain=www.x.org", "a=1"),
        ("a=1; domain=org", ""),
        ("a=1; domain=y.org", ""),
        ("a=1; secure", ""),
        ("a=1; max-age=0", ""),
        ("a=1; max-age=-5", ""),
        ("a=1; max-age=later", "a=1"),
        ("a=1; expires=Thu, 01 Jan 1970 00:00:00 GMT", ""),
        ("a=1; expires=Thu, 01 Jan 2970 00:00:00 GMT", "a=1"),
        ("a=1; expires=soon", "a=1"),
        ('a="1 2"', 'a="1 2"'),
        ("bare", "bare"),
        ("", ""),
        ("=", ""),
        ("a=\x01", ""),
        ("a=\udce9", ""),
        ("a=" + "x" * MAX_BYTES, ""),
    ],
)
def test_which_cookies_are_sent_back(header: str, expected: str) -> None:
    place = url("http://www.x.org/p/q.jpg")
    assert cookie_header(cookies_after((), [header], place), place) == expected


def test_cookies_are_replaced_deleted_and_limited() -> None:
    place = url("https://www.x.org/a")
    held = cookies_after((), ["a=1", "b=2; secure", "a=3"], place)
    assert sorted(cookie_header(held, place).split("; ")) == ["a=3", "b=2"]
    assert cookie_header(held, url("http://www.x.org/a")) == "a=3"
    assert cookie_header(cookies_after(held, ["a=; max-age=0"], place), place) == "b=2"
    many = cookies_after((), [f"n{number}=1" for number in range(500)], place)
    assert len(many) == MAX_COOKIES
    assert cookie_header(cookies_after((), [f"n{n}=" + "x" * 1000 for n in range(9)], place), place) == ""
    shared = url("http://shop.co.uk/")
    assert cookies_after((), ["a=1; domain=co.uk"], shared) == ()
    number = url("http://93.184.216.34/")
    assert cookies_after((), ["a=1; domain=184.216.34"], number) == ()
    assert cookie_header(cookies_after((), ["a=1; domain=93.184.216.34"], number), number) == "a=1"
