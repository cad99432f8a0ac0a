"""What web servers ask of robots: robots.txt (RFC 9309), X-Robots-Tag and the directives of meta robots."""

import itertools
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from protego import Protego

from million_ird.sources.web.addresses import MAX_URL_LENGTH

TOKEN = "million-ird"
"""This program's name in robots.txt and X-Robots-Tag."""
MAX_BYTES = 500 * 1024
"""The rest of a robots.txt is not read: RFC 9309, 2.5."""
MAX_SITEMAPS = 2_000
"""Sitemaps of a site that are read."""

_WITH_VALUE = frozenset({"unavailable_after", "max-snippet", "max-image-preview", "max-video-preview"})
_MEANS = {"none": ("noindex", "nofollow"), "all": ()}
_NAME = re.compile(r"\s*([A-Za-z0-9_*.-]+)\s*:(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class RobotsRules:
    """The rules of a robots.txt for this program."""

    delay: float = 0.0
    """Crawl-delay in seconds, or the delay that its Request-rate implies if that is longer."""
    sitemaps: tuple[str, ...] = ()
    _parsed: Protego | None = field(default=None, repr=False)

    def allow(self, url: str) -> bool:
        """Return whether this URL may be fetched."""
        return self._parsed is None or self._parsed.can_fetch(url, TOKEN)


ALLOW_ALL = RobotsRules()
"""The rules of a server without robots.txt."""


def parse(text: str) -> RobotsRules:
    """Parse a robots.txt; invalid lines are ignored, as RFC 9309 demands.

    A crafted one may take hours: text of strangers is given to `IsolatedParser.robots`.
    """
    if not text.strip():
        return ALLOW_ALL
    parsed = Protego.parse(text)
    rate = parsed.request_rate(TOKEN)
    delay = max(parsed.crawl_delay(TOKEN) or 0.0, rate.seconds / rate.requests if rate else 0.0)
    sitemaps = itertools.islice(
        (address for address in parsed.sitemaps if len(address) <= MAX_URL_LENGTH), MAX_SITEMAPS
    )
    return RobotsRules(delay=delay, sitemaps=tuple(sitemaps), _parsed=parsed)


def directives(values: Iterable[str]) -> frozenset[str]:
    """Return the directives of X-Robots-Tag headers that apply to this program, in lower case.

    A header may begin with a robot's name (`otherbot: noindex, noai`) and then applies to that robot only, up to the
    next name in it. Directives with a value (`unavailable_after: …`) are ignored; `none` is replaced by its parts.
    """
    names: set[str] = set()
    for value in values:
        applies = True
        for item in value.split(","):
            named = _NAME.fullmatch(item)
            if named and named[1].lower() in _WITH_VALUE:
                continue
            if named:
                applies, item = named[1].lower() in {TOKEN, "*"}, named[2]
            name = item.strip().lower()
            if applies and name:
                names.update(_MEANS.get(name, (name,)))
    return frozenset(names)


def refusal(names: frozenset[str], opt_out: Iterable[str]) -> str | None:
    """Return the directives that forbid the image, in the order of the recipe's `opt_out`; None if none does."""
    return ", ".join(name for name in opt_out if name in names) or None
