"""Crawling a loopback site with sitemaps, galleries, crawler traps and forbidden pages."""

import gzip
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import web

from million_ird.config.recipe import Recipe
from million_ird.config.rules import WebSettings
from million_ird.errors import SourceError
from million_ird.ledger import load
from million_ird.runtime.storage import Folder
from million_ird.sources.web.crawler import crawl_site
from million_ird.sources.web.html import largest_of, parse_page
from million_ird.sources.web.sitemaps import SiteImage
from million_ird.workflow import Options, build
from tests.million_ird.test_web_build import encoded
from tests.million_ird.web_server import Site, serving

PAGE = """<html><head><base href="/gallery/"><meta property="og:image" content="/og.jpg">
<link rel="license" href="https://cc.example/by"></head><body>
<img src="small.jpg" srcset="medium.jpg 640w, large,comma.jpg 2000w, small.jpg 320w" alt=x>
<img data-src='lazy.png'><picture><source srcset="a.avif 1x, b.avif 2x"><img src="a.jpg"></picture>
<a href="photo.JPG#top">full size</a> <a href="more">more</a> <a rel="nofollow" href="secret">no</a>
<a href="mailto:x@y.z">mail</a> <a href="//other.example/page">elsewhere</a> <img src="data:image/png;base64,xx">
<img src="http://[broken/x.jpg"><source src="film.mp4" type="video/mp4"><a href="javascript:go()">go</a><p <<<>"""


def test_a_page_names_images_and_links() -> None:
    page = parse_page(PAGE, "http://x.org/start")
    root = "http://x.org/gallery"
    assert page.images == [
        "http://x.org/og.jpg", f"{root}/large,comma.jpg", f"{root}/small.jpg", f"{root}/lazy.png", f"{root}/b.avif",
        f"{root}/a.jpg", f"{root}/photo.JPG",
    ]  # fmt: skip
    assert page.links == [f"{root}/more", "http://other.example/page"]
    assert page.licence == "https://cc.example/by"


@pytest.mark.parametrize(
    ("srcset", "largest"),
    [
        ("a 1x, b 3x, c 2x", "b"),
        ("a", "a"),
        ("", None),
        ("a 100w,b 200w", "b"),
        (" , a 2x ,", "a"),
        ("a junk, b 1x", "b"),
    ],
)
def test_the_largest_of_a_srcset(srcset: str, largest: str | None) -> None:
    assert largest_of(srcset) == largest


@pytest.mark.timeout(20)
def test_a_page_that_is_crafted_to_hang_is_parsed() -> None:
    for evil in ("<a " * 200_000, "<img srcset='" + "a," * 500_000 + "'>", "<!--" * 100_000, "<" * 1_000_000):
        parse_page(evil, "http://x.org/")


def html(*parts: str, head: str = "") -> bytes:
    return f"<html><head>{head}</head><body>{''.join(parts)}</body></html>".encode()


def redirect(where: str) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(status=302, headers={"Location": where})

    return answer


async def calendar(request: web.Request) -> web.StreamResponse:
    number = int(request.query.get("day", 0))
    return web.Response(body=html(f"<a href='/calendar?day={number + 1}'>next</a><img src='/day{number}.jpg'>"))


def fill_site(site: Site) -> None:
    site.pages |= {
        "/robots.txt": f"User-agent: *\nDisallow: /private\nSitemap: {site.url('/maps.xml')}\n".encode(),
        "/maps.xml": f"""<?xml version="1.0"?><sitemapindex xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">
            <sitemap><loc>{site.url("/one.xml.gz")}</loc></sitemap><sitemap><loc>{site.url("/evil.xml")}</loc></sitemap>
            </sitemapindex>""".encode(),
        "/one.xml.gz": gzip.compress(
            f"""<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"
            xmlns:image="http://www.google.com/schemas/sitemap-image/1.1"><url><loc>{site.url("/listed")}</loc>
            <image:image><image:loc>{site.url("/mapped.png")}</image:loc><image:license>CC0</image:license></image:image>
            </url><url><loc>http://[x/</loc></url></urlset>""".encode()
        ),
        "/evil.xml": b'<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><urlset><url><loc>&b;</loc></url></urlset>',
        "/": html("<img src='/home.png'><a href='/a'>a</a><a href='/private/p'>p</a><a href='/calendar'>c</a>"
                  "<a href='/off'>off</a><a href='/noai'>n</a>"),
        "/a": html("<img src='/home.png'><img src='/a.png'><a href='/deep'>d</a>"),
        "/deep": html("<img src='/deep.png'>"),
        "/listed": html("<img src='/listed.png'>", head="<meta name=robots content='index, nofollow'>"),
        "/noai": html("<img src='/noai.png'><a href='/behind'>b</a>", head="<meta name='robots' content='noai'>"),
        "/behind": html("<img src='/behind.png'>"),
        "/private/p": html("<img src='/private.png'>"),
        "/off": redirect(f"http://127.0.0.2:{site.port}/other"),
        "/other": html("<img src='/other.png'>"),
        "/calendar": calendar,
    }  # fmt: skip


def crawl(site: Site, *, pages: int = 0, depth: int = 2) -> list[SiteImage]:
    web = WebSettings(retries=0)
    return crawl_site(site.url("/"), pages=pages, depth=depth, web=web, allow_private_hosts=True, memory=None)


def names(images: list[SiteImage]) -> list[str]:
    return [link.url.rsplit("/", 1)[-1] for link in images]


def test_only_sitemaps_are_read_unless_pages_are_requested() -> None:
    with serving({}, 2) as site:
        fill_site(site)
        assert crawl(site) == [SiteImage(site.url("/mapped.png"), site.url("/listed"), "CC0")]
        assert not {"/a", "/listed"} & set(site.asked)


def test_allowed_pages_are_followed_up_to_the_depth() -> None:
    with serving({}, 2) as site:
        fill_site(site)
        images = crawl(site, pages=50, depth=2)
        assert names(images) == [
            "mapped.png", "home.png", "a.png", "day0.jpg", "listed.png", "deep.png", "day1.jpg", "behind.png",
        ]  # fmt: skip
        assert {link.url: link.page for link in images}[site.url("/a.png")] == site.url("/a")
        assert site.asked["/private/p"] == 0
        assert site.asked["/robots.txt"] <= 2
        assert names(crawl(site, pages=2, depth=2)) == ["mapped.png", "home.png", "a.png"]
        assert len([path for path in site.asked if path.startswith("/calendar")]) <= 2


def test_a_site_that_cannot_be_read_is_an_error_of_one_line() -> None:
    with serving({}, 1) as site, pytest.raises(SourceError, match=r"site:http://127.0.0.1:\d+/: http_404"):
        crawl(site)


def test_a_site_becomes_a_dataset_and_is_crawled_once(tmp_path: Path) -> None:
    with serving(
        {f"/{name}.png": encoded(n) for n, name in enumerate(("home", "a", "mapped", "listed", "deep"))}
    ) as site:
        fill_site(site)
        spec = {"uri": f"site:{site.url('/')}", "pages": 7, "depth": 1}
        recipe = Recipe.model_validate(
            {"sources": [spec], "patches": {"size": 16}, "limits": {"failed_share": 1}, "web": {"retries": 0},
             "duplicates": {"radius": None}}
        )  # fmt: skip
        how = Options(workers=0, allow_private_hosts=True)
        result = build([], str(tmp_path / "out"), recipe, how)
        rows = {row["uri"].rsplit("/", 1)[-1]: row for row in load(Folder(str(tmp_path / "out"))).to_pylist()}
        assert result.funnel.kept == 4
        assert rows["mapped.png"]["licence"] == "CC0"
        assert rows["a.png"]["attribution"] == site.url("/a")
        asked = site.asked.copy()
        assert build([], str(tmp_path / "out"), recipe, how).did_nothing
        assert site.asked == asked
        again = build([], str(tmp_path / "out"), recipe, Options(workers=0, allow_private_hosts=True, refresh=True))
        assert again.did_nothing
        assert site.asked["/a"] == 2
        assert site.asked["/a.png"] == 1
        assert "site" not in json.dumps((tmp_path / "out" / "recipe.yaml").read_text())
