"""Parsing of URLs, and which addresses are refused: tables of spellings with their results."""

import asyncio
import ipaddress
import socket

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from million_ird.candidate import Failed
from million_ird.sources.web.addresses import CheckedResolver, FetchUrl, PrivateAddress, is_public, parse_url


def target(text: str) -> FetchUrl:
    result = parse_url(text)
    assert isinstance(result, FetchUrl), result
    return result


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http://x.org", "http://x.org/"),
        ("HTTP://X.ORG/A", "http://x.org/A"),
        (" http://x.org/a#top ", "http://x.org/a"),
        ("http://x.org:80/a", "http://x.org/a"),
        ("http://x.org:8080/a", "http://x.org:8080/a"),
        ("https://x.org:443?q", "https://x.org/?q"),
        ("http://x.org/a b/ü.jpg", "http://x.org/a%20b/%C3%BC.jpg"),
        ("http://x.org/a%20b%2Fc%7e+d", "http://x.org/a%20b%2Fc%7e+d"),
        ("http://x.org/100%.jpg", "http://x.org/100%25.jpg"),
        ("http://x.org/a?s=%2B%20+/=&e=ü&t=a%2fb", "http://x.org/a?s=%2B%20+/=&e=%C3%BC&t=a%2fb"),
        ("http://x.org/a?", "http://x.org/a"),
        ("http://x.org/a#b?c", "http://x.org/a"),
        ("http://x.org/a/../b;v=1", "http://x.org/a/../b;v=1"),
        ("http://bücher.example/x", "http://xn--bcher-kva.example/x"),
        ("http://my_host.x.org/", "http://my_host.x.org/"),
        ("http://[2606:4700::1111]:8080/a", "http://[2606:4700::1111]:8080/a"),
        ("http://x.org/'a'(1)[2]!*", "http://x.org/'a'(1)[2]!*"),
    ],
)
def test_a_url_is_requested_as_written_with_invalid_characters_encoded(text: str, expected: str) -> None:
    assert str(target(text).url) == expected


@pytest.mark.parametrize(
    "text",
    [
        *("", "   ", "x.org/a", "//x.org/a", "ftp://x.org/a", "file:///etc/passwd", "data:image/png;base64,AA"),
        *("http://", "http:///a", "http://x.org:0/", "http://x.org:99999/", "http://x.org:abc/", "http://x.org:/"),
        *("http://u:secret@x.org/", "http://secret@x.org/", "http://ex ample.org/", "http://x.org\\@evil.org/"),
        *("http://x.org/a\nb", "http://x.org/\x00", "http://x.org/\r\nHost: y", "http://-x.org/", "http://x..org/"),
        *("http://[::1", "http://[fe80::1%25eth0]/", "http://[zz]/", "http://%31%32.org/", "http://x.org/\udcff"),
        *("http://1.2.3.4.5/", "http://256.1.1.1/", "http://0x1ffffffff/", "http://1.2.09/", "http://999999999999/"),
        *("http://" + "a" * 64 + ".org/", "http://x.org/" + "a" * 9000, "http://" + "a." * 200 + "org/"),
    ],
)
def test_an_invalid_url_fails_as_bad_url_without_showing_it(text: str) -> None:
    result = parse_url(text)
    assert isinstance(result, Failed)
    assert result.failure_class == "bad_url"
    assert "secret" not in result.detail
    assert "\n" not in result.detail


def test_delays_are_counted_by_host_and_robots_by_origin() -> None:
    plain, secure = target("http://X.org./a"), target("https://x.org/a")
    assert (plain.host, secure.host) == ("x.org", "x.org")
    assert (plain.origin, secure.origin) == ("http://x.org.", "https://x.org")
    assert target("http://x.org:81/").host == "x.org:81"


LOOPBACK = (
    *("127.0.0.1", "2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1", "127.1", "127.0.1", "017700000001"),
    *("127.0.0.1.", "0x7F.0x0.0x0.0x1", "１２７.0.0.1", "127。0。0。1", "0127.0.0.1", "127.0.0.0x1"),
)


@pytest.mark.parametrize("spelling", LOOPBACK)
def test_every_spelling_of_an_address_is_recognised(spelling: str) -> None:
    literal = target(f"http://{spelling}/").literal
    assert literal is not None
    expected = "87.0.0.1" if spelling == "0127.0.0.1" else "127.0.0.1"
    assert str(literal) == expected == target(f"http://{spelling}/").url.host


@pytest.mark.parametrize(
    "address",
    [
        *("0.0.0.0", "10.1.2.3", "100.64.0.1", "100.127.255.255", "127.0.0.1", "127.255.0.1", "169.254.169.254"),
        *("172.16.0.1", "172.31.255.255", "192.168.1.1", "192.0.0.8", "192.0.2.1", "198.18.0.1", "198.51.100.7"),
        *("203.0.113.9", "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255", "192.88.99.1"),
        *("::", "::1", "fe80::1", "fc00::1", "fd00:ec2::254", "ff02::1", "fec0::1", "2001:db8::1", "100::1"),
        *("::ffff:127.0.0.1", "::ffff:169.254.169.254", "::ffff:0:10.0.0.1", "64:ff9b::192.168.0.1", "::127.0.0.1"),
        *("64:ff9b:1::1", "2002:7f00:1::", "2002:a9fe:a9fe::1", "2001:0:7f00:1::1", "2001:20::1", "3fff::1"),
        "2001:0:808:808::80ff:fffe",  # Teredo: a public server, and 127.0.0.1 with its bits inverted
    ],
)
def test_addresses_that_are_not_public(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "address",
    [
        *("1.1.1.1", "8.8.8.8", "100.63.255.255", "100.128.0.1", "172.15.0.1", "172.32.0.1", "169.253.1.1", "11.0.0.1"),
        *("2606:4700:4700::1111", "2a00:1450::1", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2002:808:808::1"),
        "2001:0:808:808::f7f7:f7f7",
    ],
)
def test_addresses_that_are_public(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


class Names(AbstractResolver):
    """Resolves every name to the same addresses."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = addresses

    async def resolve(self, host: str, port: int = 0, family: int = socket.AF_INET) -> list[ResolveResult]:
        return [
            ResolveResult(hostname=host, host=address, port=port, family=socket.AF_INET, proto=0, flags=0)
            for address in self.addresses
        ]

    async def close(self) -> None: ...


def test_only_the_public_addresses_of_a_name_are_used() -> None:
    checked = CheckedResolver(Names("10.0.0.1", "8.8.8.8", "::1"), allow_private_hosts=False)
    assert [address["host"] for address in asyncio.run(checked.resolve("x.org", 80))] == ["8.8.8.8"]
    private = CheckedResolver(Names("10.0.0.1", "fe80::1%eth0"), allow_private_hosts=False)
    with pytest.raises(PrivateAddress):
        asyncio.run(private.resolve("x.org", 80))
    allowed = CheckedResolver(Names("10.0.0.1"), allow_private_hosts=True)
    assert len(asyncio.run(allowed.resolve("x.org", 80))) == 1
