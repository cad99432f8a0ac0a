"""Extracts images, links, directives and licence from a web page."""

import contextlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import urlsplit

from lxml import etree

from million_ird.sources.web.join_budget import BudgetExceeded, JoinBudget
from million_ird.sources.web.robots import TOKEN, directives

IMAGE_SUFFIXES = (
    *(".jpg", ".jpeg", ".png", ".webp", ".avif", ".tif", ".tiff", ".bmp", ".gif", ".jp2", ".heic", ".heif"),
)
_IMAGE_META = frozenset({"og:image", "og:image:url", "og:image:secure_url", "twitter:image", "twitter:image:src"})
_CANDIDATE = re.compile(r"\s*,*\s*(\S*[^\s,])(?:\s+([^,]*))?\s*(?:,|$)")
MAX_SRCSET_LENGTH = 20_000


@dataclass(slots=True)
class HtmlPage:
    """What a page names: absolute addresses without fragments, each once, in page order."""

    images: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    directives: frozenset[str] = frozenset()
    """Those of its meta robots elements, for all robots and for this one."""
    licence: str | None = None
    """The target of its `rel=license` link."""
    too_large: str | None = None
    """The limit that the page exceeds; what comes after is not read."""


def parse_page(text: str, address: str) -> HtmlPage:
    """Parse a page of HTML, malformed HTML as far as possible."""
    target = _ParserTarget(address)
    # The standard library's parser needs quadratic time for input that is crafted for it.
    parser = etree.HTMLParser(target=cast(Any, target), encoding="utf-8")
    page = target.page
    try:
        with contextlib.suppress(etree.ParseError):
            for start in range(0, len(text), 65_536):
                parser.feed(text[start : start + 65_536].encode(errors="replace"))
            parser.close()
    except BudgetExceeded as error:
        page.too_large = str(error)
    page.images, page.links = list(dict.fromkeys(page.images)), list(dict.fromkeys(page.links))
    page.directives = directives(target.robots)
    return page


def largest_of(srcset: str) -> str | None:
    """Return the candidate of a `srcset` with the largest width or density."""
    best, best_size = None, -1.0
    for address, descriptor in _CANDIDATE.findall(srcset[:MAX_SRCSET_LENGTH]):
        try:
            size = float(descriptor.strip()[:-1]) if descriptor.strip() else 1.0
        except ValueError:
            continue
        if size > best_size:
            best, best_size = address, size
    return best


class _ParserTarget:
    """Receives every element from the parser; its method names are those that lxml calls."""

    def __init__(self, address: str) -> None:
        self.page = HtmlPage()
        self.robots: list[str] = []
        self._base = address
        self._budget = JoinBudget()

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        """Handle the start of an element."""
        match tag:
            case "base":
                self._base = self._budget.join(self._base, attributes.get("href", "")) or self._base
            case "img" | "source":
                self._image(
                    attributes, media=tag == "source" and attributes.get("type", "").startswith(("video", "audio"))
                )
            case "meta":
                self._meta(attributes)
            case "a" | "area" | "link":
                self._link(tag, attributes)
            case _:
                pass

    def end(self, tag: str) -> None:
        """Ignore the end of an element."""

    def close(self) -> None:
        """Ignore the end of the page."""

    def _image(self, attributes: Mapping[str, str], *, media: bool) -> None:
        if media:
            return
        for name in ("srcset", "data-srcset"):
            self._add(self.page.images, largest_of(attributes.get(name, "")))
        for name in ("src", "data-src", "data-original"):
            self._add(self.page.images, attributes.get(name))

    def _meta(self, attributes: Mapping[str, str]) -> None:
        name = (attributes.get("name") or attributes.get("property") or "").strip().lower()
        if name in {"robots", TOKEN}:
            self.robots.append(attributes.get("content", ""))
        elif name in _IMAGE_META:
            self._add(self.page.images, attributes.get("content"))

    def _link(self, tag: str, attributes: Mapping[str, str]) -> None:
        relations = attributes.get("rel", "").lower().split()
        address = self._budget.join(self._base, attributes.get("href", ""))
        if address is None:
            return
        if "license" in relations:
            self.page.licence = self.page.licence or address
        elif tag != "link" and "nofollow" not in relations:
            is_image = urlsplit(address).path.lower().endswith(IMAGE_SUFFIXES)
            (self.page.images if is_image else self.page.links).append(address)

    def _add(self, addresses: list[str], address: str | None) -> None:
        joined = self._budget.join(self._base, address or "")
        if joined is not None:
            addresses.append(joined)


def forbids(page_directives: Iterable[str], opt_out: Iterable[str]) -> bool:
    """Return whether a page's directives forbid the use of its images."""
    names = set(page_directives)
    return "noimageindex" in names or not names.isdisjoint(opt_out)
