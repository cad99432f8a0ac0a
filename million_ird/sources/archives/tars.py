"""Tar files header by header: what lies where, however the names are written, and where a damaged one ends.

The standard library's reader takes a damaged header for the end of the archive and reads a name of a gigabyte whole;
here both are errors, and a member costs no more than its header.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from million_ird.errors import MillionIRDError

BLOCK = 512
LONGEST_HEADER = 1 << 20
"""Bytes of a name or a pax header."""
_SKIPPED = 1 << 20
_BARE = b"123456"
"""Links, devices, folders and pipes: no content follows, whatever size they claim."""
_REGULAR = b"0\x007"
_LONG_NAME, _LONG_LINK, _SPARSE = b"L", b"K", b"S"
_PAX, _PAX_GLOBAL = (b"x", b"X"), b"g"
_ABOUT_THE_NEXT = frozenset({_LONG_NAME, _LONG_LINK, _PAX_GLOBAL, *_PAX})


class BrokenArchive(MillionIRDError):
    """An archive cannot be read further; `failure_class` is `truncated` or `damaged`."""

    def __init__(self, failure_class: str, detail: str) -> None:
        super().__init__(detail)
        self.failure_class = failure_class
        self.detail = detail

    def __reduce__(self) -> tuple[type["BrokenArchive"], tuple[str, str]]:
        return type(self), (self.failure_class, self.detail)


@dataclass(frozen=True, slots=True)
class TarMember:
    """A regular file in a tar."""

    name: str
    """Bytes that are no UTF-8 stand in it as surrogates."""
    offset: int
    """Where its content begins."""
    size: int


class ForwardReader:
    """A file that is read from front to back; what can be skipped by a seek is."""

    def __init__(self, file: IO[bytes], *, seekable: bool) -> None:
        self.position = 0
        self._file = file
        self._seekable = seekable

    def read(self, size: int) -> bytes:
        """So many bytes; fewer only at the end."""
        parts: list[bytes] = []
        while size > 0 and (found := self._file.read(size)):
            parts.append(found)
            size -= len(found)
            self.position += len(found)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def move(self, position: int) -> None:
        """Goes to a place that lies ahead; at the end of the file it stays there."""
        if self._seekable:
            self._file.seek(position)
            self.position = position
            return
        while self.position < position and self.read(min(_SKIPPED, position - self.position)):
            pass


@dataclass(slots=True)
class _NextMember:
    """What headers say of the member that comes after them."""

    name: bytes | None = None
    size: int | None = None
    sparse: bool = False


def tar_members(file: ForwardReader) -> Iterator[TarMember]:
    """The regular files of a tar in the order in which they lie; between two, `file` may be read, not moved back.

    The bytes of a member may be fewer than its size says, in the last of an archive that was cut off. An archive that
    ends between two members without the mark that ends it is taken as whole, as `tar` takes it.

    Raises:
        Broken: the next header is none, cut off or of a size that nobody needs.
    """
    ahead = _NextMember()
    while True:
        at = file.position
        block = file.read(BLOCK)
        if not block.strip(b"\0") and len(block) in {0, BLOCK}:
            return
        _check(block, at)
        kind, size = block[156:157], _number(block[124:136], at)
        if kind in _ABOUT_THE_NEXT:
            content = _content(file, size, at)
            if kind == _LONG_NAME:
                ahead.name = content.split(b"\0", 1)[0]
            elif kind in _PAX:
                _read_pax(content, ahead, at)
            continue
        if kind == _SPARSE:
            _skip_sparse_map(file, block, at)
        name = _name(block) if ahead.name is None else ahead.name
        size = size if ahead.size is None else ahead.size
        end = file.position + (0 if kind in _BARE else -(-size // BLOCK) * BLOCK)
        if kind in _REGULAR and not ahead.sparse and not name.endswith(b"/"):
            yield TarMember(os.fsdecode(name), file.position, size)
        ahead = _NextMember()
        file.move(end)


def _check(block: bytes, at: int) -> None:
    if len(block) < BLOCK:
        raise BrokenArchive("truncated", f"the archive is cut off in a header at byte {at:,}")
    blank = block[:148] + b" " * 8 + block[156:]
    signed = sum(blank) - 256 * sum(byte > 127 for byte in blank)  # as some old programs add it up
    try:
        told = int(block[148:156].strip(b" \0") or b"x", 8)
    except ValueError:
        told = -1
    if told not in {sum(blank), signed}:
        raise BrokenArchive("damaged", f"no header at byte {at:,}, where one should be")


def _number(field: bytes, at: int) -> int:
    """A size: octal digits, or, after a set bit, base 256."""
    try:
        found = int.from_bytes(field[1:], "big") if field[0] == 0x80 else int(field.strip(b" \0") or b"0", 8)
    except ValueError:
        found = -1
    if not 0 <= found < 1 << 62:
        raise BrokenArchive("damaged", f"the header at byte {at:,} tells no size")
    return found


def _content(file: ForwardReader, size: int, at: int) -> bytes:
    if size > LONGEST_HEADER:
        raise BrokenArchive("damaged", f"a header of {size:,} bytes at byte {at:,}")
    padded = -(-size // BLOCK) * BLOCK
    content = file.read(padded)
    if len(content) < padded:
        raise BrokenArchive("truncated", f"the archive is cut off in a header at byte {at:,}")
    return content[:size]


def _read_pax(content: bytes, ahead: _NextMember, at: int) -> None:
    """Takes the name and the size from records of the form `length key=value`."""
    place = 0
    while place < len(content):
        digits, _, _ = content[place : place + 20].partition(b" ")
        length = int(digits) if digits.isdigit() else 0
        key, equals, value = content[place + len(digits) + 1 : place + length - 1].partition(b"=")
        # A length of nothing would go round for ever.
        if not equals or not len(digits) < length <= len(content) - place:
            raise BrokenArchive("damaged", f"the header at byte {at:,} is none that can be read")
        if key == b"path":
            ahead.name = value
        elif key == b"size":
            ahead.size = _decimal(value, at)
        elif key.startswith(b"GNU.sparse"):
            ahead.sparse = True
        place += length


def _decimal(value: bytes, at: int) -> int:
    if not value.isdigit() or len(value) > 18:
        raise BrokenArchive("damaged", f"the header at byte {at:,} tells no size")
    return int(value)


def _skip_sparse_map(file: ForwardReader, block: bytes, at: int) -> None:
    more = block[482]
    while more:
        extension = _content(file, BLOCK, at)
        more = extension[504]


def _name(block: bytes) -> bytes:
    name = block[:100].split(b"\0", 1)[0]
    prefix = block[345:500].split(b"\0", 1)[0] if block[257:263] == b"ustar\0" else b""
    return prefix + b"/" + name if prefix else name
