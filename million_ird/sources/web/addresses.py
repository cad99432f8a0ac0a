"""Which web addresses may be fetched: valid URLs whose host is on the public internet.

A table of URLs may name the metadata service of a cloud or a printer in the local network. The resolver that checks a
name is the one that the connection uses, so a name cannot be checked as one address and connected to as another.
"""

import ipaddress
import re
import socket
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias
from urllib.parse import SplitResult, urljoin, urlsplit

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver
from yarl import URL

from million_ird.candidate import Failed

IPAddress: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

MAX_URL_LENGTH = 8192
"""Characters; servers refuse longer request lines anyway."""
PORTS = MappingProxyType({"http": 80, "https": 443})

_REFUSED_V4 = tuple(
    ipaddress.IPv4Network(network)
    for network in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
        *("192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24"),
        *("203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
    )
)
"""IANA's special-purpose registry, written out because `ipaddress.is_global` differs between Python versions."""
_GLOBAL_V6 = ipaddress.IPv6Network("2000::/3")
_REFUSED_V6 = tuple(ipaddress.IPv6Network(network) for network in ("2001::/23", "2001:db8::/32", "3fff::/20"))
_SIX_TO_FOUR = ipaddress.IPv6Network("2002::/16")
_TEREDO = ipaddress.IPv6Network("2001::/32")
_LAST_32_BITS = tuple(
    ipaddress.IPv6Network(network) for network in ("::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96")
)
"""Mapped, translated and NAT64 addresses: IPv6 addresses that contain an IPv4 address."""

_NOT_ALLOWED = re.compile(r"[^!-~]|[\"<>\\^`{|}]|%(?![0-9A-Fa-f]{2})")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_NAME = re.compile(
    r"(?=.{1,254}$)(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.?"
)
_NUMBER = re.compile(r"\d+|0x[0-9a-f]*")


@dataclass(frozen=True, slots=True)
class FetchUrl:
    """A URL as it is requested."""

    url: URL
    """Without fragment; characters that URLs may not contain are percent-encoded, the rest is unchanged."""
    host: str
    """The name, with the port unless it is the default: limits and delays are counted by it."""
    origin: str
    """Scheme, name and port: what one robots.txt applies to."""
    literal: IPAddress | None
    """The IP address, if the URL contains one instead of a name."""


class _InvalidUrl(ValueError):
    """Why a URL is invalid, without the URL."""


def parse_url(text: str) -> FetchUrl | Failed:
    """Parse a URL, or return `bad_url` with the reason.

    The reason never contains the URL, which may contain a token. Percent-encodings stay exactly as they are, since
    signed URLs would break otherwise; characters that URLs may not contain are encoded as UTF-8.
    """
    try:
        return _parse(text.strip())
    except _InvalidUrl as error:
        return Failed("bad_url", str(error))


def redirect_target(url: URL, location: str) -> FetchUrl | Failed:
    """Return where a redirect from a URL leads by its header Location, or `bad_url` with the reason."""
    try:
        return parse_url(urljoin(str(url), location))
    except ValueError:  # such as `//[`
        return Failed("bad_url", "its host or port cannot be read")


def _parse(text: str) -> FetchUrl:
    if len(text) > MAX_URL_LENGTH:
        raise _InvalidUrl(f"has more than {MAX_URL_LENGTH:,} characters")
    if _CONTROL.search(text):
        raise _InvalidUrl("holds a control character")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise _InvalidUrl("its host or port cannot be read") from None
    if parts.scheme not in PORTS:
        raise _InvalidUrl(f"begins with {parts.scheme[:20]}:, not http: or https:" if parts.scheme else "has no scheme")
    if "@" in parts.netloc:
        raise _InvalidUrl("holds a user name or password")
    if port == 0 or parts.netloc.endswith(":"):
        raise _InvalidUrl("its port cannot be connected to")
    name, literal = _host(parts)
    shown = f"[{name}]" if ":" in name else name
    is_default = port is None or port == PORTS[parts.scheme]
    origin = f"{parts.scheme}://{shown}" + ("" if is_default else f":{port}")
    try:
        rest = _encoded(parts.path or "/") + (f"?{_encoded(parts.query)}" if parts.query else "")
    except UnicodeEncodeError:
        raise _InvalidUrl("holds what is no text") from None
    host = shown.rstrip(".") + ("" if is_default else f":{port}")
    return FetchUrl(url=URL(origin + rest, encoded=True), host=host, origin=origin, literal=literal)


def _encoded(part: str) -> str:
    return _NOT_ALLOWED.sub(lambda match: "".join(f"%{byte:02X}" for byte in match[0].encode()), part)


def _host(parts: SplitResult) -> tuple[str, IPAddress | None]:
    """Return the host's name as it is sent, and its address if it is an IP address in any spelling."""
    name = parts.hostname or ""
    if not name:
        raise _InvalidUrl("names no host")
    if ":" in name:
        try:
            address = ipaddress.IPv6Address(name)
        except ValueError:
            raise _InvalidUrl("its address cannot be read") from None
        if address.scope_id:
            raise _InvalidUrl("its address is of one machine's own network")
        return str(address), address
    if not name.isascii():
        try:
            name = URL.build(scheme="http", host=name).raw_host or ""
        except ValueError:
            raise _InvalidUrl("its host is no international name") from None
    if not _NAME.fullmatch(name):
        raise _InvalidUrl("its host is no name")
    if _NUMBER.fullmatch(name.rstrip(".").rsplit(".", 1)[-1]):
        number = _numeric(name.rstrip("."))
        return str(number), number
    return name, None


def _numeric(name: str) -> ipaddress.IPv4Address:
    """Parse an IPv4 address as browsers and the C library do: `2130706433`, `0x7f.1` and `0177.0.0.1` are the same."""
    parts = name.split(".")
    try:
        numbers = [_part(part) for part in parts]
    except ValueError:
        raise _InvalidUrl("its address cannot be read") from None
    if len(numbers) > 4 or any(number > 255 for number in numbers[:-1]) or numbers[-1] >= 256 ** (5 - len(numbers)):
        raise _InvalidUrl("its address cannot be read")
    whole = sum(number << 8 * (3 - index) for index, number in enumerate(numbers[:-1])) + numbers[-1]
    return ipaddress.IPv4Address(whole)


def _part(part: str) -> int:
    if part.startswith("0x"):
        return int(part[2:] or "0", 16)
    return int(part, 8 if part.startswith("0") and part != "0" else 10)


def is_public(address: IPAddress) -> bool:
    """Return whether an address is on the public internet; if an IPv6 address contains an IPv4 address, both count."""
    if isinstance(address, ipaddress.IPv4Address):
        return not any(address in network for network in _REFUSED_V4)
    number = int(address)
    if any(address in network for network in _LAST_32_BITS):
        return is_public(ipaddress.IPv4Address(number & 0xFFFFFFFF))
    if address in _SIX_TO_FOUR:
        return is_public(ipaddress.IPv4Address(number >> 80 & 0xFFFFFFFF))
    if address in _TEREDO:
        # The server as it is, the client with its bits inverted.
        server, client = number >> 64 & 0xFFFFFFFF, ~number & 0xFFFFFFFF
        return is_public(ipaddress.IPv4Address(server)) and is_public(ipaddress.IPv4Address(client))
    return address in _GLOBAL_V6 and not any(address in network for network in _REFUSED_V6)


class PrivateAddress(OSError):
    """A name has addresses, but none of them is on the public internet."""


class CheckedResolver(AbstractResolver):
    """Resolves names to their public addresses only; connections are made to these."""

    def __init__(self, inner: AbstractResolver | None = None, *, allow_private_hosts: bool) -> None:
        self._inner = inner or ThreadedResolver()
        self._allow_private_hosts = allow_private_hosts

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Look a name up.

        Raises:
            PrivateAddress: none of its addresses is public, and private ones are not allowed.
            OSError: the name is unknown, or the lookup failed.
        """
        results = await self._inner.resolve(host, port, family)
        if self._allow_private_hosts:
            return results
        public = [entry for entry in results if is_public(ipaddress.ip_address(entry["host"].partition("%")[0]))]
        if results and not public:
            raise PrivateAddress(f"{host} is not on the public internet")
        return public

    async def close(self) -> None:
        """Close the wrapped resolver."""
        await self._inner.close()
