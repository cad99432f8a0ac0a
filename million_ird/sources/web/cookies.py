"""Cookies within one fetch: what a redirect sets is sent to the next hop, if that is of the same site, and forgotten.

Some servers answer a first request with a cookie and a redirect, and serve nothing without it. No cookie outlives its
fetch, and none is sent to a site that did not set it.
"""

import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from million_ird.sources.web.addresses import FetchUrl

MAX_COOKIES = 20
MAX_BYTES = 4096
"""Of one cookie, and of all that one request sends."""
_SHARED_SUFFIX = re.compile(r"[a-z0-9-]+|(?:com?|net|org|gov|edu|ac)\.[a-z]{2}")
"""Domains that many owners share; a cookie for one of them would be sent to other sites."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cookie:
    """One cookie, and where it may be sent."""

    name: str
    value: str
    domain: str
    exact: bool
    """Whether it is sent to no other host than `domain`."""
    path: str
    secure: bool

    def fits(self, target: FetchUrl) -> bool:
        """Return whether it is sent with a request."""
        host, path = _host(target), target.url.raw_path
        same_site = host == self.domain or (not self.exact and host.endswith(f".{self.domain}"))
        below = path.startswith(self.path) and (self.path.endswith("/") or path[len(self.path) :][:1] in {"", "/"})
        return same_site and below and (not self.secure or target.url.scheme == "https")


def cookies_after(held: tuple[Cookie, ...], headers: Iterable[str], target: FetchUrl) -> tuple[Cookie, ...]:
    """Return the cookies that a fetch holds after a response: earlier ones stay unless they are replaced or deleted.

    Args:
        held: Those before.
        headers: The values of all `Set-Cookie` headers.
        target: The address that answered.
    """
    cookies = {(cookie.name, cookie.domain, cookie.path): cookie for cookie in held}
    for header in headers:
        cookie, alive = _parse(header, target)
        if cookie is None:
            continue
        place = (cookie.name, cookie.domain, cookie.path)
        cookies.pop(place, None)
        if alive and len(cookies) < MAX_COOKIES:
            cookies[place] = cookie
    return tuple(cookies.values())


def cookie_header(cookies: Iterable[Cookie], target: FetchUrl) -> str:
    """Return the `Cookie` header of a request; empty if no cookie is sent with it."""
    fitting = sorted((cookie for cookie in cookies if cookie.fits(target)), key=lambda cookie: -len(cookie.path))
    header = "; ".join(f"{cookie.name}={cookie.value}" if cookie.name else cookie.value for cookie in fitting)
    return header if len(header) <= MAX_BYTES else ""


def _parse(header: str, target: FetchUrl) -> tuple[Cookie | None, bool]:
    """Return the cookie of a header, None if it is not accepted, and whether it is to be kept, not deleted."""
    pair, *attributes = header.split(";")
    name, equals, value = pair.partition("=")
    name, value = (name.strip(), value.strip()) if equals else ("", pair.strip())
    plain = (name + value).isascii() and (name + value).isprintable()
    if not plain or not name + value or len(name + value) > MAX_BYTES:
        return None, False
    settings = {key.strip().lower(): text.strip() for key, _, text in (part.partition("=") for part in attributes)}
    host, wanted = _host(target), settings.get("domain", "").lstrip(".").lower()
    if wanted and wanted != host and not _covers(wanted, host, target):
        return None, False
    secure = "secure" in settings
    if secure and target.url.scheme != "https":
        return None, False
    path = settings.get("path", "")
    path = path if path.startswith("/") else target.url.raw_path.rpartition("/")[0] or "/"
    exact = not wanted or target.literal is not None
    cookie = Cookie(name=name, value=value, domain=wanted or host, exact=exact, path=path, secure=secure)
    return cookie, not _is_over(settings)


def _covers(domain: str, host: str, target: FetchUrl) -> bool:
    return target.literal is None and host.endswith(f".{domain}") and not _SHARED_SUFFIX.fullmatch(domain)


def _is_over(settings: dict[str, str]) -> bool:
    try:
        if "max-age" in settings:
            return int(settings["max-age"]) <= 0
        return "expires" in settings and parsedate_to_datetime(settings["expires"]).timestamp() <= time.time()
    except (ValueError, OverflowError):
        return False


def _host(target: FetchUrl) -> str:
    return (target.url.raw_host or "").rstrip(".").lower()
