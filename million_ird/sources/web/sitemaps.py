"""Reads sitemaps (sitemaps.org, with Google's images) as a stream of elements: nothing is kept but their addresses."""

import gzip
import io
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from xml.etree.ElementTree import ParseError

import defusedxml.ElementTree
from defusedxml.common import DefusedXmlException

from million_ird.candidate import Failed
from million_ird.errors import one_line
from million_ird.sources.web.addresses import MAX_URL_LENGTH
from million_ird.sources.web.join_budget import BudgetExceeded, JoinBudget

SITEMAP_BYTES = 50_000_000
"""The limit of sitemaps.org; it also applies to the decompressed size."""
MAX_DEPTH = 32
"""Elements within each other; sitemaps have four."""
MAX_ENTRIES = 500_000
"""Pages, images and sitemaps that one sitemap may list: sitemaps.org allows 50,000 pages."""
MAX_ELEMENTS = 5_000_000
_CHUNK_BYTES = 65_536
_WITH_TEXT = frozenset({"loc", "license"})


@dataclass(frozen=True, slots=True)
class SiteImage:
    """An image that a site names, or a page or sitemap of it that cannot be read."""

    url: str
    page: str
    """The page that shows it, or the sitemap that lists it."""
    licence: str | None = None
    failed: Failed | None = None
    """Why the page at `url` was not read, or not to its end; None for an image."""


@dataclass(slots=True)
class Sitemap:
    """What a sitemap lists, in its order."""

    images: list[SiteImage] = field(default_factory=list)
    pages: list[str] = field(default_factory=list)
    sitemaps: list[str] = field(default_factory=list)
    too_large: str | None = None
    """The limit that it exceeds; what comes after is not read."""
    malformed: str | None = None
    """The error after which it cannot be read further."""


def parse_sitemap(body: bytes, address: str) -> Sitemap:
    """Parse a sitemap: XML or a plain list of addresses, as it is or compressed by gzip."""
    target = _SitemapTarget(address)
    try:
        if body[:2] == b"\x1f\x8b":
            with gzip.open(io.BytesIO(body)) as file:
                body = file.read(SITEMAP_BYTES)
        if b"<" not in body[:200]:
            for word in re.finditer(rb"\S+", body):
                target.add_page(word[0].decode(errors="replace"))
        else:
            parser = defusedxml.ElementTree.DefusedXMLParser(target=target)
            for start in range(0, len(body), _CHUNK_BYTES):
                parser.feed(body[start : start + _CHUNK_BYTES])
            parser.close()
    except BudgetExceeded as error:
        target.found.too_large = str(error)
    except (ParseError, DefusedXmlException, OSError, EOFError, zlib.error, ValueError) as error:
        target.found.malformed = one_line(error, 100)
    return target.found


class _SitemapTarget:
    """Receives every element from the parser; its method names are those that ElementTree calls."""

    def __init__(self, address: str) -> None:
        self.found = Sitemap()
        self._address = address
        self._budget = JoinBudget()
        self._open: list[str] = []
        """Names of the elements that are open."""
        self._text: list[str] = []
        self._text_length = 0
        self._page: str | None = None
        self._image: dict[str, str] = {}
        self._images: list[dict[str, str]] = []
        self._n_entries = 0
        self._n_elements = 0

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        """Handle the start of an element."""
        if len(self._open) >= MAX_DEPTH:
            raise BudgetExceeded(f"has more than {MAX_DEPTH} elements within each other")
        self._n_elements += 1
        if self._n_elements > MAX_ELEMENTS:
            raise BudgetExceeded(f"has more than {MAX_ELEMENTS:,} elements")
        self._open.append(tag.rpartition("}")[2])
        self._text, self._text_length = [], 0
        match self._open[-1]:
            case "url":
                self._page, self._images = None, []
            case "image":
                self._image = {}
            case _:
                pass

    def data(self, text: str) -> None:
        """Collect the text of an address or licence, as far as it may be one."""
        if self._open and self._open[-1] in _WITH_TEXT and self._text_length <= MAX_URL_LENGTH:
            self._text.append(text)
            self._text_length += len(text)

    def end(self, tag: str) -> None:
        """Handle the end of an element."""
        name, text = self._open.pop(), "".join(self._text).strip()
        self._text, self._text_length = [], 0
        text = text if len(text) <= MAX_URL_LENGTH else ""
        match (self._open[-1] if self._open else "", name):
            case ("url", "loc") if text and self._page is None:
                self._page = text
            case ("sitemap", "loc") if text:
                self._count()
                self.found.sitemaps.append(text)
            case ("image", "loc" | "license") if text:
                self._image[name] = text
            case ("url", "image") if "loc" in self._image:
                self._count()
                self._images.append(self._image)
            case (_, "url"):
                self._end_of_entry()
            case _:
                pass

    def close(self) -> None:
        """Ignore the end of the sitemap."""

    def add_page(self, address: str) -> None:
        """Add a page."""
        if len(address) <= MAX_URL_LENGTH:
            self._count()
            self.found.pages.append(address)

    def _end_of_entry(self) -> None:
        page = self._page or self._address
        for image in self._images:
            url = self._budget.join(self._address, image["loc"])
            if url is not None:
                self.found.images.append(SiteImage(url, page, image.get("license")))
        self.add_page(page)

    def _count(self) -> None:
        self._n_entries += 1
        if self._n_entries > MAX_ENTRIES:
            raise BudgetExceeded(f"has more than {MAX_ENTRIES:,} entries")
