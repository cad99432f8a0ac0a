"""What the owners of web servers ask of robots: robots.txt (RFC 9309), X-Robots-Tag and its meta element."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from protego import Protego

TOKEN = "million-ird"
"""What robots.txt and X-Robots-Tag call us."""
MAX_BYTES = 500 * 1024
"""Of a robots.txt, the rest is not read: RFC 9309, 2.5."""

_WITH_VALUE = frozenset({"unavailable_after", "max-snippet", "max-image-preview", "max-video-preview"})
_MEANS = {"none": ("noindex", "nofollow"), "all": ()}
_NAME = re.compile(r"\s*([A-Za-z0-9_*.-]+)\s*:(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class RobotsRules:
    """A robots.txt, as far as it concerns us."""

    delay: float = 0.0
    """Crawl-delay in seconds, or as much as its Request-rate asks for."""
    sitemaps: tuple[str, ...] = ()
    _parsed: Protego | None = field(default=None, repr=False)

    def allow(self, url: str) -> bool:
        """Whether we may fetch it."""
        return self._parsed is None or self._parsed.can_fetch(url, TOKEN)


EVERYTHING = RobotsRules()
"""What a server without robots.txt allows."""


def parse(text: str) -> RobotsRules:
    """Reads a robots.txt; lines that mean nothing are passed over, as RFC 9309 wants."""
    if not text.strip():
        return EVERYTHING
    parsed = Protego.parse(text)
    rate = parsed.request_rate(TOKEN)
    delay = max(parsed.crawl_delay(TOKEN) or 0.0, rate.seconds / rate.requests if rate else 0.0)
    return RobotsRules(delay=delay, sitemaps=tuple(parsed.sitemaps), _parsed=parsed)


def directives(values: Iterable[str]) -> frozenset[str]:
    """The directives of X-Robots-Tag headers that concern us, in lower case; `none` is taken apart.

    A header may begin with a robot's name (`otherbot: noindex, noai`) and then speaks to that robot alone; a further
    name in it hands over to that one. Directives with a value (`unavailable_after: …`) say nothing about us.
    """
    found: set[str] = set()
    for value in values:
        ours = True
        for item in value.split(","):
            named = _NAME.fullmatch(item)
            if named and named[1].lower() in _WITH_VALUE:
                continue
            if named:
                ours, item = named[1].lower() in {TOKEN, "*"}, named[2]
            word = item.strip().lower()
            if ours and word:
                found.update(_MEANS.get(word, (word,)))
    return frozenset(found)


def refusal(found: frozenset[str], opt_out: Iterable[str]) -> str | None:
    """The directives that forbid us the picture, in the order in which the recipe lists them; None if none does."""
    return ", ".join(word for word in opt_out if word in found) or None
