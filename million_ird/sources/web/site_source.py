"""A web site as a source: the images that its sitemaps and pages name.

The result of a crawl is kept under `.work/sites`, so that a repeated build fetches no page again; `--refresh` does.
"""

import itertools
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pyarrow as pa

from million_ird.candidate import Candidate, Failed, candidate_key
from million_ird.config.recipe import digest
from million_ird.errors import SourceError
from million_ird.runtime.storage import Folder
from million_ird.sources.source import Deliver, SourceChunk, StreamContext, candidate_of
from million_ird.sources.web.links import LinkChunker, LinkEntry, LinkFetcher, address_identity, host_group_of

if TYPE_CHECKING:
    from million_ird.sources.web.sitemaps import SiteImage

log = logging.getLogger(__name__)

FOLDER = ".work/sites"
_SCHEMA = pa.schema([pa.field(name, pa.string()) for name in ("url", "page", "licence", "failure_class", "detail")])


@dataclass(frozen=True, slots=True)
class SiteSource:
    """The images of a site; the `attribution` of each is the page that shows it."""

    label: str
    root: str
    fetcher: LinkFetcher
    pages: int = 0
    """Follow links to at most this many pages; 0 reads sitemaps only."""
    depth: int = 2
    """Follow links up to this distance from `root`."""
    out: Folder | None = None
    """The output folder, in which the result of the crawl is kept."""
    refresh: bool = False
    """Whether to crawl again what was crawled before."""
    crawl: bool = True
    """Whether the site may be crawled; if not, and there is no earlier result, it has no images."""

    def check(self) -> None:
        """Check the address; nothing is fetched yet.

        Raises:
            SourceError: it is not the address of a web site.
        """
        try:
            parts = urlsplit(self.root)
            is_valid = parts.scheme in {"http", "https"} and bool(parts.hostname)
        except ValueError:
            is_valid = False
        if not is_valid:
            raise SourceError(f"source site:{self.root}: is not a web address; write it with https://")

    def chunks(self, limit: int | None = None) -> Iterator[SourceChunk]:
        """Yield the images by host group: an image's host is not always the site's.

        Raises:
            SourceError: the site cannot be read, or names no images.
        """
        chunker = LinkChunker(self.label, self.root)
        for entry in itertools.islice(self._entries(), limit):
            host_group = host_group_of(entry.address, self.fetcher.web.lanes)
            chunk = chunker.add(host_group, candidate_key(self.label, entry.uri), entry)
            if chunk is not None:
                yield chunk
        yield from chunker.rest()

    def candidates(self, chunk: SourceChunk) -> list[Candidate]:
        """Return one candidate per image."""
        return [candidate_of(self.label, entry) for entry in chunk.entries if isinstance(entry, LinkEntry)]

    def fetch(self, candidate: Candidate) -> bytes | Failed:
        """Return `missing`: images of a site are read from `.work/originals`, not from here."""
        return Failed("missing", "its original is no longer in .work/originals; run the build again")

    def stream(
        self, chunk: SourceChunk, wanted: Callable[[Candidate], bool], deliver: Deliver, context: StreamContext
    ) -> None:
        """Fetch the images of a chunk."""
        entries = [entry for entry in chunk.entries if isinstance(entry, LinkEntry)]
        self.fetcher.stream(self.label, entries, chunk.host_group, wanted, deliver, context)

    def _entries(self) -> Iterator[LinkEntry]:
        seen: set[str] = set()
        for row in self._images().to_pylist():
            uri = address_identity(row["url"])
            if uri not in seen:
                seen.add(uri)
                yield LinkEntry(
                    uri=uri,
                    size=0,
                    version="",
                    address=row["url"],
                    licence=row["licence"],
                    attribution=row["page"],
                    failed=Failed(row["failure_class"], row["detail"]) if row.get("failure_class") else None,
                )

    def _images(self) -> pa.Table:
        name = f"{FOLDER}/{digest([self.root, self.pages, self.depth])}.parquet"
        if self.out is not None and not self.refresh and self.out.exists(name):
            return self.out.read_table(name)
        if not self.crawl:
            log.warning("source %s: not crawled yet, so its images are not known", self.label)
            return _SCHEMA.empty_table()
        table = self._crawl_now()
        if self.out is not None:
            self.out.write_table(name, table)
        return table

    def _crawl_now(self) -> pa.Table:
        from million_ird.sources.web.crawler import crawl_site  # aiohttp takes time to import
        from million_ird.sources.web.hosts import HostMemory

        host_group = host_group_of(self.root, self.fetcher.web.lanes)
        memory = HostMemory.of_host_group(self.out, host_group) if self.out is not None else None
        try:
            images = crawl_site(
                self.root,
                pages=self.pages,
                depth=self.depth,
                web=self.fetcher.web,
                allow_private_hosts=self.fetcher.allow_private_hosts,
                memory=memory,
            )
            rows = [_row(image) for image in images]
        finally:
            if memory is not None:
                memory.save()
        if not rows:
            raise SourceError(
                f"source site:{self.root}: its sitemaps name no images; set `pages` in the recipe to follow links"
            )
        return pa.Table.from_pylist(rows, _SCHEMA)


def _row(image: "SiteImage") -> dict[str, str | None]:
    failure = (image.failed.failure_class, image.failed.detail) if image.failed else (None, None)
    return dict(zip(_SCHEMA.names, (image.url, image.page, image.licence, *failure), strict=True))
