"""The head of a response, as browsers read it where the parser of aiohttp is stricter than they are."""

import re

MAX_HEAD = 65_536
"""Bytes of a status line with all headers; longer ones are refused, and are never in memory."""
_END = re.compile(rb"\r?\n\r?\n")
_INFORMATIONAL = re.compile(rb"HTTP/\d\.\d 1(?!01)\d\d[ \r\n]")
_LENGTH = re.compile(rb"content-length[ \t]*:", re.IGNORECASE)
_RANGE = re.compile(r"bytes[ \t]+0-(\d{1,18})/(\d{1,18})", re.IGNORECASE)


class ResponseHead:
    """Collects the bytes of a connection until the head of a response is complete."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._searched = 0
        self.too_long = False
        """Whether it has more than `MAX_HEAD` bytes; then there is nothing more to feed."""

    def feed(self, data: bytes) -> bytes | None:
        """Return all bytes so far, with an unambiguous head; None while it is not complete.

        Heads of informational responses (100, 103), which come before the real one, are part of it. What is no HTTP is
        returned at once.
        """
        self._bytes += data
        if self._bytes[:5] != b"HTTP/"[: len(self._bytes)]:
            return self.rest()
        begin, complete = 0, False
        while not complete and (end := _END.search(self._bytes, max(begin, self._searched))):
            complete = _INFORMATIONAL.match(self._bytes, begin) is None
            begin = end.end()
        self.too_long = begin > MAX_HEAD or (not complete and len(self._bytes) > MAX_HEAD)
        if self.too_long or not complete:
            self._searched = 0 if begin else max(0, len(self._bytes) - 3)
            return None
        head = bytes(self._bytes[:begin])
        return one_length(head) + bytes(self._bytes[begin:])

    def rest(self) -> bytes:
        """Return what came so far, as it is."""
        return bytes(self._bytes)


def one_length(head: bytes) -> bytes:
    """Return a head that has its Content-Length once where it had the same one several times.

    Different ones stay as they are, and are refused by the parser: each could be where the next response begins.
    """
    lines = head.split(b"\n")
    found = [number for number, line in enumerate(lines) if _LENGTH.match(line)]
    values = [value.strip() for number in found for value in lines[number].partition(b":")[2].split(b",")]
    folded = any(lines[number + 1][:1] in (b" ", b"\t") for number in found)
    if len(values) < 2 or folded or len(set(values)) > 1 or not values[0].isdigit():
        return head
    first, *others = found
    ending = b"\r" if lines[first].endswith(b"\r") else b""
    lines[first] = b"Content-Length: " + values[0] + ending
    return b"\n".join(line for number, line in enumerate(lines) if number not in others)


def whole_range(content_range: str) -> int | None:
    """Return the size of a file that a partial response (206) holds as a whole; None if it does not."""
    match = _RANGE.fullmatch(content_range.strip())
    return int(match[2]) if match and int(match[1]) + 1 == int(match[2]) else None
