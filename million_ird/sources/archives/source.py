"""Images in tar files (WebDataset shards among them) and zip files, which are read in place and never unpacked.

A tar on this machine's disks and any zip are listed by their headers, and each image is read at its offset. A tar that
is compressed or on another machine is read once from start to end, because its headers are spread over all of it.
"""

import itertools
import logging
import os
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import IO

from million_ird.candidate import Candidate, Failed, candidate_key
from million_ird.errors import ReadError, SourceError, one_line
from million_ird.runtime.file_names import as_name, as_text
from million_ird.runtime.storage import FileEntry, Folder
from million_ird.sources.archives.index import ArchiveIndex, ArchiveMember, build_index, is_zip, iter_members
from million_ird.sources.archives.roots import base_of, expand_braces, is_single
from million_ird.sources.archives.stream import COMPRESSED, iter_streamed
from million_ird.sources.archives.tars import BrokenArchive
from million_ird.sources.archives.warcs import WARC, is_warc, iter_streamed_warc
from million_ird.sources.archives.zips import NotAZip, ZipMember, read_member
from million_ird.sources.cells import UNREADABLE, failure_in, version_of
from million_ird.sources.containment import OUTSIDE, leads_out, locate
from million_ird.sources.files import StorageOptions, cut_listing
from million_ird.sources.listing import list_files
from million_ird.sources.sidecars import Sidecar, passed_fields, text_of
from million_ird.sources.source import Deliver, DescribedEntry, SourceChunk, StreamContext, candidate_of

log = logging.getLogger(__name__)

PLAIN = (".tar", ".zip")
SUFFIXES = (*PLAIN, *COMPRESSED, *WARC)
"""Ends of the names of archives."""
MAX_INDEXES = 8
_indexes: dict[tuple[str, str, str], ArchiveIndex] = {}
_lock = threading.Lock()


def is_archive(root: str) -> bool:
    """Return whether a file name is that of an archive."""
    return root.lower().endswith(SUFFIXES)


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberEntry(DescribedEntry):
    """An image in an archive; `uri` is the archive's path followed by the member's name."""

    archive: str
    location: int | ZipMember
    """The offset of its bytes in a tar; its directory entry in a zip."""

    @property
    def identity(self) -> str:
        """See `FileEntry.identity`."""
        location = self.location if isinstance(self.location, int) else self.location.identity
        return f"MemberEntry({self._described}, archive={self.archive!r}, place={location})"


@dataclass(frozen=True, slots=True)
class ArchiveSource:
    """An archive, all archives of a folder, or those of a pattern (`shards/*.tar`, `shards/{00000..00012}.tar`).

    Neighbouring members with the same name up to the first dot are one sample, as in WebDataset: a `.json` sidecar in
    it declares licence, attribution and the fields that the recipe passes through.
    """

    label: str
    root: str
    max_bytes: int
    columns: tuple[str, ...] = ()
    """Numeric fields of the sidecars to pass through; None where a field is missing or not a number."""
    texts: tuple[str, ...] = ()
    """Text fields of the sidecars to pass through."""
    options: StorageOptions = ()
    follow_links: bool = False
    """Whether an archive may be a link that leads out of the folder or pattern; otherwise it is a failed candidate."""
    excluded: Folder | None = None
    """A folder to leave out: the build's own output."""
    suffixes: tuple[str, ...] = SUFFIXES
    """Of a folder or pattern, the ends of the names that count as archives."""

    def check(self) -> None:
        """Check that all archives exist, and read as far as the first image.

        Raises:
            SourceError: an archive is missing, the first cannot be read, or none holds images.
        """
        for archive in list(self._archives()):
            members = self._streamed(archive) if self._is_streamed(archive) else self._members(archive)
            if next(iter(members), None) is not None:
                return
        raise SourceError(f"source {self.root}: holds no files that may be images")

    def chunks(self, limit: int | None = None) -> Iterator[SourceChunk]:
        """Yield neighbouring members, cut where a name hashes to a boundary; a streamed archive is one chunk.

        Raises:
            SourceError: an archive is missing or cannot be read.
        """
        remaining = limit
        for archive in self._archives():
            if self._is_streamed(archive):
                yield self._chunk(archive, (archive,), stream_only=True)
                continue
            for name, part in cut_listing(itertools.islice(self._members(archive), remaining)):
                remaining = None if remaining is None else remaining - len(part)
                yield self._chunk(archive, part, stream_only=False, name=name)
            if remaining == 0:
                return

    def candidates(self, chunk: SourceChunk) -> list[Candidate]:
        """Return one candidate per member."""
        return [candidate_of(self.label, entry) for entry in chunk.entries if isinstance(entry, MemberEntry)]

    def fetch(self, candidate: Candidate) -> bytes | Failed:
        """Read one member, found by the candidate's uri alone; of a name that is used twice, the last."""
        failed = failure_in(candidate.version)
        if failed is not None:
            return failed
        folder = base_of(self.root, self.options)
        archive = _archive_of(folder, candidate.uri)
        if archive is None and self._is_refused(folder, candidate.uri):
            return Failed(OUTSIDE, "is a link that leads out of its source")
        if archive is None:
            return Failed("missing", "no longer at hand: neither its archive nor what was streamed of it")
        try:
            locate(folder, archive, follow_links=self._follows, listed=True)
            index = _index(folder, archive, folder.version(archive))
            if archive == candidate.uri:
                return index.broken or Failed("missing", "the archive is whole by now")
            with folder.open(archive) as file:
                position = index.find(file, candidate.uri.removeprefix(f"{archive}/"))
                return self._read(file, *position) if position else Failed("missing", f"no longer in {archive}")
        except ReadError as error:
            return Failed(error.failure_class, error.detail)
        except (NotAZip, BrokenArchive) as error:
            return Failed("damaged", str(error))
        except Exception as error:
            return _unreadable(error, folder)

    def stream(
        self, chunk: SourceChunk, wanted: Callable[[Candidate], bool], deliver: Deliver, context: StreamContext
    ) -> None:
        """Read an archive from start to end, or the wanted ones of its members in the order of their offsets.

        Raises:
            SourceError: a file that is named like an archive is not one.
        """
        if chunk.stream_only:
            for entry, content in self._streamed(chunk.entries[0]):
                deliver(candidate_of(self.label, entry), failure_in(entry.version) or content)
            return
        entries = [entry for entry in chunk.entries if isinstance(entry, MemberEntry)]
        chosen = [
            (entry, candidate)
            for entry in sorted(entries, key=_offset)
            if wanted(candidate := candidate_of(self.label, entry))
        ]
        folder = base_of(self.root, self.options)
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
                    content = failure_in(entry.version) or self._read(file, entry.location, entry.size)
                except Exception as error:
                    content = _unreadable(error, folder)
                deliver(candidate, content)

    def _archives(self) -> Iterator[FileEntry]:
        """Yield each archive once, with its path relative to the part of the root that all archives share."""
        base, seen = base_of(self.root, self.options), set[str]()
        for root in expand_braces(self.root):
            folder, entries = list_files(
                root, dict(self.options), follow_links=self.follow_links, excluded=self.excluded
            )
            inside = folder.path("x").removesuffix("x").removeprefix(base.path("x").removesuffix("x"))
            for entry in entries:
                refused = entry.version == OUTSIDE and os.path.isdir(folder.real_path(entry.uri))
                listed = entry.uri.lower().endswith(self.suffixes) or refused or failure_in(entry.version) is not None
                if listed and inside + entry.uri not in seen:
                    seen.add(inside + entry.uri)
                    yield FileEntry(uri=inside + entry.uri, size=entry.size, version=entry.version)

    def _is_refused(self, folder: Folder, uri: str) -> bool:
        linked = not self._follows and folder.local and os.path.islink(folder.real_path(uri))
        return linked and leads_out(folder, as_name(uri))

    @property
    def _follows(self) -> bool:
        """Whether an archive may be a link to anywhere: always if the user names it, not just its folder."""
        return self.follow_links or is_single(self.root, self.options)

    def _is_streamed(self, archive: FileEntry) -> bool:
        return (
            archive.version != OUTSIDE
            and failure_in(archive.version) is None
            and not is_zip(archive.uri)
            and (archive.uri.lower().endswith((*COMPRESSED, *WARC)) or not base_of(self.root, self.options).local)
        )

    def _chunk(
        self, archive: FileEntry, entries: tuple[FileEntry, ...], *, stream_only: bool, name: str = ""
    ) -> SourceChunk:
        slot = candidate_key(self.label, archive.uri, name)
        remote = stream_only or not base_of(self.root, self.options).local
        return SourceChunk(
            source=self.label, root=self.root, slot=slot, entries=entries, remote=remote, stream_only=stream_only
        )

    def _members(self, archive: FileEntry) -> Iterator[MemberEntry]:
        """Yield the images of an archive; if it cannot be read to its end, a last entry stands for the rest."""
        folder = base_of(self.root, self.options)
        if archive.version == OUTSIDE or failure_in(archive.version) is not None:
            yield MemberEntry(uri=archive.uri, size=0, version=archive.version, archive=archive.uri, location=-1)
            return
        try:
            index = _index(folder, archive.uri, archive.version)
            with folder.open(archive.uri) as file:
                for member, sidecar in iter_members(file, archive.uri, index):
                    yield self._entry(archive, member, sidecar)
        except (NotAZip, BrokenArchive, OSError) as error:
            yield MemberEntry(
                uri=archive.uri,
                size=0,
                version=version_of(self._damaged(archive, error)),
                archive=archive.uri,
                location=-1,
            )
            return
        if index.broken is not None:
            log.warning("source %s: cannot be read to its end: %s", archive.uri, index.broken.detail)
            yield MemberEntry(uri=archive.uri, size=0, version=archive.version, archive=archive.uri, location=-1)

    def _streamed(self, archive: FileEntry) -> Iterator[tuple[MemberEntry, bytes | Failed]]:
        """Yield the same with their contents, for an archive that is read from start to end."""
        try:
            with base_of(self.root, self.options).open(archive.uri) as file:
                read = iter_streamed_warc if is_warc(archive.uri) else iter_streamed
                for name, content, sidecar in read(file, archive.uri, self.max_bytes):
                    if name is None and isinstance(content, Failed):
                        log.warning("source %s: cannot be read to its end: %s", archive.uri, content.detail)
                    yield self._entry(archive, ArchiveMember(name, 0, 0), sidecar), content
        except (BrokenArchive, OSError) as error:
            yield self._entry(archive, ArchiveMember(None, 0, 0), {}), self._damaged(archive, error)

    def _damaged(self, archive: FileEntry, error: Exception) -> Failed:
        """Return the failure of an archive, one of several, that cannot be read.

        Raises:
            SourceError: the user named just this one.
        """
        reason = f"is not a readable archive: {one_line(error)}"
        if is_single(self.root, self.options) and next(expand_braces(self.root)) == self.root:
            raise SourceError(f"source {archive.uri}: {reason}") from error
        log.warning("source %s: %s", archive.uri, reason)
        return Failed(UNREADABLE, reason)

    def _entry(self, archive: FileEntry, member: ArchiveMember, sidecar: Sidecar | ReadError) -> MemberEntry:
        """Return a member with what its sidecar declares; a failed one if that cannot be read."""
        entry = MemberEntry(
            uri=archive.uri if member.name is None else f"{archive.uri}/{as_text(member.name)}",
            size=member.size,
            version=archive.version,
            archive=archive.uri,
            location=member.location,
        )
        try:
            if isinstance(sidecar, ReadError):
                raise sidecar
            return replace(
                entry,
                licence=text_of(sidecar, "licence", "license"),
                attribution=text_of(sidecar, "attribution", "author"),
                extra=passed_fields(sidecar, self.columns, self.texts),
            )
        except ReadError as error:
            return replace(entry, version=version_of(Failed(error.failure_class, as_text(error.detail))))

    def _read(self, file: IO[bytes], location: int | ZipMember, size: int) -> bytes | Failed:
        if isinstance(location, ZipMember):
            return read_member(file, location, self.max_bytes)
        if size > self.max_bytes:
            return Failed("too_large", f"more than {self.max_bytes:,} bytes")
        file.seek(location)
        encoded = file.read(size)
        return encoded if len(encoded) == size else Failed("truncated", "the archive ends before the picture does")


def _offset(entry: MemberEntry) -> int:
    return entry.location if isinstance(entry.location, int) else entry.location.offset


def _archive_of(folder: Folder, uri: str) -> str | None:
    """Return the archive that a uri begins with; folders inside an archive may be named like archives, too."""
    for suffix in re.finditer(r"\.(?:tar|zip)(?=/|$)", uri, re.IGNORECASE):
        name = uri[: suffix.end()]
        if folder.exists(name) and not folder.fs.isdir(folder.real_path(name)):
            return name
    return None


def _index(folder: Folder, archive: str, version: str) -> ArchiveIndex:
    """Return an archive's index; each process builds it once, until the archive changes.

    Raises:
        NotAZip: a zip cannot be read.
        BrokenArchive: a tar cannot be read.
    """
    key = (folder.url, archive, version)
    with _lock:
        if key not in _indexes:
            while len(_indexes) >= MAX_INDEXES:
                _indexes.pop(next(iter(_indexes)))
            with folder.open(archive) as file:
                _indexes[key] = build_index(file, archive)
        return _indexes[key]


def _unreadable(error: Exception, folder: Folder) -> Failed:
    """Return the failure for an error of a file system; clients of object stores raise error types of their own."""
    if isinstance(error, FileNotFoundError):
        return Failed("missing", "the archive that held it is gone")
    if folder.local and not isinstance(error, OSError):
        raise error
    return Failed("unreadable", one_line(error))
