"""Many requests at once: limits, delays, broken hosts and cancellation; real servers on loopback."""

import asyncio
import itertools
import threading
import time
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiohttp import web

from million_ird.candidate import Failed
from million_ird.config.rules import WebSettings
from million_ird.runtime.storage import Folder
from million_ird.sources.web import hosts
from million_ird.sources.web.client import Client, fetch_all
from million_ird.sources.web.hosts import HostMemory
from tests.million_ird.sources.web.raw_server import speaking
from tests.million_ird.web_server import Handler, Site, serving

PICTURE = b"\xff\xd8\xff\xe0" + bytes(2000)
QUICK = WebSettings(retries=0, robots=False)


def fetch(
    urls: list[str], settings: WebSettings = QUICK, *, concurrency: int = 16, memory: HostMemory | None = None
) -> list[tuple[int, str]]:
    """Return the indices in the order of delivery, with `ok` or the failure class."""
    outcomes: list[tuple[int, str]] = []

    def deliver(index: int, content: bytes | Failed) -> None:
        outcomes.append((index, content.failure_class if isinstance(content, Failed) else "ok"))

    fetch_all(
        urls,
        settings,
        max_bytes=10_000_000,
        concurrency=concurrency,
        allow_private_hosts=True,
        memory=memory,
        deliver=deliver,
    )
    return outcomes


def slow(seconds: float, body: bytes = PICTURE) -> Handler:
    async def answer(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(seconds)
        return web.Response(body=body)

    return answer


@pytest.fixture
def site() -> Iterator[Site]:
    with serving({f"/{n}.jpg": PICTURE for n in range(40)}, hosts=4) as content:
        yield content


def test_every_index_is_delivered_once_whatever_its_outcome(site: Site) -> None:
    urls = [site.url(f"/{n % 50}.jpg", f"127.0.0.{n % 4 + 1}") for n in range(300)]
    urls[7] = "gopher://x.org/"
    urls[8] = urls[9]
    outcomes = fetch(urls, WebSettings(retries=0, per_host=8))
    assert sorted(index for index, _ in outcomes) == list(range(300))
    classes = Counter(kind for _, kind in outcomes)
    assert classes == {"ok": 239, "http_404": 60, "bad_url": 1}
    assert site.asked["/robots.txt"] == 4
    assert fetch([]) == []


def test_requests_in_flight_are_limited_per_host_and_in_total() -> None:
    busy = most = 0

    async def answer(request: web.Request) -> web.StreamResponse:
        nonlocal busy, most
        busy += 1
        most = max(most, busy)
        await asyncio.sleep(0.02)
        busy -= 1
        return web.Response(body=PICTURE)

    with serving({f"/{n}": answer for n in range(20)}, hosts=4) as site:
        urls = [site.url(f"/{n}", f"127.0.0.{host + 1}") for host in range(4) for n in range(20)]
        fetch(urls, QUICK.model_copy(update={"per_host": 3}), concurrency=100)
        assert set(site.most_busy.values()) == {3}
        most = 0
        fetch(urls, QUICK.model_copy(update={"per_host": 3}), concurrency=5)
        assert most == 5


def test_a_slow_host_does_not_delay_others() -> None:
    with serving({"/slow": slow(1.5), "/quick": PICTURE}, hosts=2) as site:
        urls = [site.url("/slow")] * 4 + [site.url("/quick", "127.0.0.2")] * 60
        outcomes = fetch(urls, QUICK.model_copy(update={"per_host": 2}), concurrency=3)
    assert {index for index, _ in outcomes[:60]} == set(range(4, 64))


def test_a_request_that_waits_for_its_next_try_occupies_no_slot() -> None:
    turns = iter([503])

    async def paused(request: web.Request) -> web.StreamResponse:
        status = next(turns, 200)
        return web.Response(status=status, body=PICTURE, headers={"Retry-After": "1"} if status == 503 else {})

    with serving({"/hushed": paused, "/other": PICTURE}, hosts=2) as site:
        urls = [site.url("/hushed"), *[site.url("/other", "127.0.0.2")] * 5]
        started = time.monotonic()
        outcomes = fetch(urls, QUICK.model_copy(update={"retries": 1}), concurrency=1)
        assert outcomes == [*((n, "ok") for n in range(1, 6)), (0, "ok")]
        assert time.monotonic() - started > 0.9


def recording_starts(pages: Handler | bytes) -> tuple[list[float], Handler]:
    times: list[float] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        times.append(time.monotonic())
        return web.Response(body=pages) if isinstance(pages, bytes) else await pages(request)

    return times, answer


def test_requests_to_a_host_start_a_delay_apart_also_across_chunks(tmp_path: Path) -> None:
    folder, name = Folder(str(tmp_path)), ".work/hosts/00.json"
    times, answer = recording_starts(PICTURE)
    settings = QUICK.model_copy(update={"delay": 0.3})
    with serving({"/a": answer}) as site:
        for _ in range(2):
            memory = HostMemory.load(folder, name)
            fetch([site.url("/a")] * 3, settings, memory=memory)
            memory.save()
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert len(gaps) == 5
    assert min(gaps) > 0.2


def test_a_crawl_delay_is_obeyed_also_after_the_robots_txt() -> None:
    times, answer = recording_starts(PICTURE)
    heard, robots = recording_starts(b"User-agent: *\nCrawl-delay: 0.4\n")
    with serving({"/a": answer, "/robots.txt": robots}) as site:
        fetch([site.url("/a")] * 3, WebSettings(retries=0))
    starts = [*heard, *times]
    assert len(starts) == 4
    assert all(later - earlier > 0.2 for earlier, later in itertools.pairwise(starts[1:]))


def test_robots_txt_is_fetched_once_and_kept(tmp_path: Path) -> None:
    folder, name = Folder(str(tmp_path)), "hosts.json"
    with serving({"/robots.txt": slow(0.2, b"User-agent: *\nDisallow: /no"), "/yes": PICTURE, "/no": PICTURE}) as site:
        urls = [site.url("/yes"), site.url("/no")] * 20
        for _ in range(2):
            memory = HostMemory.load(folder, name)
            assert Counter(kind for _, kind in fetch(urls, WebSettings(retries=0), memory=memory)) == {
                "ok": 20,
                "robots": 20,
            }
            memory.save()
        assert (site.asked["/robots.txt"], site.asked["/no"]) == (1, 0)


def test_an_unreachable_robots_txt_is_soon_fetched_again(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = HostMemory()
    with serving({"/robots.txt": 500, "/a": PICTURE}) as site:
        assert fetch([site.url("/a")] * 3, WebSettings(retries=0), memory=memory) == [(n, "robots") for n in range(3)]
        assert site.asked == {"/robots.txt": 1}
        site.pages["/robots.txt"] = 404
        assert fetch([site.url("/a")], WebSettings(retries=0), memory=memory) == [(0, "robots")]
        monkeypatch.setattr(hosts, "UNREACHABLE_SECONDS", 0.0)
        assert fetch([site.url("/a")], WebSettings(retries=0), memory=memory) == [(0, "ok")]


def test_a_host_that_fails_repeatedly_gets_no_requests_then_one(monkeypatch: pytest.MonkeyPatch) -> None:
    memory, settings = HostMemory(), QUICK.model_copy(update={"per_host": 1})
    with serving({"/a": 500, "/b": PICTURE}) as site:
        outcomes = Counter(kind for _, kind in fetch([site.url("/a")] * 30, settings, memory=memory))
        assert outcomes == {"http_500": hosts.MAX_FAILURES, "circuit_open": 30 - hosts.MAX_FAILURES}
        assert site.asked["/a"] == hosts.MAX_FAILURES
        assert fetch([site.url("/b")], settings, memory=memory) == [(0, "circuit_open")]
        monkeypatch.setattr(hosts, "COOL_DOWN_SECONDS", 0.0)
        probed = QUICK.model_copy(update={"per_host": 4})
        assert {kind for _, kind in fetch([site.url("/b")] * 9, probed, memory=memory)} == {"ok"}
        assert memory.host(f"127.0.0.1:{site.port}").failures == 0


def test_connections_are_kept_while_a_host_has_more_requests_and_closed_after() -> None:
    with speaking(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n\xff\xd8\xff\xe0") as raw:
        assert fetch([raw.url("/a")]) == [(0, "ok")]
        assert b"Connection: close" in raw.requests[0]
    peers: set[object] = set()

    async def answer(request: web.Request) -> web.StreamResponse:
        peers.add(request.transport.get_extra_info("peername") if request.transport else None)
        return web.Response(body=PICTURE)

    with serving({"/a": answer}) as site:
        fetch([site.url("/a")] * 100)
    assert len(peers) <= QUICK.per_host + 1


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt(), SystemExit(3)])
def test_an_exception_of_deliver_stops_everything_and_is_raised(site: Site, error: BaseException) -> None:
    delivered = 0

    def deliver(index: int, content: bytes | Failed) -> None:
        nonlocal delivered
        delivered += 1
        if delivered == 3:
            raise error

    urls = [site.url(f"/{n % 40}.jpg") for n in range(2000)]
    before = threading.active_count()
    with pytest.raises(type(error)):
        fetch_all(urls, QUICK, max_bytes=9999, concurrency=4, allow_private_hosts=True, memory=None, deliver=deliver)
    assert delivered < 10
    assert sum(site.asked.values()) < 30
    assert threading.active_count() <= before


def test_it_works_in_a_thread_and_delivers_there(site: Site) -> None:
    outcomes: list[tuple[int, str]] = []
    thread = threading.Thread(target=lambda: outcomes.extend(fetch([site.url("/1.jpg")] * 5)))
    thread.start()
    thread.join(30)
    assert sorted(outcomes) == [(n, "ok") for n in range(5)]


def test_delivered_images_are_freed() -> None:
    body = b"\xff\xd8\xff\xe0" + bytes(4_000_000)
    with serving({"/a": body}) as site:
        tracemalloc.start()
        fetch([site.url("/a")] * 60, concurrency=2)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 25 * len(body)  # this process also serves them


def test_a_redirect_to_another_host_waits_in_its_queue() -> None:
    times, answer = recording_starts(PICTURE)
    with serving({"/a": answer, "/robots.txt": b"User-agent: *\nCrawl-delay: 0.3"}) as there:

        async def away(request: web.Request) -> web.StreamResponse:
            return web.Response(status=302, headers={"Location": there.url("/a")})

        with serving({"/b": away}) as here:
            assert {kind for _, kind in fetch([here.url("/b")] * 4, WebSettings(retries=0))} == {"ok"}
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert min(gaps) > 0.15


def test_a_cancelled_request_does_not_disturb_others() -> None:
    async def run(site: Site) -> bool:
        async with Client(QUICK, concurrency=2, allow_private_hosts=True) as client:
            first = asyncio.create_task(client.get(site.url("/slow"), max_bytes=9999, want="page"))
            await asyncio.sleep(0.1)
            first.cancel()
            second = await client.get(site.url("/quick"), max_bytes=9999, want="page")
            await asyncio.sleep(0.5)
            return not isinstance(second, Failed)

    with serving({"/slow": slow(0.3), "/quick": PICTURE}) as site:
        assert asyncio.run(run(site))
