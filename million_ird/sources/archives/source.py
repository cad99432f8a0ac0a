"""Pictures in tar files (WebDataset shards among them) and zip files, read where they lie: nothing is unpacked.

A tar on this machine's disks and any zip are listed by their headers, and each picture is read at its place. A tar that
is compressed, or lies elsewhere, is read once from front to back: its headers are spread over all of it.
"""

import itertools
import logging
import os
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO

from million_ird.candidate import Candidate, Failed, candidate_key
from million_ird.errors import SourceError, one_line
from million_ird.runtime.storage import FileEntry, Folder, as_text
from million_ird.sources.archives.index import ArchiveIndex, ArchiveMember, build_index, is_zip, iter_members
from million_ird.sources.archives.stream import COMPRESSED, iter_streamed
from million_ird.sources.archives.tars import BrokenArchive
from million_ird.sources.archives.zips import NotAZip, ZipMember, read_member
from million_ird.sources.files import StorageOptions, cut_listing, root_folder
from million_ird.sources.listing import has_magic, list_files
from million_ird.sources.sidecars import Sidecar, number_of, text_of
from million_ird.sources.source import Deliver, DescribedEntry, SourceChunk, StreamContext, candidate_of

log = logging.getLogger(__name__)

PLAIN = (".tar", ".zip")
MOST_NUMBERS = 1_000_000
"""Archives that braces may stand for."""
_BRACES = re.compile(r"\{(\d+)\.\.(\d+)\}")
MOST_INDEXES = 8
_indexes: dict[tuple[str, str, str], ArchiveIndex] = {}
_lock = threading.Lock()


def is_archive(root: str) -> bool:
    """Whether a source is taken as an archive: by its name."""
    return root.lower().endswith((*PLAIN, *COMPRESSED))


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberEntry(DescribedEntry):
    """A picture in an archive; `uri` is the archive's path and the member's name."""

    archive: str
    place: int | ZipMember
    """Where its bytes begin in a tar; what the directory of a zip tells of it."""

    @property
    def identity(self) -> str:
        """See `FileEntry.identity`."""
        place = self.place if isinstance(self.place, int) else self.place.identity
        return f"MemberEntry({self._described}, archive={self.archive!r}, place={place})"


@dataclass(frozen=True, slots=True)
class ArchiveSource:
    """An archive, all in a folder, or all that a pattern (`shards/*.tar`, `shards/{00000..00012}.tar`) stands for.

    Members with the same name up to the first dot that lie next to each other are one sample, as WebDataset has it: a
    `.json` beside a picture tells its licence, its attribution and the fields that the recipe passes through.
    """

    label: str
    root: str
    max_bytes: int
    columns: tuple[str, ...] = ()
    """Numeric fields of the side-cars to pass through; None where one has none, or no number."""
    texts: tuple[str, ...] = ()
    """Fields to pass through as text."""
    options: StorageOptions = ()

    def check(self) -> None:
        """Looks whether all archives are there, and as far as the first picture.

        Raises:
            SourceError: one is missing, the first is no archive, or none holds pictures.
        """
        for archive in list(self._archives()):
            members = self._streamed(archive) if self._is_streamed(archive) else self._members(archive)
            if next(iter(members), None) is not None:
                return
        raise SourceError(f"source {self.root}: holds no files to look at")

    def chunks(self, limit: int | None = None) -> Iterator[SourceChunk]:
        """Neighbouring members, cut where a name says so; an archive that is streamed is one unit.

        Raises:
            SourceError: one is missing or no archive.
        """
        left = limit
        for archive in self._archives():
            if self._is_streamed(archive):
                yield self._unit(archive, (archive,), stream_only=True)
                continue
            for name, part in cut_listing(itertools.islice(self._members(archive), left)):
                left = None if left is None else left - len(part)
                yield self._unit(archive, part, stream_only=False, name=name)
            if left == 0:
                return

    def candidates(self, chunk: SourceChunk) -> list[Candidate]:
        """One candidate per member."""
        return [candidate_of(self.label, entry) for entry in chunk.entries if isinstance(entry, MemberEntry)]

    def fetch(self, candidate: Candidate) -> bytes | Failed:
        """Reads one member, found by the candidate's uri alone; of a name that stands twice, the last."""
        folder = _base(self.root, self.options)
        archive = _archive_of(folder, candidate.uri)
        if archive is None:
            return Failed("missing", "no longer at hand: neither its archive nor what was streamed of it")
        try:
            index = _index(folder, archive, folder.version(archive))
            if archive == candidate.uri:
                return index.broken or Failed("missing", "the archive is whole by now")
            with folder.open(archive) as file:
                found = index.find(file, candidate.uri.removeprefix(f"{archive}/"))
                return self._read(file, *found) if found else Failed("missing", f"no longer in {archive}")
        except (NotAZip, BrokenArchive) as error:
            return Failed("damaged", str(error))
        except Exception as error:
            return _unreadable(error, folder)

    def stream(
        self, chunk: SourceChunk, wanted: Callable[[Candidate], bool], deliver: Deliver, context: StreamContext
    ) -> None:
        """Reads an archive from front to back, or the wanted ones among some of its members as they lie.

        Raises:
            SourceError: what was listed by its name turns out to be no archive.
        """
        if chunk.stream_only:
            for entry, found in self._streamed(chunk.entries[0]):
                deliver(candidate_of(self.label, entry), found)
            return
        entries = [entry for entry in chunk.entries if isinstance(entry, MemberEntry)]
        chosen = [
            (entry, one) for entry in sorted(entries, key=_offset) if wanted(one := candidate_of(self.label, entry))
        ]
        folder = _base(self.root, self.options)
        try:
            file = folder.open(entries[0].archive)
        except Exception as error:
            failure = _unreadable(error, folder)
            for _, candidate in chosen:
                deliver(candidate, failure)
            return
        with file:
            for entry, candidate in chosen:
                try:
                    found = self._read(file, entry.place, entry.size)
                except Exception as error:
                    found = _unreadable(error, folder)
                deliver(candidate, found)

    def _archives(self) -> Iterator[FileEntry]:
        """All archives, by the path from the part of the root that they have in common; each once."""
        base, seen = _base(self.root, self.options), set[str]()
        for root in _braced(self.root):
            folder, entries = list_files(root, dict(self.options))
            inside = folder.path("x").removesuffix("x").removeprefix(base.path("x").removesuffix("x"))
            for entry in entries:
                if is_archive(entry.uri) and inside + entry.uri not in seen:
                    seen.add(inside + entry.uri)
                    yield FileEntry(uri=inside + entry.uri, size=entry.size, version=entry.version)

    def _is_streamed(self, archive: FileEntry) -> bool:
        return not is_zip(archive.uri) and (
            archive.uri.lower().endswith(COMPRESSED) or not _base(self.root, self.options).local
        )

    def _unit(
        self, archive: FileEntry, entries: tuple[FileEntry, ...], *, stream_only: bool, name: str = ""
    ) -> SourceChunk:
        slot = candidate_key(self.label, archive.uri, name)
        remote = stream_only or not _base(self.root, self.options).local
        return SourceChunk(
            source=self.label, root=self.root, slot=slot, entries=entries, remote=remote, stream_only=stream_only
        )

    def _members(self, archive: FileEntry) -> Iterator[MemberEntry]:
        """The pictures of an archive; one that cannot be read to its end has a last entry that stands for the rest."""
        folder = _base(self.root, self.options)
        try:
            index = _index(folder, archive.uri, archive.version)
            with folder.open(archive.uri) as file:
                for member, sidecar in iter_members(file, archive.uri, index):
                    yield self._entry(archive, member, sidecar)
        except (NotAZip, BrokenArchive, OSError) as error:
            raise SourceError(f"source {archive.uri}: is no archive that can be read: {one_line(error)}") from error
        if index.broken is not None:
            log.warning("source %s: cannot be read to its end: %s", archive.uri, index.broken.detail)
            yield MemberEntry(uri=archive.uri, size=0, version=archive.version, archive=archive.uri, place=-1)

    def _streamed(self, archive: FileEntry) -> Iterator[tuple[MemberEntry, bytes | Failed]]:
        """The same for an archive that is read as it comes."""
        try:
            with _base(self.root, self.options).open(archive.uri) as file:
                for name, found, sidecar in iter_streamed(file, archive.uri, self.max_bytes):
                    if name is None and isinstance(found, Failed):
                        log.warning("source %s: cannot be read to its end: %s", archive.uri, found.detail)
                    yield self._entry(archive, ArchiveMember(name, 0, 0), sidecar), found
        except (BrokenArchive, OSError) as error:
            raise SourceError(f"source {archive.uri}: is no archive that can be read: {one_line(error)}") from error

    def _entry(self, archive: FileEntry, member: ArchiveMember, sidecar: Sidecar) -> MemberEntry:
        return MemberEntry(
            uri=archive.uri if member.name is None else f"{archive.uri}/{as_text(member.name)}",
            size=member.size,
            version=archive.version,
            archive=archive.uri,
            place=member.place,
            licence=text_of(sidecar, "licence", "license"),
            attribution=text_of(sidecar, "attribution", "author"),
            extra=(
                *((name, number_of(sidecar, name)) for name in self.columns),
                *((name, text_of(sidecar, name)) for name in self.texts),
            ),
        )

    def _read(self, file: IO[bytes], place: int | ZipMember, size: int) -> bytes | Failed:
        if isinstance(place, ZipMember):
            return read_member(file, place, self.max_bytes)
        if size > self.max_bytes:
            return Failed("too_large", f"more than {self.max_bytes:,} bytes")
        file.seek(place)
        encoded = file.read(size)
        return encoded if len(encoded) == size else Failed("truncated", "the archive ends before the picture does")


def _offset(entry: MemberEntry) -> int:
    return entry.place if isinstance(entry.place, int) else entry.place.offset


def _base(root: str, options: StorageOptions) -> Folder:
    """The folder that the uris of a source are relative to: down to where its root first stands for several."""
    found = _BRACES.search(root)
    if found is None or _is_there(root):
        return root_folder(root, options)
    return _folder(root[: found.start()].rpartition("/")[0], options)


def _folder(root: str, options: StorageOptions) -> Folder:
    # A wildcard before the first brace: nothing behind it is common to all.
    parts = itertools.takewhile(lambda part: not has_magic(part), root.split("/"))
    return Folder("/".join(parts) or "/", dict(options))


def _is_there(root: str) -> bool:
    return "://" not in root and os.path.lexists(root)


def _braced(root: str) -> Iterator[str]:
    """`{00000..00012}` in a name, as WebDataset writes it, stands for each of these numbers."""
    found = None if _is_there(root) else _BRACES.search(root)
    if found is None:
        yield root
        return
    first, last = found.groups()
    if int(last) - int(first) >= MOST_NUMBERS:
        raise SourceError(f"source {root}: the braces stand for more than {MOST_NUMBERS:,} archives")
    for number in range(int(first), int(last) + 1):
        yield from _braced(f"{root[: found.start()]}{number:0{len(first)}d}{root[found.end() :]}")


def _archive_of(folder: Folder, uri: str) -> str | None:
    """The archive that a uri begins with: such a name may stand for a folder in it, too."""
    for found in re.finditer(r"\.(?:tar|zip)(?=/|$)", uri, re.IGNORECASE):
        name = uri[: found.end()]
        if folder.exists(name) and not Folder(f"{folder.url}/{name}", folder.options).is_folder:
            return name
    return None


def _index(folder: Folder, archive: str, version: str) -> ArchiveIndex:
    """Made once in a process, until the archive changes.

    Raises:
        NoZip, Broken: it is no archive.
    """
    name = (folder.url, archive, version)
    with _lock:
        if name not in _indexes:
            while len(_indexes) >= MOST_INDEXES:
                _indexes.pop(next(iter(_indexes)))
            with folder.open(archive) as file:
                _indexes[name] = build_index(file, archive)
        return _indexes[name]


def _unreadable(error: Exception, folder: Folder) -> Failed:
    """What a file system says; those of object stores have kinds of errors of their own."""
    if isinstance(error, FileNotFoundError):
        return Failed("missing", "the archive that held it is gone")
    if folder.local and not isinstance(error, OSError):
        raise error
    return Failed("unreadable", one_line(error))
