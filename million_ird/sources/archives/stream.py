"""Tar files from front to back, compressed or not: what cannot be listed without reading it all is read once."""

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Iterator
from typing import IO, Any, cast

import pyarrow as pa

from million_ird.candidate import Failed
from million_ird.errors import MillionIRDError, one_line
from million_ird.sources.archives.tars import BrokenArchive, ForwardReader, TarMember, tar_members
from million_ird.sources.sidecars import LONGEST_SIDECAR, Sidecar, is_sidecar, may_be_image, parse_sidecar, sample_name

COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")
_REST = 1 << 26
"""Bytes behind the end of a tar that are inflated for the sake of the check sum that follows them."""
_NOT_INFLATED = (EOFError, OSError, ValueError, zlib.error, lzma.LZMAError, pa.ArrowException)


class ArchiveUnreadable(MillionIRDError):
    """The bytes of the archive itself cannot be had: a disk, a network."""


def iter_streamed(
    file: IO[bytes], archive: str, max_bytes: int
) -> Iterator[tuple[str | None, bytes | Failed, Sidecar]]:
    """The pictures of a tar in their order, each with what the side-car of its sample tells.

    An archive that cannot be read to its end tells so last, by a failure without a name. Beside the picture that is
    being read, no more than `max_bytes` are held: of a sample larger than that, the first pictures go without what a
    side-car behind them tells.

    Raises:
        Broken: it is no tar.
    """
    sample, held = "", 0
    sidecar: Sidecar = {}
    pictures: list[tuple[str, bytes | Failed]] = []
    for name, found in _contents(ForwardReader(_plain(file, archive), seekable=False), max_bytes, archive):
        if name is None or sample_name(name) != sample or held > max_bytes:
            yield from ((*picture, sidecar) for picture in pictures)
            pictures, held = [], 0
        if name is None:
            yield None, found, {}
            return
        if sample_name(name) != sample:
            sample, sidecar = sample_name(name), {}
        if is_sidecar(name):
            sidecar = parse_sidecar(found)
        else:
            pictures.append((name, found))
            held += len(found) if isinstance(found, bytes) else 0
    yield from ((*picture, sidecar) for picture in pictures)


def _contents(file: ForwardReader, max_bytes: int, archive: str) -> Iterator[tuple[str | None, bytes | Failed]]:
    """Pictures and side-cars; at last, without a name, why the archive cannot be read further."""
    members = tar_members(file)
    some = False
    while True:
        try:
            member = next(members, None)
            if member is None:
                if archive.lower().endswith(COMPRESSED):
                    file.move(file.position + _REST)
                return
        except (BrokenArchive, ArchiveUnreadable, *_NOT_INFLATED) as error:
            failure = _failure(error)
            if not some and failure.failure_class != "unreadable":
                raise BrokenArchive(failure.failure_class, failure.detail) from error
            yield None, failure
            return
        some = True
        if may_be_image(member.name) or (is_sidecar(member.name) and member.size <= LONGEST_SIDECAR):
            found, whole = _content(file, member, max_bytes)
            yield member.name, found
            if not whole:
                return


def _content(file: ForwardReader, member: TarMember, max_bytes: int) -> tuple[bytes | Failed, bool]:
    """What a member holds, and whether what comes after it can be read."""
    if member.size > max_bytes:
        return Failed("too_large", f"more than {max_bytes:,} bytes"), True
    try:
        content = file.read(member.size)
    except (ArchiveUnreadable, *_NOT_INFLATED) as error:
        return _failure(error), False
    if len(content) < member.size:
        return Failed("truncated", "the archive ends before the picture does"), False
    return content, True


def _failure(error: Exception) -> Failed:
    text = one_line(error)
    if isinstance(error, ArchiveUnreadable):
        return Failed("unreadable", text)
    if isinstance(error, BrokenArchive):
        return Failed(error.failure_class, f"what is left of the archive cannot be read: {text}")
    cut = isinstance(error, EOFError) or "truncated" in text.lower()
    return Failed("truncated" if cut else "damaged", f"the archive cannot be read further: {text}")


class _ErrorMarker(io.RawIOBase):
    """The archive's file; when it cannot be read, that is told from content that cannot be inflated."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            found = self._file.read(len(buffer))
        except Exception as error:  # clients of object stores have error trees of their own
            raise ArchiveUnreadable(str(error) or type(error).__name__) from error
        buffer[: len(found)] = found
        return len(found)


def _plain(file: IO[bytes], archive: str) -> IO[bytes]:
    name, watched = archive.lower(), io.BufferedReader(_ErrorMarker(file), 1 << 20)
    if name.endswith(".zst"):
        return cast(IO[bytes], pa.CompressedInputStream(pa.PythonFile(watched), "zstd"))
    if name.endswith(".xz"):
        return cast(IO[bytes], lzma.open(watched))
    if name.endswith(".bz2"):
        return cast(IO[bytes], bz2.open(watched))
    return cast(IO[bytes], gzip.open(watched) if name.endswith((".gz", ".tgz")) else watched)
