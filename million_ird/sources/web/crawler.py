"""Finds the images of a web site in its sitemaps and, on request, by following links from page to page."""

import asyncio
import gzip
import io
import logging
import time
import zlib
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import urljoin, urlsplit
from xml.etree.ElementTree import Element, ParseError

import defusedxml.ElementTree
from defusedxml.common import DefusedXmlException

from million_ird.candidate import Failed
from million_ird.config.rules import WebSettings
from million_ird.errors import SourceError, one_line
from million_ird.sources.web.addresses import parse_url
from million_ird.sources.web.client import Client
from million_ird.sources.web.hosts import HostMemory
from million_ird.sources.web.html import HtmlPage, forbids, parse_page
from million_ird.sources.web.links import public_url
from million_ird.sources.web.response import FetchResult

log = logging.getLogger(__name__)

PAGE_BYTES = 5_000_000
SITEMAP_BYTES = 50_000_000
"""The limit of sitemaps.org; it also applies to the decompressed size."""
MAX_SITEMAPS = 2_000
_PAGE_SUFFIXES = ("", ".html", ".htm", ".xhtml", ".php", ".asp", ".aspx", ".jsp", ".cgi")


@dataclass(frozen=True, slots=True)
class SiteImage:
    """An image that a site names."""

    url: str
    page: str
    """The page that shows it, or the sitemap that lists it."""
    licence: str | None = None


def crawl_site(
    url: str, *, pages: int, depth: int, web: WebSettings, allow_private_hosts: bool, memory: HostMemory | None
) -> list[SiteImage]:
    """Return the images of a site, each once: in the order of its sitemaps, then of its pages, breadth first.

    Args:
        url: Address at which the site begins.
        pages: Follow links of the same host to at most this many pages; 0 reads sitemaps only.
        depth: Follow links up to this distance from `url`; pages that a sitemap lists have distance 1.
        web: Settings of requests.
        allow_private_hosts: Whether the site may be on a private network.
        memory: What is already known of hosts.

    Raises:
        SourceError: neither the address nor a sitemap can be read.
    """

    async def run() -> list[SiteImage]:
        host_memory = memory if memory is not None else HostMemory()
        async with Client(
            web, concurrency=web.per_host, allow_private_hosts=allow_private_hosts, memory=host_memory
        ) as client:
            return await _Crawl(url, pages, depth, web, client, host_memory).run()

    with asyncio.Runner() as runner:
        return runner.run(run())


@dataclass(slots=True)
class _Crawl:
    url: str
    pages: int
    depth: int
    web: WebSettings
    client: Client
    memory: HostMemory
    images: dict[str, SiteImage] = field(default_factory=dict)
    """By their addresses."""
    listed_pages: list[str] = field(default_factory=list)
    """Pages that sitemaps list."""

    async def run(self) -> list[SiteImage]:
        start = await self.client.get(self.url, max_bytes=PAGE_BYTES, want="page")
        sitemaps = await self._sitemaps()
        if isinstance(start, Failed) and not sitemaps:
            raise SourceError(f"source site:{self.url}: {start.failure_class}: {start.detail}")
        if self.pages and isinstance(start, FetchResult):
            await self._follow(start)
        return list(self.images.values())

    def _add(self, url: str, page: str, licence: str | None) -> None:
        self.images.setdefault(url, SiteImage(url, page, licence))

    async def _sitemaps(self) -> int:
        """Read all sitemaps, and return how many could be read."""
        origin = urljoin(self.url, "/")
        target = parse_url(self.url)
        robots = None if isinstance(target, Failed) else self.memory.robots(target.origin, time.time())
        named = robots.rules.sitemaps if robots is not None and robots.failed is None else ()
        waiting = deque(dict.fromkeys(named or (urljoin(origin, "/sitemap.xml"),)))
        seen = set(waiting)
        read = 0
        while waiting and read < MAX_SITEMAPS:
            address = waiting.popleft()
            answer = await self.client.get(address, max_bytes=SITEMAP_BYTES, want="page")
            if isinstance(answer, Failed):
                level = logging.WARNING if named else logging.INFO
                log.log(level, "sitemap %s: %s", public_url(address), answer.failure_class)
                continue
            read += 1
            for more in self._sitemap(answer):
                if more not in seen:
                    seen.add(more)
                    waiting.append(more)
        return read

    def _sitemap(self, answer: FetchResult) -> Iterator[str]:
        """Collect what a sitemap lists, and yield further sitemaps."""
        try:
            for element in _elements(answer.body):
                kind = _local_name(element)
                if kind == "sitemap":
                    yield from (text for name, text in _texts(element) if name == "loc")
                elif kind == "url":
                    self._collect_entry(element, answer.url)
        except (ParseError, DefusedXmlException, OSError, EOFError, zlib.error, ValueError) as error:
            log.warning("sitemap %s: cannot be read further: %s", public_url(answer.url), one_line(error, 100))

    def _collect_entry(self, element: Element, sitemap: str) -> None:
        page = next((text for name, text in _texts(element) if name == "loc"), sitemap)
        for image in element:
            if _local_name(image) == "image":
                fields = dict(_texts(image))
                if fields.get("loc"):
                    self._add(urljoin(sitemap, fields["loc"]), page, fields.get("license"))
        self.listed_pages.append(page)

    async def _follow(self, start: FetchResult) -> None:
        """Follow links breadth first on the site's host, a few pages at a time, and collect images in page order."""
        host = urlsplit(start.url).hostname
        seen = {self.url, start.url}
        level = [address for address in self._collect_page(start) if _is_page(address, host)]
        level = list(dict.fromkeys([*level, *(page for page in self.listed_pages if _is_page(page, host))]))
        remaining = self.pages - 1
        for _ in range(self.depth):
            chosen = [address for address in level if address not in seen][:remaining]
            seen.update(chosen)
            remaining -= len(chosen)
            following: dict[str, None] = {}
            for first in range(0, len(chosen), self.web.per_host):
                batch = chosen[first : first + self.web.per_host]
                answers = await asyncio.gather(
                    *(self.client.get(address, max_bytes=PAGE_BYTES, want="page") for address in batch)
                )
                for answer in answers:
                    if isinstance(answer, FetchResult) and urlsplit(answer.url).hostname == host:
                        following.update(
                            dict.fromkeys(link for link in self._collect_page(answer) if _is_page(link, host))
                        )
            level = list(following)
            if not remaining or not level:
                return

    def _collect_page(self, answer: FetchResult) -> list[str]:
        """Collect a page's images and return its links, each unless the page's directives forbid it."""
        if b"<" not in answer.body[:4096]:
            return []
        page: HtmlPage = parse_page(answer.body.decode(errors="replace"), answer.url)
        directives = page.directives | answer.robots_directives
        if not forbids(directives, self.web.opt_out):
            for image in page.images:
                self._add(image, answer.url, page.licence)
        return [] if "nofollow" in directives else page.links


def _elements(body: bytes) -> Iterator[Element]:
    """Yield the entries of a sitemap, one at a time; a plain-text list of addresses is a sitemap, too."""
    if body[:2] == b"\x1f\x8b":
        with gzip.open(io.BytesIO(body)) as file:
            body = file.read(SITEMAP_BYTES)
    if b"<" not in body[:200]:
        for line in body.decode(errors="replace").split():
            entry = Element("url")
            location = Element("loc")
            location.text = line
            entry.append(location)
            yield entry
        return
    for _, element in defusedxml.ElementTree.iterparse(io.BytesIO(body), events=("end",)):
        if _local_name(element) in {"url", "sitemap"}:
            yield element
            element.clear()


def _local_name(element: Element) -> str:
    return element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""


def _texts(element: Element) -> Iterator[tuple[str, str]]:
    for child in element:
        if child.text and child.text.strip():
            yield _local_name(child), child.text.strip()


def _is_page(address: str, host: str | None) -> bool:
    parts = urlsplit(address)
    last = parts.path.rsplit("/", 1)[-1]
    suffix = f".{last.rsplit('.', 1)[-1].lower()}" if "." in last else ""
    return parts.hostname == host and suffix in _PAGE_SUFFIXES
