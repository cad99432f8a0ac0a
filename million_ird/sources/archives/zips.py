"""Zip files by their central directory: some hundred bytes of memory for a member, and no more inflated than it says.

The standard library's reader keeps seven times the directory's size, and inflates some methods without a bound.
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

LARGEST_DIRECTORY = 1 << 30
"""Bytes: some ten million members."""
_END = struct.Struct("<4s4H2LH")
_LOCATOR = struct.Struct("<4sLQL")
_END_64 = struct.Struct("<4sQ2H2L4Q")
_RECORD = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_LONGEST_COMMENT = 0xFFFF
_STORED, _DEFLATED, _BZIP2 = 0, 8, 12
_ENCRYPTED, _UTF8 = 0x1, 0x800
_PADDING = 1 << 16
"""Bytes by which a compressed member may be larger than twice its content."""


class NotAZip(MillionIRDError):
    """A file has no central directory that can be read."""


@dataclass(frozen=True, slots=True)
class ZipMember:
    """A file in a zip, as the central directory tells of it."""

    name: str
    offset: int
    """Where its own header begins."""
    size: int
    packed: int
    """Bytes that it takes in the archive."""
    crc: int
    method: int
    flags: int
    regular: bool
    """Neither a folder nor a link."""

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
    """Where it begins in the file."""
    shift: int
    """By how much all offsets are off: something was put before the archive."""

    def members(self) -> Iterator[tuple[int, ZipMember]]:
        """The files, folders and links aside, in the directory's order, each with the place of its record in the file.

        Raises:
            NoZip: it is damaged.
        """
        at = 0
        while at < len(self.content):
            record, length = _parsed(self.content, at, self.shift)
            if record.regular:
                yield self.start + at, record
            at += length


def read_directory(file: IO[bytes]) -> ZipDirectory:
    """Reads the central directory of a zip.

    Raises:
        NoZip: there is none, or it is larger than any that holds pictures.
    """
    total = file.seek(0, 2)
    tail_start = max(0, total - _END.size - _LONGEST_COMMENT - _LOCATOR.size)
    file.seek(tail_start)
    tail = file.read(total - tail_start)
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or at + _END.size > len(tail):
        raise NotAZip("has no central directory: cut off, or no zip")
    size, offset = _END.unpack_from(tail, at)[5:7]
    end, locator = tail_start + at, at - _LOCATOR.size
    if locator >= 0 and tail.startswith(b"PK\x06\x07", locator):
        size, offset, end = _large(file, _LOCATOR.unpack_from(tail, locator)[2], tail_start + locator)
    start = end - size
    if size > LARGEST_DIRECTORY or start < 0 or offset > start:
        raise NotAZip("its central directory is not where it should be")
    file.seek(start)
    content = file.read(size)
    if len(content) < size:
        raise NotAZip("its central directory is cut off")
    return ZipDirectory(content, start, start - offset)


def read_record(file: IO[bytes], place: int, shift: int) -> ZipMember:
    """One record of the central directory, by the place that `ZipDirectory.members` told.

    Raises:
        NoZip: none is there.
    """
    file.seek(place)
    head = file.read(_RECORD.size)
    if len(head) < _RECORD.size:
        raise NotAZip("its central directory is cut off")
    rest = file.read(sum(_RECORD.unpack(head)[10:13]))
    return _parsed(head + rest, 0, shift)[0]


def read_member(file: IO[bytes], member: ZipMember, at_most: int) -> bytes | Failed:
    """The content of a member, or `encrypted`, `too_large`, `unsupported`, `truncated` or `damaged`.

    No more than `at_most` bytes are inflated, whatever the archive says.
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
    return _inflated(packed, member)


def _inflated(packed: bytes, member: ZipMember) -> bytes | Failed:
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


def _large(file: IO[bytes], told: int, locator: int) -> tuple[int, int, int]:
    """Size and offset of the directory of a zip64, and where the record that tells of them begins."""
    for place in (told, locator - _END_64.size):  # the second, where something was put before the archive
        file.seek(place)
        record = file.read(_END_64.size)
        if len(record) == _END_64.size and record.startswith(b"PK\x06\x06"):
            size, offset = _END_64.unpack(record)[8:10]
            return size, offset, place
    raise NotAZip("its central directory is not where it should be")


def _parsed(content: bytes, at: int, shift: int) -> tuple[ZipMember, int]:
    """The record at a place of the directory, and its length."""
    if at + _RECORD.size > len(content) or not content.startswith(b"PK\x01\x02", at):
        raise NotAZip("its central directory is damaged")
    fields = _RECORD.unpack_from(content, at)
    flags, method, crc, packed, size = fields[3], fields[4], fields[7], fields[8], fields[9]
    name_length, extra_length, comment_length, offset = *fields[10:13], fields[16]
    start = at + _RECORD.size
    length = _RECORD.size + name_length + extra_length + comment_length
    if at + length > len(content):
        raise NotAZip("its central directory is cut off")
    name = content[start : start + name_length]
    if 0xFFFFFFFF in {size, packed, offset}:
        extra = content[start + name_length : start + name_length + extra_length]
        size, packed, offset = _widened(extra, size, packed, offset)
    text = name.decode("utf-8", "surrogateescape") if flags & _UTF8 else name.decode("cp437")
    regular = not text.endswith("/") and stat.S_IFMT(fields[15] >> 16) in {0, stat.S_IFREG}
    return ZipMember(text, offset + shift, size, packed, crc, method, flags, regular), length


def _widened(extra: bytes, *fields: int) -> list[int]:
    """Sizes and offset with those taken from the zip64 extra field that did not fit."""
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, at)
        if kind == 1:
            values = iter(struct.unpack_from(f"<{min(length, len(extra) - at - 4) // 8}Q", extra, at + 4))
            return [next(values, field) if field == 0xFFFFFFFF else field for field in fields]
        at += 4 + length
    return list(fields)
