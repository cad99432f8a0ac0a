"""Finds the images of a web site in its sitemaps and, on request, by following links from page to page."""

import asyncio
import logging
from collections import deque
from dataclasses import dataclass, field
from urllib.parse import urljoin, urlsplit

from million_ird.candidate import Failed
from million_ird.config.rules import WebSettings
from million_ird.errors import SourceError
from million_ird.public_addresses import public_address
from million_ird.sources.web.client import Client
from million_ird.sources.web.hosts import HostMemory
from million_ird.sources.web.html import forbids
from million_ird.sources.web.response import FetchResult
from million_ird.sources.web.robots import MAX_SITEMAPS
from million_ird.sources.web.sitemaps import SITEMAP_BYTES, SiteImage, Sitemap

log = logging.getLogger(__name__)

PAGE_BYTES = 5_000_000
MAX_SITE_IMAGES = 5_000_000
MAX_LISTED_PAGES = 1_000_000
_PAGE_SUFFIXES = ("", ".html", ".htm", ".xhtml", ".php", ".asp", ".aspx", ".jsp", ".cgi")


def crawl_site(
    url: str, *, pages: int, depth: int, web: WebSettings, allow_private_hosts: bool, memory: HostMemory | None
) -> list[SiteImage]:
    """Return the images of a site, each once: in the order of its sitemaps, then of its pages, breadth first.

    A page or sitemap that is too large to read, or that takes the parser too long or too much memory, is among them
    with its failure.

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
            return await _Crawl(url, pages, depth, web, client).run()

    with asyncio.Runner() as runner:
        return runner.run(run())


@dataclass(slots=True)
class _Crawl:
    url: str
    pages: int
    depth: int
    web: WebSettings
    client: Client
    images: dict[str, SiteImage] = field(default_factory=dict)
    """By their addresses."""
    listed_pages: dict[str, None] = field(default_factory=dict)
    """Pages that sitemaps list, each once."""
    is_full: bool = False
    """Whether more images were found than are kept."""

    async def run(self) -> list[SiteImage]:
        start = await self.client.get(self.url, max_bytes=PAGE_BYTES, want="page")
        sitemaps = await self._sitemaps()
        if isinstance(start, Failed) and not sitemaps:
            raise SourceError(f"source site:{self.url}: {start.failure_class}: {start.detail}")
        if self.pages and isinstance(start, FetchResult):
            await self._follow(start)
        return list(self.images.values())

    def _add(self, image: SiteImage) -> None:
        if len(self.images) < MAX_SITE_IMAGES:
            self.images.setdefault(image.url, image)
        elif not self.is_full:
            self.is_full = True
            log.warning(
                "site %s: names over %s images; the rest is not read", public_address(self.url), MAX_SITE_IMAGES
            )

    def _add_failed(self, url: str, failed: Failed) -> None:
        log.warning("%s: %s: %s", public_address(url), failed.failure_class, failed.detail)
        self.images[url] = SiteImage(url, url, failed=failed)

    async def _sitemaps(self) -> int:
        """Read all sitemaps, and return how many could be read."""
        named = self.client.sitemaps_of(self.url)
        waiting = deque(dict.fromkeys(named or (urljoin(self.url, "/sitemap.xml"),)))
        seen = set(waiting)
        read = 0
        while waiting and not self.is_full:
            address = waiting.popleft()
            answer = await self.client.get(address, max_bytes=SITEMAP_BYTES, want="page")
            if isinstance(answer, Failed):
                level = logging.WARNING if named else logging.INFO
                log.log(level, "sitemap %s: %s", public_address(address), answer.failure_class)
                continue
            sitemap = await self.client.parser.sitemap(answer.body, answer.url)
            if isinstance(sitemap, Failed):
                self._add_failed(answer.url, sitemap)
                continue
            read += 1
            self._collect_sitemap(answer.url, sitemap)
            more = [other for other in dict.fromkeys(sitemap.sitemaps) if other not in seen]
            if len(seen) + len(more) > MAX_SITEMAPS:
                log.warning(
                    "site %s: has over %s sitemaps; the rest is not read", public_address(self.url), MAX_SITEMAPS
                )
            more = more[: MAX_SITEMAPS - len(seen)]
            seen.update(more)
            waiting.extend(more)
        return read

    def _collect_sitemap(self, address: str, sitemap: Sitemap) -> None:
        if sitemap.too_large is not None:
            self._add_failed(address, Failed("too_large", sitemap.too_large))
        if sitemap.malformed is not None:
            log.warning("sitemap %s: cannot be read further: %s", public_address(address), sitemap.malformed)
        for image in sitemap.images:
            self._add(image)
        room = MAX_LISTED_PAGES - len(self.listed_pages)
        self.listed_pages.update(dict.fromkeys(sitemap.pages[:room]))

    async def _follow(self, start: FetchResult) -> None:
        """Follow links breadth first on the site's host, a few pages at a time, and collect images in page order."""
        host = urlsplit(start.url).hostname
        seen = {self.url, start.url}
        level = [address for address in await self._collect_page(start) if _is_page(address, host)]
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
                        links = await self._collect_page(answer)
                        following.update(dict.fromkeys(link for link in links if _is_page(link, host)))
            level = list(following)
            if not remaining or not level:
                return

    async def _collect_page(self, answer: FetchResult) -> list[str]:
        """Collect a page's images and return its links, each unless the page's directives forbid it."""
        if b"<" not in answer.body[:4096]:
            return []
        page = await self.client.parser.page(answer.body, answer.url)
        if isinstance(page, Failed):
            self._add_failed(answer.url, page)
            return []
        if page.too_large is not None:
            self._add_failed(answer.url, Failed("too_large", page.too_large))
        directives = page.directives | answer.robots_directives
        if not forbids(directives, self.web.opt_out):
            for image in page.images:
                self._add(SiteImage(image, answer.url, page.licence))
        return [] if "nofollow" in directives else page.links


def _is_page(address: str, host: str | None) -> bool:
    try:
        parts = urlsplit(address)
    except ValueError:  # a sitemap may list anything
        return False
    last = parts.path.rsplit("/", 1)[-1]
    suffix = f".{last.rsplit('.', 1)[-1].lower()}" if "." in last else ""
    return parts.hostname == host and suffix in _PAGE_SUFFIXES
