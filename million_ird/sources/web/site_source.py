"""A web site as a source: the pictures that its sitemaps and pages name.

What a crawl found is kept under `.work/sites`, so that a build that is run again asks no page again; `--refresh` does.
"""

import itertools
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import pyarrow as pa

from million_ird.candidate import Candidate, Failed, candidate_key
from million_ird.config.recipe import digest
from million_ird.errors import SourceError
from million_ird.runtime.storage import Folder
from million_ird.sources.source import Deliver, SourceChunk, StreamContext, candidate_of
from million_ird.sources.web.links import LinkChunker, LinkEntry, LinkFetcher, host_group_of, public_url

log = logging.getLogger(__name__)

FOLDER = ".work/sites"
_SCHEMA = pa.schema([pa.field(name, pa.string()) for name in ("url", "page", "licence")])


@dataclass(frozen=True, slots=True)
class SiteSource:
    """The pictures of a site; each one's `attribution` is the page that shows it."""

    label: str
    root: str
    fetcher: LinkFetcher
    pages: int = 0
    """Follow links to so many pages; 0 reads sitemaps only."""
    depth: int = 2
    """How many links away from `root`."""
    out: Folder | None = None
    """Where the crawl is remembered."""
    refresh: bool = False
    """Crawl again what was crawled before."""
    crawl: bool = True
    """Whether it may be crawled at all; if not, and it never was, nothing is known of it."""

    def check(self) -> None:
        """Looks at the address; nothing is fetched yet.

        Raises:
            SourceError: it is no address of a web site.
        """
        try:
            parts = urlsplit(self.root)
            good = parts.scheme in {"http", "https"} and bool(parts.hostname)
        except ValueError:
            good = False
        if not good:
            raise SourceError(f"source site:{self.root}: is no web address; name one with https:// before it")

    def chunks(self, limit: int | None = None) -> Iterator[SourceChunk]:
        """The pictures lane by lane: a picture's host is not always the site's.

        Raises:
            SourceError: the site cannot be read, or names no pictures.
        """
        lanes = LinkChunker(self.label, self.root)
        for entry in itertools.islice(self._entries(), limit):
            host_group = host_group_of(entry.address, self.fetcher.web.lanes)
            chunk = lanes.add(host_group, candidate_key(self.label, entry.uri), entry)
            if chunk is not None:
                yield chunk
        yield from lanes.rest()

    def candidates(self, chunk: SourceChunk) -> list[Candidate]:
        """One candidate per picture."""
        return [candidate_of(self.label, entry) for entry in chunk.entries if isinstance(entry, LinkEntry)]

    def fetch(self, candidate: Candidate) -> bytes | Failed:
        """What was fetched once is in the store; nothing else is at hand."""
        return Failed("missing", "its original is no longer in .work/originals; run the build again")

    def stream(
        self, chunk: SourceChunk, wanted: Callable[[Candidate], bool], deliver: Deliver, context: StreamContext
    ) -> None:
        """Fetches the pictures of a unit."""
        entries = [entry for entry in chunk.entries if isinstance(entry, LinkEntry)]
        self.fetcher.stream(self.label, entries, chunk.host_group, wanted, deliver, context)

    def _entries(self) -> Iterator[LinkEntry]:
        seen: set[str] = set()
        for row in self._found().to_pylist():
            uri = public_url(row["url"])
            if uri not in seen:
                seen.add(uri)
                yield LinkEntry(
                    uri=uri,
                    size=0,
                    version="",
                    address=row["url"],
                    licence=row["licence"],
                    attribution=row["page"],
                )

    def _found(self) -> pa.Table:
        name = f"{FOLDER}/{digest([self.root, self.pages, self.depth])}.parquet"
        if self.out is not None and not self.refresh and self.out.exists(name):
            return self.out.read_table(name)
        if not self.crawl:
            log.warning("source %s: not crawled yet; nothing is known of it", self.label)
            return _SCHEMA.empty_table()
        table = self._crawled()
        if self.out is not None:
            self.out.write_table(name, table)
        return table

    def _crawled(self) -> pa.Table:
        from million_ird.sources.web.crawler import crawl_site  # aiohttp takes time to import
        from million_ird.sources.web.hosts import HostMemory

        host_group = host_group_of(self.root, self.fetcher.web.lanes)
        memory = HostMemory.of_host_group(self.out, host_group) if self.out is not None else None
        try:
            links = crawl_site(
                self.root,
                pages=self.pages,
                depth=self.depth,
                web=self.fetcher.web,
                allow_private_hosts=self.fetcher.allow_private_hosts,
                memory=memory,
            )
            rows = [{"url": link.url, "page": link.page, "licence": link.licence} for link in links]
        finally:
            if memory is not None:
                memory.save()
        if not rows:
            raise SourceError(
                f"source site:{self.root}: its sitemaps name no pictures; pages in the recipe follows links"
            )
        return pa.Table.from_pylist(rows, _SCHEMA)
