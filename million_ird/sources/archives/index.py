"""What lies where in a tar on disk or in a zip: 24 bytes of memory for a picture, so that a million are no matter."""

import hashlib
import itertools
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

import numpy as np
from numpy.typing import NDArray

from million_ird.candidate import Failed
from million_ird.runtime.storage import as_text
from million_ird.sources.archives.tars import BrokenArchive, ForwardReader, tar_members
from million_ird.sources.archives.zips import ZipMember, read_directory, read_member, read_record
from million_ird.sources.sidecars import LONGEST_SIDECAR, Sidecar, is_sidecar, may_be_image, parse_sidecar, sample_name


@dataclass(frozen=True, slots=True)
class ArchiveMember:
    """A member of an archive; without a name, what an archive that is broken does not tell of."""

    name: str | None
    place: int | ZipMember
    """Where its bytes begin in a tar; what the directory of a zip tells of it."""
    size: int


@dataclass(frozen=True, slots=True)
class ArchiveIndex:
    """The places of an archive's pictures."""

    names: NDArray[np.uint64]
    """Their hashes, sorted."""
    places: NDArray[np.int64]
    """Where their bytes begin in a tar; where the records of them in the directory of a zip."""
    sizes: NDArray[np.int64]
    shift: int | None
    """Of the offsets in a zip; None for a tar."""
    superseded: frozenset[int]
    """The ordinals of pictures whose name stands again further on."""
    broken: Failed | None
    """Why a tar cannot be read to its end."""

    def find(self, file: IO[bytes], name: str) -> tuple[int | ZipMember, int] | None:
        """Place and size of the picture of a name (as text), if it is there."""
        wanted = _hash(name)
        at = int(np.searchsorted(self.names, wanted))
        if at == len(self.names) or self.names[at] != wanted:
            return None
        if self.shift is None:
            return int(self.places[at]), int(self.sizes[at])
        member = read_record(file, int(self.places[at]), self.shift)
        return member, member.size


def is_zip(archive: str) -> bool:
    """Whether an archive is a zip: by its name."""
    return archive.lower().endswith(".zip")


def build_index(file: IO[bytes], archive: str) -> ArchiveIndex:
    """Reads the headers of all members.

    Raises:
        NoZip: it has no directory that can be read.
        Broken: it is no tar, or cut off in its first member's header.
    """
    names, places, sizes = array("Q"), array("q"), array("q")
    broken: Failed | None = None
    some = False
    try:
        for member, address in _members(file, archive):
            some = True
            if may_be_image(str(member.name)):
                names.append(int(_hash(as_text(str(member.name)))))
                places.append(address)
                sizes.append(member.size)
    except BrokenArchive as error:
        if not some:
            raise
        broken = Failed(error.failure_class, f"what is left of the archive cannot be read: {error.detail}")
    hashes = np.frombuffer(names, np.uint64) if names else np.zeros(0, np.uint64)
    order = np.argsort(hashes, kind="stable")
    again = hashes[order][:-1] == hashes[order][1:]
    last = order[np.append(~again, True)] if len(order) else order
    return ArchiveIndex(
        names=hashes[last],
        places=np.asarray(places, np.int64)[last],
        sizes=np.asarray(sizes, np.int64)[last],
        shift=read_directory(file).shift if is_zip(archive) else None,
        superseded=frozenset(map(int, order[:-1][again])) if len(order) else frozenset(),
        broken=broken,
    )


def iter_members(file: IO[bytes], archive: str, index: ArchiveIndex) -> Iterator[tuple[ArchiveMember, Sidecar]]:
    """The pictures in the order in which they are listed, each with what the side-car of its sample tells.

    Of a name that stands twice, only the last is told. A broken tar ends where it breaks.
    """
    ordinals = itertools.count()
    for _, group in itertools.groupby(_whole(file, archive, index), key=lambda one: sample_name(str(one.name))):
        pictures: list[ArchiveMember] = []
        sidecar: Sidecar = {}
        for member in group:
            if may_be_image(str(member.name)):
                if next(ordinals) not in index.superseded:
                    pictures.append(member)
            elif is_sidecar(str(member.name)) and member.size <= LONGEST_SIDECAR:
                sidecar = parse_sidecar(_content(file, member))
        yield from ((picture, sidecar) for picture in pictures)


def _whole(file: IO[bytes], archive: str, index: ArchiveIndex) -> Iterator[ArchiveMember]:
    try:
        yield from (member for member, _ in _members(file, archive))
    except BrokenArchive:
        if index.broken is None:
            raise


def _members(file: IO[bytes], archive: str) -> Iterator[tuple[ArchiveMember, int]]:
    """All regular members, each with the address that an index keeps."""
    if is_zip(archive):
        for address, member in read_directory(file).members():
            yield ArchiveMember(member.name, member, member.size), address
        return
    file.seek(0)
    for found in tar_members(ForwardReader(file, seekable=True)):
        yield ArchiveMember(found.name, found.offset, found.size), found.offset


def _content(file: IO[bytes], member: ArchiveMember) -> bytes | Failed:
    if isinstance(member.place, ZipMember):
        return read_member(file, member.place, LONGEST_SIDECAR)
    file.seek(member.place)
    return file.read(member.size)


def _hash(name: str) -> np.uint64:
    digest = hashlib.blake2b(name.encode(errors="surrogateescape"), digest_size=8).digest()
    return np.uint64(int.from_bytes(digest, "little"))
