"""What of a web address may be published: never user info, and of its parameters only those that a recipe names.

A query, a path parameter (`;jsessionid=`) and a fragment may each hold a password, and no list knows all their names.
So all of them are cut, unless the recipe lists a name in `uri_parameters`. The ledger and everything made of it, every
error of this package and every line that is logged pass through here; the whole address stays in `.work`.
"""

import re
from collections.abc import Collection
from urllib.parse import unquote_plus

_BEGINNING = re.compile(r"(?:[a-z][a-z0-9+.-]*:)?[/\\]{2,}|https?:[/\\]?", re.IGNORECASE)
"""Scheme and slashes, also as they are misspelt."""
_AUTHORITY_END = re.compile(r"[/\\]")
_HOST = re.compile(r"(?:\[[0-9a-f:.%]*\]|[^\s:;@\[\]]*)(?::\d*)?", re.IGNORECASE)
_NESTED_USER = re.compile(r"((?:(?:/|%2f){2}|https?(?::|%3a)(?:/|%2f)*))[^/@]*(?:@|%40)", re.IGNORECASE)
"""User info of an address in the path of another one: `https://proxy.org/https://user:password@host/a.jpg`."""
_ENCODED_MARK = re.compile(r"%(?:25)*(?:3b|3f|23)(?=[^/]*(?:=|%(?:25)*3d))", re.IGNORECASE)
"""An encoded `;`, `?` or `#` that something like `name=value` follows."""
_IGNORED = re.compile(r"[\t\r\n]")
"""What browsers and `urllib` remove from an address before they read it."""
_IN_TEXT = re.compile(r"(?:[a-z][a-z0-9+.-]*:)*[/\\]{2}[^\s\"'<>]*(?<![:,.)])", re.IGNORECASE)
_IS_ADDRESS = re.compile(r"\s*(?:[a-z][a-z0-9+.:-]*:)?[/\\]{2}", re.IGNORECASE)
_PARAMETER = re.compile(r"[?&;#][^\s=?&;#]{1,80}=[^\s\"'<>&;#]*")


def public_address(address: str, keep: Collection[str] = ()) -> str:
    """Return an address without user info, parameters and fragment; doing it again does not change it.

    Args:
        address: An address of any scheme, or what a row has instead of one; it need not be valid.
        keep: Names of parameters, of the query or the path, that may be published; they are compared decoded.
    """
    # What is left may read as an address with user info of its own: again, until nothing is left to cut.
    while (cut := _cut(address, keep)) != address:
        address = cut
    return address


def _cut(address: str, keep: Collection[str]) -> str:
    plain, _, _ = _IGNORED.sub("", address.strip()).partition("#")
    place, _, query = plain.partition("?")
    kept = [pair for pair in re.split("[&;]", query) if _is_kept(pair, keep)]
    begin = _BEGINNING.match(place)
    if begin is None:
        user, at, rest = place.partition("@")
        host, path = "", rest if at and ":" in user and not _AUTHORITY_END.search(user) else place
    else:
        host, path = _without_user(place[begin.end() :])
        host = begin[0] + host
    path = "/".join(_without_parameters(segment, keep) for segment in path.split("/"))
    parameters = "?" + "&".join(kept) if kept else ""
    return host + _NESTED_USER.sub(r"\1", path) + _NESTED_USER.sub(r"\1", parameters)


def public_text(text: str, keep: Collection[str] = ()) -> str:
    """Return a message in which every address is as `public_address` returns it.

    Where an address with spaces ends is not known, so whatever looks like a parameter after an address is cut, too.
    """
    if "//" not in text and "\\\\" not in text:
        return text
    start = _IN_TEXT.search(text)
    if start is None:
        return text
    found = _IN_TEXT.sub(lambda match: public_address(match[0], keep), text[start.start() :])
    return text[: start.start()] + _PARAMETER.sub(lambda match: match[0] if _is_kept(match[0][1:], keep) else "", found)


def public_value(text: str, keep: Collection[str] = ()) -> str:
    """Return a value of a column that is an address, or a text that contains some, as it may be published."""
    return public_address(text, keep) if _IS_ADDRESS.match(text) else public_text(text, keep)


def _without_user(rest: str) -> tuple[str, str]:
    """Split what follows the slashes into host and path; a host that cannot be one may be half a password."""
    end = _AUTHORITY_END.search(rest)
    authority, path = (rest[: end.start()], rest[end.start() :]) if end else (rest, "")
    host = re.split("@|%40", authority)[-1]
    return (host, path) if _HOST.fullmatch(host) else ("", path)


def _without_parameters(segment: str, keep: Collection[str]) -> str:
    name, *parameters = segment.split(";")
    encoded = _ENCODED_MARK.search(name)
    name = name[: encoded.start()] if encoded else name
    return ";".join([name, *(pair for pair in parameters if _is_kept(pair, keep))])


def _is_kept(pair: str, keep: Collection[str]) -> bool:
    name, equals, _ = pair.partition("=")
    return bool(equals) and unquote_plus(name) in keep
