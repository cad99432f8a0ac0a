"""Reads tar files from start to end, compressed or not: those that cannot be listed without reading all of them."""

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Iterator
from typing import IO, Any, cast

import pyarrow as pa

from million_ird.candidate import Failed
from million_ird.errors import MillionIRDError, ReadError, one_line
from million_ird.sources.archives.tars import BrokenArchive, ForwardReader, TarMember, tar_members
from million_ird.sources.sidecars import (
    MAX_SIDECAR_BYTES,
    Sidecar,
    is_sidecar,
    may_be_image,
    parse_sidecar,
    sample_name,
)

COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")
_REST = 1 << 26
"""Bytes after the end of a tar that are still decompressed, to reach and verify the checksum behind them."""


class ArchiveUnreadable(MillionIRDError):
    """The bytes of the archive itself cannot be read: an error of a disk or network."""


READ_ERRORS = (
    ArchiveUnreadable,
    EOFError,
    OSError,
    ValueError,
    zlib.error,
    lzma.LZMAError,
    pa.ArrowException,
)
"""What reading a file raises that is on a failing disk, or compressed and damaged."""


def iter_streamed(
    file: IO[bytes], archive: str, max_bytes: int
) -> Iterator[tuple[str | None, bytes | Failed, Sidecar | ReadError]]:
    """Yield name, content and sidecar of the images of a tar in their order.

    If the archive cannot be read to its end, the last item is a failure without a name. Besides the image that is being
    read, at most `max_bytes` are held: in a larger sample, the first images miss a sidecar that follows them.

    Raises:
        BrokenArchive: it is not a tar.
    """
    sample, held_bytes = "", 0
    sidecar: Sidecar | ReadError = {}
    images: list[tuple[str, bytes | Failed]] = []
    for name, content in _contents(ForwardReader(decompressed(file, archive), seekable=False), max_bytes, archive):
        if name is None or sample_name(name) != sample or held_bytes > max_bytes:
            yield from ((*image, sidecar) for image in images)
            images, held_bytes = [], 0
        if name is None:
            yield None, content, {}
            return
        if sample_name(name) != sample:
            sample, sidecar = sample_name(name), {}
        if is_sidecar(name):
            sidecar = parse_sidecar(content, name)
        else:
            images.append((name, content))
            held_bytes += len(content) if isinstance(content, bytes) else 0
    yield from ((*image, sidecar) for image in images)


def _contents(file: ForwardReader, max_bytes: int, archive: str) -> Iterator[tuple[str | None, bytes | Failed]]:
    """Yield images and sidecars; last, without a name, why the archive cannot be read further."""
    members = tar_members(file)
    any_member = False
    while True:
        try:
            member = next(members, None)
            if member is None:
                if archive.lower().endswith(COMPRESSED):
                    file.move(file.position + _REST)
                return
        except (BrokenArchive, *READ_ERRORS) as error:
            failure = failure_of(error)
            if not any_member and failure.failure_class != "unreadable":
                raise BrokenArchive(failure.failure_class, failure.detail) from error
            yield None, failure
            return
        any_member = True
        if may_be_image(member.name) or is_sidecar(member.name):
            content, readable = _content(file, member, MAX_SIDECAR_BYTES if is_sidecar(member.name) else max_bytes)
            yield member.name, content
            if not readable:
                return


def _content(file: ForwardReader, member: TarMember, max_bytes: int) -> tuple[bytes | Failed, bool]:
    """Return the content of a member, and whether the archive can be read behind it."""
    if member.size > max_bytes:
        return Failed("too_large", f"more than {max_bytes:,} bytes"), True
    try:
        content = file.read(member.size)
    except READ_ERRORS as error:
        return failure_of(error), False
    if len(content) < member.size:
        return Failed("truncated", "the archive ends before the picture does"), False
    return content, True


def failure_of(error: Exception) -> Failed:
    """Return the failure of what an archive holds behind the place where it cannot be read further."""
    text = one_line(error)
    if isinstance(error, ArchiveUnreadable):
        return Failed("unreadable", text)
    if isinstance(error, BrokenArchive):
        return Failed(error.failure_class, f"what is left of the archive cannot be read: {text}")
    cut = isinstance(error, EOFError) or "truncated" in text.lower()
    return Failed("truncated" if cut else "damaged", f"the archive cannot be read further: {text}")


class _ErrorMarker(io.RawIOBase):
    """Wraps the archive's file so that its read errors differ from errors of decompression."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            content = self._file.read(len(buffer))
        except Exception as error:  # clients of object stores raise error types of their own
            raise ArchiveUnreadable(str(error) or type(error).__name__) from error
        buffer[: len(content)] = content
        return len(content)


def decompressed(file: IO[bytes], archive: str) -> IO[bytes]:
    """Return the content of a file, compressed as its name says; it raises `READ_ERRORS`."""
    name, marked = archive.lower(), io.BufferedReader(_ErrorMarker(file), 1 << 20)
    if name.endswith(".zst"):
        return cast(IO[bytes], io.BufferedReader(cast(Any, pa.CompressedInputStream(pa.PythonFile(marked), "zstd"))))
    if name.endswith(".xz"):
        return cast(IO[bytes], lzma.open(marked))
    if name.endswith(".bz2"):
        return cast(IO[bytes], bz2.open(marked))
    return cast(IO[bytes], gzip.open(marked) if name.endswith((".gz", ".tgz")) else marked)
