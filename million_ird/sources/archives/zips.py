"""Reads zip files by their central directory, with little memory and no more decompression than a member declares.

The standard library's reader keeps seven times the directory's size in memory, and decompresses some methods without a
bound.
"""

import bz2
import stat
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from million_ird.candidate import Failed
from million_ird.errors import MillionIRDError

MAX_DIRECTORY_BYTES = 1 << 30
"""Enough for about ten million members."""
_MAX_NUMBER = 1 << 62
"""Of bytes: no file is larger, and no system can seek beyond twice that."""
_END = struct.Struct("<4s4H2LH")
_LOCATOR = struct.Struct("<4sLQL")
_END_64 = struct.Struct("<4sQ2H2L4Q")
_RECORD = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_MAX_COMMENT_BYTES = 0xFFFF
_STORED, _DEFLATED, _BZIP2 = 0, 8, 12
_ENCRYPTED, _UTF8 = 0x1, 0x800
_PADDING = 1 << 16
"""Bytes that a compressed member may have beyond twice its content."""


class NotAZip(MillionIRDError):
    """A file has no central directory that can be read."""


@dataclass(frozen=True, slots=True)
class ZipMember:
    """A file in a zip, as its record in the central directory describes it."""

    name: str
    offset: int
    """Offset of its own header."""
    size: int
    packed: int
    """Compressed bytes in the archive."""
    crc: int
    method: int
    flags: int
    regular: bool
    """Whether it is neither a folder nor a link."""

    @property
    def identity(self) -> str:
        """See `FileEntry.identity`."""
        position = f"name={self.name!r}, offset={self.offset}, size={self.size}, packed={self.packed}"
        coding = f"crc={self.crc}, method={self.method}, flags={self.flags}, regular={self.regular}"
        return f"ZipMember({position}, {coding})"


@dataclass(frozen=True, slots=True)
class ZipDirectory:
    """A central directory."""

    content: bytes
    start: int
    """Offset of the directory in the file."""
    shift: int
    """What to add to all offsets, if other data was put before the archive."""

    def members(self) -> Iterator[tuple[int, ZipMember]]:
        """Yield the regular files in the directory's order, each with the offset of its record in the file.

        Raises:
            NotAZip: the directory is damaged.
        """
        position = 0
        while position < len(self.content):
            record, length = _parse_record(self.content, position, self.shift)
            if record.regular:
                yield self.start + position, record
            position += length


def read_directory(file: IO[bytes]) -> ZipDirectory:
    """Read the central directory of a zip.

    Raises:
        NotAZip: there is none, or it is unreasonably large.
    """
    total = file.seek(0, 2)
    tail_start = max(0, total - _END.size - _MAX_COMMENT_BYTES - _LOCATOR.size)
    file.seek(tail_start)
    tail = file.read(total - tail_start)
    position = tail.rfind(b"PK\x05\x06")
    if position < 0 or position + _END.size > len(tail):
        raise NotAZip("has no central directory: cut off, or no zip")
    size, offset = _END.unpack_from(tail, position)[5:7]
    end, locator = tail_start + position, position - _LOCATOR.size
    if locator >= 0 and tail.startswith(b"PK\x06\x07", locator):
        size, offset, end = _read_zip64_end(file, _LOCATOR.unpack_from(tail, locator)[2], tail_start + locator)
    start = end - size
    if size > MAX_DIRECTORY_BYTES or start < 0 or offset > start:
        raise NotAZip("its central directory is not where it should be")
    file.seek(start)
    content = file.read(size)
    if len(content) < size:
        raise NotAZip("its central directory is cut off")
    return ZipDirectory(content, start, start - offset)


def read_record(file: IO[bytes], offset: int, shift: int) -> ZipMember:
    """Read one record of the central directory, by the offset that `ZipDirectory.members` yields.

    Raises:
        NotAZip: there is no record.
    """
    file.seek(offset)
    head = file.read(_RECORD.size)
    if len(head) < _RECORD.size:
        raise NotAZip("its central directory is cut off")
    rest = file.read(sum(_RECORD.unpack(head)[10:13]))
    return _parse_record(head + rest, 0, shift)[0]


def read_member(file: IO[bytes], member: ZipMember, at_most: int) -> bytes | Failed:
    """Return the content of a member, or `encrypted`, `too_large`, `unsupported`, `truncated` or `damaged`.

    At most `at_most` bytes are decompressed, whatever the archive declares.
    """
    if member.flags & _ENCRYPTED:
        return Failed("encrypted", "the archive wants a password for it")
    if member.size > at_most:
        return Failed("too_large", f"more than {at_most:,} bytes")
    if member.method not in {_STORED, _DEFLATED, _BZIP2}:
        return Failed("unsupported", f"compressed in a way that is not read here (method {member.method})")
    if member.packed > 2 * member.size + _PADDING:
        return Failed("damaged", "takes far more bytes in the archive than it holds")
    file.seek(member.offset)
    header = file.read(_LOCAL.size)
    if len(header) < _LOCAL.size:
        return Failed("truncated", "the archive ends before the picture begins")
    if not header.startswith(b"PK\x03\x04"):
        return Failed("damaged", "is not where the archive says")
    file.seek(member.offset + _LOCAL.size + sum(_LOCAL.unpack(header)[9:11]))
    packed = file.read(member.packed)
    if len(packed) < member.packed:
        return Failed("truncated", "the archive ends before the picture does")
    return _decompress(packed, member)


def _decompress(packed: bytes, member: ZipMember) -> bytes | Failed:
    try:
        if member.method == _DEFLATED:
            content = zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, member.size + 1)
        elif member.method == _BZIP2:
            content = bz2.BZ2Decompressor().decompress(packed, member.size + 1)
        else:
            content = packed
    except (zlib.error, OSError, ValueError, EOFError) as error:
        return Failed("damaged", f"cannot be inflated: {error}")
    if len(content) != member.size:
        return Failed("damaged", "holds more or less than the archive says")
    if zlib.crc32(content) != member.crc:
        return Failed("damaged", "its check sum is wrong")
    return content


def _read_zip64_end(file: IO[bytes], declared: int, locator: int) -> tuple[int, int, int]:
    """Return size and offset of the directory of a zip64, and the offset of the record that declares them."""
    for start in (declared, locator - _END_64.size):  # the second if other data was put before the archive
        if not 0 <= start < _MAX_NUMBER:
            continue
        file.seek(start)
        record = file.read(_END_64.size)
        if len(record) == _END_64.size and record.startswith(b"PK\x06\x06"):
            size, offset = _END_64.unpack(record)[8:10]
            return size, offset, start
    raise NotAZip("its central directory is not where it should be")


def _parse_record(content: bytes, position: int, shift: int) -> tuple[ZipMember, int]:
    """Parse the record at a position of the directory; return it and its length."""
    if position + _RECORD.size > len(content) or not content.startswith(b"PK\x01\x02", position):
        raise NotAZip("its central directory is damaged")
    fields = _RECORD.unpack_from(content, position)
    flags, method, crc, packed, size = fields[3], fields[4], fields[7], fields[8], fields[9]
    name_length, extra_length, comment_length, offset = *fields[10:13], fields[16]
    start = position + _RECORD.size
    length = _RECORD.size + name_length + extra_length + comment_length
    if position + length > len(content):
        raise NotAZip("its central directory is cut off")
    name = content[start : start + name_length]
    if 0xFFFFFFFF in {size, packed, offset}:
        extra = content[start + name_length : start + name_length + extra_length]
        size, packed, offset = _widen(extra, size, packed, offset)
        if max(size, packed, offset) >= _MAX_NUMBER:
            raise NotAZip("its central directory is damaged")
    text = name.decode("utf-8", "surrogateescape") if flags & _UTF8 else name.decode("cp437")
    regular = not text.endswith("/") and stat.S_IFMT(fields[15] >> 16) in {0, stat.S_IFREG}
    return ZipMember(text, offset + shift, size, packed, crc, method, flags, regular), length


def _widen(extra: bytes, *fields: int) -> list[int]:
    """Return sizes and offset; values that did not fit come from the zip64 extra field."""
    position = 0
    while position + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, position)
        if kind == 1:
            values = iter(struct.unpack_from(f"<{min(length, len(extra) - position - 4) // 8}Q", extra, position + 4))
            return [next(values, field) if field == 0xFFFFFFFF else field for field in fields]
        position += 4 + length
    return list(fields)
