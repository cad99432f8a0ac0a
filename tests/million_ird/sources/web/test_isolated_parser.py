"""Text of strangers that is crafted to take hours or gigabytes: it costs one page, never the program that reads it."""

import asyncio
import gzip
import resource
from collections.abc import Callable
from pathlib import Path

import pytest

from million_ird.candidate import Failed
from million_ird.config.recipe import Recipe
from million_ird.ledger import load
from million_ird.runtime.storage import Folder
from million_ird.sources.web import isolated_parser
from million_ird.sources.web.addresses import MAX_URL_LENGTH
from million_ird.sources.web.html import HtmlPage
from million_ird.sources.web.isolated_parser import IsolatedParser
from million_ird.sources.web.join_budget import MAX_JOINED_CHARACTERS
from million_ird.sources.web.robots import RobotsRules
from million_ird.sources.web.sitemaps import MAX_DEPTH, Sitemap, parse_sitemap
from million_ird.workflow import Options, build
from tests.million_ird.test_web_build import encoded
from tests.million_ird.web_server import serving

pytestmark = pytest.mark.timeout(180)
ADDRESS = "http://x.org/start"
LOC = b"<url><loc>http://x.org/a</loc></url>"


def attributes(count: int) -> bytes:
    return b"".join(b" a%d=''" % number for number in range(count))


# Bodies as large as the crawler accepts, or nearly; each was made for one way to waste time or memory.
PAGES: dict[str, Callable[[], bytes]] = {
    "a base of a megabyte": lambda: b"<base href='http://x.org/" + b"a/" * 500_000 + b"'>" + b"<a href=q>" * 500,
    "a long base and many links": lambda: (
        b"<base href='http://x.org/" + b"a/" * (MAX_URL_LENGTH // 2 - 50) + b"'>" + b"<a href=q>" * 480_000
    ),
    "many bases": lambda: b"<base href='a/'>" * 300_000,
    "a long srcset": lambda: b"<img srcset='" + b"a 1x," * 900_000 + b"'>",
    "many srcsets": lambda: (b"<img srcset='" + b", ," * 6000 + b"'>") * 270,
    "steps up": lambda: b"<a href='" + b"../" * 1_600_000 + b"'>",
    "many steps up": lambda: (b"<a href='" + b"../" * 2700 + b"'>") * 600,
    "nested elements": lambda: b"<div>" * 990_000,
    "attributes": lambda: b"<img" + attributes(400_000) + b">",
    "meta robots": lambda: b"<meta name=robots content='" + b"a," * 2_400_000 + b"'>",
    "an open comment": lambda: b"<!--" * 1_200_000,
    "entities": lambda: b"<a href='" + b"&amp;" * 990_000 + b"'>",
    "zeros": lambda: b"<" + bytes(4_900_000),
}
SITEMAPS: dict[str, Callable[[], bytes]] = {
    "nested entries": lambda: b"<urlset>" + b"<url>" * 9_600_000,
    "nested others": lambda: b"<urlset>" + b"<a>" * 16_000_000,
    "entries without an end": lambda: b"<urlset>" + LOC * 1_300_000,
    "images of one page": lambda: b"<urlset><url>" + b"<image><loc>a</loc></image>" * 1_800_000,
    "empty elements": lambda: b"<urlset>" + b"<a/>" * 12_000_000,
    "an address of 45 MB": lambda: b"<urlset><url><loc>" + b"a" * 45_000_000 + b"</loc></url></urlset>",
    "lines within addresses": lambda: b"<urlset>" + (b"<url><loc>" + b"\n" * 9000 + b"</loc></url>") * 5000,
    "attributes": lambda: b"<urlset" + attributes(3_000_000) + b"/>",
    "namespaces": lambda: b"<urlset" + b"".join(b" xmlns:n%d='u'" % number for number in range(1_500_000)) + b"/>",
    "a list": lambda: b"a " * 25_000_000,
    "sitemaps": lambda: b"<sitemapindex>" + b"<sitemap><loc>a</loc></sitemap>" * 1_500_000,
    "zeros in gzip": lambda: gzip.compress(bytes(400_000_000), 1),
    "spaces in gzip": lambda: gzip.compress(b"<urlset>" + b" " * 400_000_000, 1),
    "entities": lambda: (
        b"<!DOCTYPE x [<!ENTITY a 'aaaaaaaaaa'>"
        + b"".join(b"<!ENTITY a%d '%s'>" % (n, b"&a%d;" % (n - 1) * 10 if n else b"&a;" * 10) for n in range(9))
        + b"]><urlset><url><loc>&a8;</loc></url></urlset>"
    ),
}
ROBOTS: dict[str, Callable[[], str]] = {
    "agents times rules": lambda: (
        "".join(f"User-agent: a{number}\n" for number in range(14_000)) + "Disallow: /x\n" * 19_000
    ),
    "wildcards": lambda: "User-agent: *\nDisallow: /" + "*a" * 250_000 + "b$\n",
    "many wildcards": lambda: "User-agent: *\n" + ("Disallow: /" + "*a" * 10 + "*b\n") * 15_000,
    "sitemaps": lambda: "Sitemap: http://x.org/a\n" * 21_000,
    "a long sitemap": lambda: "Sitemap: http://x.org/" + "a" * 490_000,
    "numbers": lambda: "User-agent: *\nCrawl-delay: " + "9" * 400_000 + "\nRequest-rate: 1/" + "9" * 90_000,
}


@pytest.fixture
def parser() -> IsolatedParser:
    return IsolatedParser()


def own_peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def total_length(answer: HtmlPage | Sitemap) -> int:
    images = [image if isinstance(image, str) else image.url for image in answer.images]
    others = answer.links if isinstance(answer, HtmlPage) else [*answer.pages, *answer.sitemaps]
    return sum(map(len, (*images, *others)))


CRAFTED = [
    *(pytest.param("page", make, 5_000_000, id=name) for name, make in PAGES.items()),
    *(pytest.param("sitemap", make, 50_000_000, id=name, marks=pytest.mark.full) for name, make in SITEMAPS.items()),
]


@pytest.mark.parametrize(("kind", "make", "largest"), CRAFTED)
def test_crafted_pages_and_sitemaps_end_in_an_answer(
    kind: str, make: Callable[[], bytes], largest: int, parser: IsolatedParser
) -> None:
    body = make()
    assert len(body) <= largest
    before = own_peak_mb()
    answer = asyncio.run(_closing(parser, getattr(parser, kind)(body, ADDRESS)))
    if isinstance(answer, Failed):
        assert answer.failure_class in {"hung", "out_of_memory", "crashed"}
    else:
        assert isinstance(answer, HtmlPage | Sitemap)
        assert total_length(answer) <= MAX_JOINED_CHARACTERS
    assert own_peak_mb() - before < 300


@pytest.mark.parametrize("name", ROBOTS)
def test_crafted_robots_files_end_in_an_answer(name: str, parser: IsolatedParser) -> None:
    text = ROBOTS[name]()
    assert len(text) <= 512_000
    before = own_peak_mb()
    answer = asyncio.run(_closing(parser, parser.robots(text)))
    assert isinstance(answer, RobotsRules) or answer.failure_class == "hung"
    assert isinstance(answer, RobotsRules) is (name != "agents times rules")
    assert own_peak_mb() - before < 300


async def _closing(parser: IsolatedParser, answer: object) -> object:
    try:
        return await answer  # type: ignore[misc]
    finally:
        parser.close()


def test_elements_within_each_other_are_counted() -> None:
    nested = b"<a>" * (MAX_DEPTH - 3) + LOC + b"</a>" * (MAX_DEPTH - 3)
    assert parse_sitemap(b"<urlset>" + nested + b"</urlset>", ADDRESS).pages == ["http://x.org/a"]
    deeper = parse_sitemap(b"<urlset>" + b"<a>" * MAX_DEPTH + LOC, ADDRESS)
    assert deeper.pages == []
    assert deeper.too_large == f"has more than {MAX_DEPTH} elements within each other"


def test_what_comes_before_a_limit_is_read() -> None:
    sitemap = parse_sitemap(b"<urlset>" + LOC + b"<a>" * 100, ADDRESS)
    assert sitemap.pages == ["http://x.org/a"]
    assert sitemap.too_large


def test_a_parser_that_is_closed_while_it_parses_ends_its_process(parser: IsolatedParser) -> None:
    async def cancel() -> None:
        task = asyncio.create_task(parser.robots(ROBOTS["agents times rules"]()))
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        parser.close()

    asyncio.run(cancel())  # also waits for the thread that waits for the process
    again = IsolatedParser()
    answer = asyncio.run(_closing(again, again.page(b"<img src=a.png>", ADDRESS)))
    assert isinstance(answer, HtmlPage)
    assert answer.images == ["http://x.org/a.png"]


@pytest.mark.full
def test_pages_that_cannot_be_parsed_are_failed_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolated_parser, "ROBOTS_SECONDS", 1.0)
    monkeypatch.setattr(isolated_parser, "SITEMAP_SECONDS", 2.0)
    with serving({f"/{number}.png": encoded(number) for number in range(3)}, 2) as site:
        hostile_host = site.url("/2.png", host="127.0.0.2")
        robots = ROBOTS["agents times rules"]()

        async def robots_of(request):  # type: ignore[no-untyped-def]
            from aiohttp import web

            text = robots if request.host.startswith("127.0.0.2") else f"Sitemap: {site.url('/index.xml')}\n"
            return web.Response(text=text)

        listed = f"<url><loc>{site.url('/page')}</loc><image><loc>{site.url('/1.png')}</loc></image></url>"
        index = "".join(
            f"<sitemap><loc>{site.url(f'/{name}.xml')}</loc></sitemap>" for name in ("nested", "slow", "ok")
        )
        site.pages |= {
            "/robots.txt": robots_of,
            "/index.xml": f"<sitemapindex>{index}</sitemapindex>".encode(),
            "/nested.xml": b"<urlset>" + b"<url>" * 100,
            "/slow.xml": b"<urlset" + attributes(2_000_000) + b"/>",
            "/ok.xml": f"<urlset>{listed}</urlset>".encode(),
            "/": f"<a href='/links'>x</a><img src='/0.png'><img src='{hostile_host}'>".encode(),
            "/links": PAGES["a long base and many links"](),
            "/page": b"<p>nothing",
        }
        spec = {"uri": f"site:{site.url('/')}", "pages": 5, "depth": 1}
        recipe = Recipe.model_validate(
            {"sources": [spec], "patches": {"size": 16}, "limits": {"failed_share": 1}, "web": {"retries": 0},
             "duplicates": {"radius": None}}
        )  # fmt: skip
        build([], str(tmp_path / "out"), recipe, Options(workers=0, allow_private_hosts=True))
        rows = {row["uri"].removeprefix("http://"): row for row in load(Folder(str(tmp_path / "out"))).to_pylist()}
    failed = {uri.partition("/")[2]: row["failure_class"] for uri, row in rows.items() if row["failure_class"]}
    assert failed == {"nested.xml": "too_large", "slow.xml": "hung", "links": "too_large", "2.png": "robots"}
    assert {uri.partition("/")[2] for uri, row in rows.items() if not row["failure_class"]} == {"0.png", "1.png"}
