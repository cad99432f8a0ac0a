"""The positions of the images in a tar on disk or in a zip: 24 bytes of memory per image, so a million fit."""

import hashlib
import itertools
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

import numpy as np
from numpy.typing import NDArray

from million_ird.candidate import Failed
from million_ird.errors import ReadError
from million_ird.runtime.file_names import as_text
from million_ird.sources.archives.tars import BrokenArchive, ForwardReader, tar_members
from million_ird.sources.archives.zips import ZipMember, read_directory, read_member, read_record
from million_ird.sources.sidecars import (
    MAX_SIDECAR_BYTES,
    TOO_LARGE,
    Sidecar,
    is_sidecar,
    may_be_image,
    parse_sidecar,
    sample_name,
)


@dataclass(frozen=True, slots=True)
class ArchiveMember:
    """A member of an archive; one without a name stands for the unreadable rest of a broken archive."""

    name: str | None
    location: int | ZipMember
    """The offset of its bytes in a tar; its directory entry in a zip."""
    size: int


@dataclass(frozen=True, slots=True)
class ArchiveIndex:
    """The positions of an archive's images."""

    names: NDArray[np.uint64]
    """Hashes of the members' names, sorted."""
    offsets: NDArray[np.int64]
    """Offsets of their bytes in a tar; of their records in the directory of a zip."""
    sizes: NDArray[np.int64]
    shift: int | None
    """What to add to the offsets in a zip; None for a tar."""
    superseded: frozenset[int]
    """The ordinals of images whose name is used again by a later member."""
    broken: Failed | None
    """Why a tar cannot be read to its end; None if it can."""

    def find(self, file: IO[bytes], name: str) -> tuple[int | ZipMember, int] | None:
        """Return location and size of the image with this name (as text); None if there is none."""
        key = _hash(name)
        row = int(np.searchsorted(self.names, key))
        if row == len(self.names) or self.names[row] != key:
            return None
        if self.shift is None:
            return int(self.offsets[row]), int(self.sizes[row])
        member = read_record(file, int(self.offsets[row]), self.shift)
        return member, member.size


def is_zip(archive: str) -> bool:
    """Return whether an archive is a zip, by its name."""
    return archive.lower().endswith(".zip")


def build_index(file: IO[bytes], archive: str) -> ArchiveIndex:
    """Read the headers of all members.

    Raises:
        NotAZip: a zip has no directory that can be read.
        BrokenArchive: it is not a tar, or is cut off in its first header.
    """
    names, offsets, sizes = array("Q"), array("q"), array("q")
    broken: Failed | None = None
    any_member = False
    try:
        for member, offset in _members(file, archive):
            any_member = True
            if may_be_image(str(member.name)):
                names.append(int(_hash(as_text(str(member.name)))))
                offsets.append(offset)
                sizes.append(member.size)
    except BrokenArchive as error:
        if not any_member:
            raise
        broken = Failed(error.failure_class, f"what is left of the archive cannot be read: {error.detail}")
    hashes = np.frombuffer(names, np.uint64) if names else np.zeros(0, np.uint64)
    order = np.argsort(hashes, kind="stable")
    repeated = hashes[order][:-1] == hashes[order][1:]
    last = order[np.append(~repeated, True)] if len(order) else order
    return ArchiveIndex(
        names=hashes[last],
        offsets=np.asarray(offsets, np.int64)[last],
        sizes=np.asarray(sizes, np.int64)[last],
        shift=read_directory(file).shift if is_zip(archive) else None,
        superseded=frozenset(map(int, order[:-1][repeated])) if len(order) else frozenset(),
        broken=broken,
    )


def iter_members(
    file: IO[bytes], archive: str, index: ArchiveIndex
) -> Iterator[tuple[ArchiveMember, Sidecar | ReadError]]:
    """Yield the images in their order in the archive, each with the sidecar of its sample.

    Of a name that is used twice, only the last member is yielded. A broken tar ends where it breaks.
    """
    ordinals = itertools.count()
    for _, group in itertools.groupby(
        _readable_members(file, archive, index), key=lambda member: sample_name(str(member.name))
    ):
        images: list[ArchiveMember] = []
        sidecar: Sidecar | ReadError = {}
        for member in group:
            if may_be_image(str(member.name)):
                if next(ordinals) not in index.superseded:
                    images.append(member)
            elif is_sidecar(str(member.name)):
                content = _content(file, member) if member.size <= MAX_SIDECAR_BYTES else TOO_LARGE
                sidecar = parse_sidecar(content, str(member.name))
        yield from ((image, sidecar) for image in images)


def _readable_members(file: IO[bytes], archive: str, index: ArchiveIndex) -> Iterator[ArchiveMember]:
    try:
        yield from (member for member, _ in _members(file, archive))
    except BrokenArchive:
        if index.broken is None:
            raise


def _members(file: IO[bytes], archive: str) -> Iterator[tuple[ArchiveMember, int]]:
    """Yield all regular members, each with the offset that an index keeps."""
    if is_zip(archive):
        for offset, entry in read_directory(file).members():
            yield ArchiveMember(entry.name, entry, entry.size), offset
        return
    file.seek(0)
    for member in tar_members(ForwardReader(file, seekable=True)):
        yield ArchiveMember(member.name, member.offset, member.size), member.offset


def _content(file: IO[bytes], member: ArchiveMember) -> bytes | Failed:
    if isinstance(member.location, ZipMember):
        return read_member(file, member.location, MAX_SIDECAR_BYTES)
    file.seek(member.location)
    return file.read(member.size)


def _hash(name: str) -> np.uint64:
    digest = hashlib.blake2b(name.encode(errors="surrogateescape"), digest_size=8).digest()
    return np.uint64(int.from_bytes(digest, "little"))
