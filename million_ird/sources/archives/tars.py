"""Reads tar files header by header: names in any dialect, offsets, and where a damaged archive ends.

The standard library takes a damaged header for the end of the archive and reads a name of a gigabyte into memory; here
both are errors, and a member costs no more than its header.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from million_ird.errors import MillionIRDError

BLOCK = 512
MAX_HEADER_BYTES = 1 << 20
"""Bytes of a name or a pax header."""
_SKIPPED = 1 << 20
_WITHOUT_CONTENT = b"123456"
"""Links, devices, folders and pipes: no content follows them, whatever size they declare."""
_REGULAR = b"0\x007"
_LONG_NAME, _LONG_LINK, _SPARSE = b"L", b"K", b"S"
_PAX, _PAX_GLOBAL = (b"x", b"X"), b"g"
_EXTENSION_KINDS = frozenset({_LONG_NAME, _LONG_LINK, _PAX_GLOBAL, *_PAX})


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
    """Bytes that are not UTF-8 are kept as surrogates."""
    offset: int
    """Offset of its content."""
    size: int


class ForwardReader:
    """A file that is read from start to end; it skips by seeking if it can."""

    def __init__(self, file: IO[bytes], *, seekable: bool) -> None:
        self.position = 0
        self._file = file
        self._seekable = seekable

    def read(self, size: int) -> bytes:
        """Read `size` bytes; fewer only at the end."""
        parts: list[bytes] = []
        while size > 0 and (part := self._file.read(size)):
            parts.append(part)
            size -= len(part)
            self.position += len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def move(self, position: int) -> None:
        """Go forward to a position, or to the end of the file."""
        if self._seekable:
            self._file.seek(position)
            self.position = position
            return
        while self.position < position and self.read(min(_SKIPPED, position - self.position)):
            pass


@dataclass(slots=True)
class _NextMember:
    """What extension headers declare about the member after them."""

    name: bytes | None = None
    size: int | None = None
    sparse: bool = False


def tar_members(file: ForwardReader) -> Iterator[TarMember]:
    """Yield the regular files of a tar in their order; between two of them, `file` may be read but not moved back.

    In an archive that is cut off, the last member may have fewer bytes than its size. An archive that ends between two
    members without an end mark counts as complete, as it does for `tar`.

    Raises:
        BrokenArchive: the next header is damaged, cut off or unreasonably large.
    """
    next_member = _NextMember()
    while True:
        offset = file.position
        block = file.read(BLOCK)
        if not block.strip(b"\0") and len(block) in {0, BLOCK}:
            return
        _check_header(block, offset)
        kind, size = block[156:157], _number(block[124:136], offset)
        if kind in _EXTENSION_KINDS:
            content = _content(file, size, offset)
            if kind == _LONG_NAME:
                next_member.name = content.split(b"\0", 1)[0]
            elif kind in _PAX:
                _read_pax(content, next_member, offset)
            continue
        if kind == _SPARSE:
            _skip_sparse_map(file, block, offset)
        name = _name(block) if next_member.name is None else next_member.name
        size = size if next_member.size is None else next_member.size
        end = file.position + (0 if kind in _WITHOUT_CONTENT else -(-size // BLOCK) * BLOCK)
        if kind in _REGULAR and not next_member.sparse and not name.endswith(b"/"):
            yield TarMember(os.fsdecode(name), file.position, size)
        next_member = _NextMember()
        file.move(end)


def _check_header(block: bytes, offset: int) -> None:
    if len(block) < BLOCK:
        raise BrokenArchive("truncated", f"the archive is cut off in a header at byte {offset:,}")
    blank = block[:148] + b" " * 8 + block[156:]
    signed = sum(blank) - 256 * sum(byte > 127 for byte in blank)  # as some old programs add it up
    try:
        checksum = int(block[148:156].strip(b" \0") or b"x", 8)
    except ValueError:
        checksum = -1
    if checksum not in {sum(blank), signed}:
        raise BrokenArchive("damaged", f"no header at byte {offset:,}, where one should be")


def _number(field: bytes, offset: int) -> int:
    """Return a size: octal digits, or base 256 after a set bit."""
    try:
        number = int.from_bytes(field[1:], "big") if field[0] == 0x80 else int(field.strip(b" \0") or b"0", 8)
    except ValueError:
        number = -1
    if not 0 <= number < 1 << 62:
        raise BrokenArchive("damaged", f"the header at byte {offset:,} tells no size")
    return number


def _content(file: ForwardReader, size: int, offset: int) -> bytes:
    if size > MAX_HEADER_BYTES:
        raise BrokenArchive("damaged", f"a header of {size:,} bytes at byte {offset:,}")
    padded = -(-size // BLOCK) * BLOCK
    content = file.read(padded)
    if len(content) < padded:
        raise BrokenArchive("truncated", f"the archive is cut off in a header at byte {offset:,}")
    return content[:size]


def _read_pax(content: bytes, next_member: _NextMember, offset: int) -> None:
    """Read name and size from records of the form `length key=value`."""
    position = 0
    while position < len(content):
        digits, _, _ = content[position : position + 20].partition(b" ")
        length = int(digits) if digits.isdigit() else 0
        key, equals, value = content[position + len(digits) + 1 : position + length - 1].partition(b"=")
        # A length of zero would loop forever.
        if not equals or not len(digits) < length <= len(content) - position:
            raise BrokenArchive("damaged", f"the header at byte {offset:,} is none that can be read")
        if key == b"path":
            next_member.name = value
        elif key == b"size":
            next_member.size = _decimal(value, offset)
        elif key.startswith(b"GNU.sparse"):
            next_member.sparse = True
        position += length


def _decimal(value: bytes, offset: int) -> int:
    if not value.isdigit() or len(value) > 18:
        raise BrokenArchive("damaged", f"the header at byte {offset:,} tells no size")
    return int(value)


def _skip_sparse_map(file: ForwardReader, block: bytes, offset: int) -> None:
    more = block[482]
    while more:
        extension = _content(file, BLOCK, offset)
        more = extension[504]


def _name(block: bytes) -> bytes:
    name = block[:100].split(b"\0", 1)[0]
    prefix = block[345:500].split(b"\0", 1)[0] if block[257:263] == b"ustar\0" else b""
    return prefix + b"/" + name if prefix else name
