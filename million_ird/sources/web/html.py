"""What a web page says of pictures and of other pages."""

import contextlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import urldefrag, urljoin, urlsplit

from lxml import etree

from million_ird.sources.web.robots import TOKEN, directives

IMAGE_SUFFIXES = (
    *(".jpg", ".jpeg", ".png", ".webp", ".avif", ".tif", ".tiff", ".bmp", ".gif", ".jp2", ".heic", ".heif"),
)
_SHOWN = frozenset({"og:image", "og:image:url", "og:image:secure_url", "twitter:image", "twitter:image:src"})
_CANDIDATE = re.compile(r"\s*,*\s*(\S*[^\s,])(?:\s+([^,]*))?\s*(?:,|$)")
MAX_SRCSET_LENGTH = 20_000


@dataclass(slots=True)
class HtmlPage:
    """What a page names, as absolute addresses without fragments, each once, in the order of the page."""

    pictures: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    directives: frozenset[str] = frozenset()
    """Of its meta robots elements, for all robots and for ours."""
    licence: str | None = None
    """What its `rel=license` link names."""


def parse_page(text: str, address: str) -> HtmlPage:
    """Reads a page of HTML; what is malformed is read as far as it makes sense."""
    reader = _ParserTarget(address)
    # The standard library's parser takes time that grows with the square of what is crafted to that end.
    parser = etree.HTMLParser(target=cast(Any, reader), encoding="utf-8")
    with contextlib.suppress(etree.ParseError):
        for start in range(0, len(text), 65_536):
            parser.feed(text[start : start + 65_536].encode(errors="replace"))
        parser.close()
    page = reader.page
    page.pictures, page.links = list(dict.fromkeys(page.pictures)), list(dict.fromkeys(page.links))
    page.directives = directives(reader.robots)
    return page


def largest_of(srcset: str) -> str | None:
    """The candidate of a `srcset` with the largest width or density."""
    best, most = None, -1.0
    for address, descriptor in _CANDIDATE.findall(srcset[:MAX_SRCSET_LENGTH]):
        try:
            size = float(descriptor.strip()[:-1]) if descriptor.strip() else 1.0
        except ValueError:
            continue
        if size > most:
            best, most = address, size
    return best


class _ParserTarget:
    """Is told of every element as the parser meets it."""

    def __init__(self, address: str) -> None:
        self.page = HtmlPage()
        self.robots: list[str] = []
        self._base = address

    def start(self, tag: str, told: Mapping[str, str]) -> None:
        """An element begins."""
        match tag:
            case "base":
                self._base = _joined(self._base, told.get("href", "")) or self._base
            case "img" | "source":
                self._picture(told, media=tag == "source" and told.get("type", "").startswith(("video", "audio")))
            case "meta":
                self._meta(told)
            case "a" | "area" | "link":
                self._link(tag, told)
            case _:
                pass

    def end(self, tag: str) -> None:
        """An element ends."""

    def close(self) -> None:
        """The page ends."""

    def _picture(self, told: Mapping[str, str], *, media: bool) -> None:
        if media:
            return
        for name in ("srcset", "data-srcset"):
            self._add(self.page.pictures, largest_of(told.get(name, "")))
        for name in ("src", "data-src", "data-original"):
            self._add(self.page.pictures, told.get(name))

    def _meta(self, told: Mapping[str, str]) -> None:
        name = (told.get("name") or told.get("property") or "").strip().lower()
        if name in {"robots", TOKEN}:
            self.robots.append(told.get("content", ""))
        elif name in _SHOWN:
            self._add(self.page.pictures, told.get("content"))

    def _link(self, tag: str, told: Mapping[str, str]) -> None:
        relations = told.get("rel", "").lower().split()
        address = _joined(self._base, told.get("href", ""))
        if address is None:
            return
        if "license" in relations:
            self.page.licence = self.page.licence or address
        elif tag != "link" and "nofollow" not in relations:
            picture = urlsplit(address).path.lower().endswith(IMAGE_SUFFIXES)
            (self.page.pictures if picture else self.page.links).append(address)

    def _add(self, found: list[str], address: str | None) -> None:
        joined = _joined(self._base, address or "")
        if joined is not None:
            found.append(joined)


def _joined(base: str, address: str) -> str | None:
    """The absolute web address without its fragment; None for what is none."""
    if not address.strip():
        return None
    try:
        joined = urldefrag(urljoin(base, address.strip())).url
        parts = urlsplit(joined)
        return joined if parts.scheme in {"http", "https"} and parts.hostname else None
    except ValueError:
        return None


def forbids(found: Iterable[str], opt_out: Iterable[str]) -> bool:
    """Whether a page's directives keep its pictures from us."""
    words = set(found)
    return "noimageindex" in words or not words.isdisjoint(opt_out)
