"""Pictures in tar files (WebDataset shards among them) and zip files, read where they lie: nothing is unpacked.

Members with the same name up to the first dot are one sample, as WebDataset has it: a `.json` beside a picture gives
its licence, its attribution and the columns that the recipe passes through. A plain tar and a zip are listed by their
headers, and each picture is read at its place; a compressed tar can only be read from front to back, and is streamed.
"""

import bz2
import functools
import gzip
import itertools
import json
import logging
import lzma
import re
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import IO, Any, cast

import pyarrow as pa

from million_ird.errors import SourceError
from million_ird.ingest import Deliver, Journey, Unit
from million_ird.ingest.files import LARGEST_UNIT, SIDECARS, Options, is_boundary, list_root
from million_ird.record import Candidate, Failed, candidate_key
from million_ird.storage import FileEntry, as_text, list_files

log = logging.getLogger(__name__)

PLAIN = (".tar", ".zip")
COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")
LONGEST_HEADER = 1 << 20
"""Bytes of a name or a pax header; a tar that wants more is not read further."""
LONGEST_SIDECAR = 1 << 20
_BROKEN = (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, pa.ArrowException)
_Extra = tuple[tuple[str, float | str | None], ...]


def is_archive(root: str) -> bool:
    """Whether a source is taken as an archive: by its name."""
    return root.lower().endswith((*PLAIN, *COMPRESSED))


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberEntry(FileEntry):
    """A picture in an archive; `uri` is the archive's path and the member's name."""

    member: str
    offset: int
    """In a tar, where its bytes begin; in a zip, where its header does."""
    licence: str | None = None
    attribution: str | None = None
    extra: _Extra = ()


@dataclass(frozen=True, slots=True)
class ArchiveSource:
    """An archive, or all that a pattern (`shards/*.tar`, `shards/{00000..00012}.tar`) matches."""

    label: str
    root: str
    max_bytes: int
    columns: tuple[str, ...] = ()
    """Numeric fields of the side-cars to pass through."""
    texts: tuple[str, ...] = ()
    """Fields to pass through as text."""
    options: Options = ()

    def check(self) -> None:
        """Lists as far as the first picture of a plain archive.

        Raises:
            SourceError: one is missing or no archive, or holds no pictures.
        """
        for archive in self._archives():
            if _is_compressed(archive.uri) or next(self._members(archive), None) is not None:
                return
        raise SourceError(f"source {self.root}: holds no files to look at")

    def units(self, limit: int | None = None) -> Iterator[Unit]:
        """Neighbouring members, cut where a name says so; a compressed archive is one unit."""
        left = limit
        for archive in self._archives():
            if _is_compressed(archive.uri):
                yield self._unit(archive, (archive,), opaque=True)
                continue
            for chunk in _chunks(itertools.islice(self._members(archive), left)):
                left = None if left is None else left - len(chunk)
                yield self._unit(archive, tuple(chunk), opaque=False)
            if left == 0:
                return

    def candidates(self, unit: Unit) -> list[Candidate]:
        """One candidate per member."""
        return [self._candidate(entry) for entry in unit.entries if isinstance(entry, MemberEntry)]

    def fetch(self, candidate: Candidate) -> bytes | Failed:
        """Reads one member."""
        archive = self._archive_of(candidate.uri)
        if archive is None:
            return Failed("missing", "the archive that held it is gone")
        place = _places(self, archive).get(candidate.uri.removeprefix(f"{archive}/"))
        if place is None:
            return Failed("missing", f"no longer in {archive}")
        return self._read(archive, *place)

    def stream(self, unit: Unit, wanted: Callable[[Candidate], bool], deliver: Deliver, journey: Journey) -> None:
        """Reads the members in the order in which they lie."""
        if unit.opaque:
            self._stream_compressed(unit.entries[0], deliver)
            return
        entries = [entry for entry in unit.entries if isinstance(entry, MemberEntry)]
        for entry in sorted(entries, key=lambda entry: entry.offset):
            candidate = self._candidate(entry)
            if wanted(candidate):
                archive = entry.uri.removesuffix(f"/{as_text(entry.member)}")
                deliver(candidate, self._read(archive, entry.member, entry.offset, entry.size))

    def _archives(self) -> Iterator[FileEntry]:
        for root in _braced(self.root):
            _, entries = list_files(root, dict(self.options))
            yield from (entry for entry in entries if is_archive(entry.uri))

    def _unit(self, archive: FileEntry, entries: tuple[FileEntry, ...], *, opaque: bool) -> Unit:
        remote = opaque or not list_root(_braced(self.root)[0], self.options).local
        slot = candidate_key(self.label, archive.uri, entries[0].uri)
        return Unit(source=self.label, root=self.root, slot=slot, entries=entries, remote=remote, opaque=opaque)

    def _candidate(self, entry: MemberEntry) -> Candidate:
        return Candidate(
            key=candidate_key(self.label, entry.uri),
            source=self.label,
            uri=entry.uri,
            version=entry.version,
            licence=entry.licence,
            attribution=entry.attribution,
            extra=dict(entry.extra),
        )

    def _open(self, archive: str) -> IO[bytes]:
        return list_root(_braced(self.root)[0], self.options).open(archive)

    def _archive_of(self, uri: str) -> str | None:
        """The archive that a uri begins with: its name may stand for a folder in it, too."""
        folder = list_root(_braced(self.root)[0], self.options)
        for found in re.finditer(r"\.(?:tar|zip)/", uri, re.IGNORECASE):
            if folder.exists(uri[: found.end() - 1]):
                return uri[: found.end() - 1]
        return None

    def _members(self, archive: FileEntry) -> Iterator[MemberEntry]:
        """The pictures of a plain archive, in the order in which they lie; of a name that stands twice, the last."""
        try:
            with self._open(archive.uri) as file:
                found = _zip_members(file) if archive.uri.lower().endswith(".zip") else _tar_members(file)
                last: dict[str, MemberEntry] = {}
                for member, offset, size, sidecar in _samples(found):
                    uri = f"{archive.uri}/{as_text(member)}"
                    told = self._told(sidecar)
                    last.pop(uri, None)
                    last[uri] = MemberEntry(
                        uri=uri, size=size, version=archive.version, member=member, offset=offset, **told
                    )
        except _BROKEN as error:
            raise SourceError(f"source {archive.uri}: is no archive that can be read: {_short(error)}") from error
        yield from last.values()

    def _told(self, sidecar: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "licence": _text(sidecar, "licence", "license"),
            "attribution": _text(sidecar, "attribution", "author"),
            "extra": (
                *((name, _number(sidecar.get(name))) for name in self.columns),
                *((name, _text(sidecar, name)) for name in self.texts),
            ),
        }

    def _read(self, archive: str, member: str, offset: int, size: int) -> bytes | Failed:
        if size > self.max_bytes:
            return Failed("too_large", f"more than {self.max_bytes:,} bytes")
        try:
            if archive.lower().endswith(".zip"):
                return self._read_zipped(archive, member, size)
            with self._open(archive) as file:
                file.seek(offset)
                encoded = file.read(size)
        except FileNotFoundError:
            return Failed("missing", "the archive that held it is gone")
        except RuntimeError as error:  # how zipfile says that it has no password
            return Failed("encrypted", _short(error))
        except (*_BROKEN, NotImplementedError) as error:
            return Failed("damaged", _short(error))
        return encoded if len(encoded) == size else Failed("truncated", "the archive ends before the picture does")

    def _read_zipped(self, archive: str, member: str, size: int) -> bytes | Failed:
        with _opened_zip(self, archive).open(member) as file:
            encoded = file.read(size + 1)  # never more than its header says, which is within the limit
        return encoded if len(encoded) == size else Failed("damaged", "holds more than its header says")

    def _stream_compressed(self, archive: FileEntry, deliver: Deliver) -> None:
        try:
            with self._open(archive.uri) as file:
                plain = _decompressed(file, archive.uri)
                for member, picture, sidecar in _streamed(plain, self.max_bytes):
                    entry = MemberEntry(
                        uri=f"{archive.uri}/{as_text(member)}",
                        size=0,
                        version=archive.version,
                        member=member,
                        offset=0,
                        **self._told(sidecar),
                    )
                    deliver(self._candidate(entry), picture)
        except _BROKEN as error:
            # What came before is delivered; the rest is a failure of the archive itself.
            entry = MemberEntry(uri=archive.uri, size=0, version=archive.version, member="", offset=0)
            deliver(self._candidate(entry), Failed("truncated", f"the archive cannot be read further: {_short(error)}"))


class _Header(tarfile.TarInfo):
    """Refuses names and headers of a size that nobody needs: tarfile would read them whole."""

    def _proc_gnulong(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
        return cast(tarfile.TarInfo, self._within(archive, "_proc_gnulong"))

    def _proc_pax(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
        return cast(tarfile.TarInfo, self._within(archive, "_proc_pax"))

    def _within(self, archive: tarfile.TarFile, method: str) -> object:
        if self.size > LONGEST_HEADER:
            raise tarfile.ReadError(f"a header of {self.size:,} bytes")
        return getattr(super(), method)(archive)


_Member = tuple[str, int, int, Callable[[], bytes]]
"""Name, offset, size, and how to read it."""


def _tar_members(file: IO[bytes]) -> Iterator[_Member]:
    with tarfile.open(fileobj=file, mode="r:", tarinfo=_Header) as archive:
        for member in _sound(archive):
            yield member.name, member.offset_data, member.size, functools.partial(_at, file, member)


def _sound(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """The regular files of a tar as far as it can be read; it forgets those that it has told of."""
    found = False
    while True:
        try:
            member = archive.next()
        except tarfile.ReadError as error:
            if not found:
                raise
            log.warning("%s: cannot be read to its end: %s", archive.name, error)
            return
        if member is None:
            return
        found = True
        archive.members = []  # type: ignore[attr-defined]
        if member.isreg() and not member.issparse():
            yield member


def _at(file: IO[bytes], member: tarfile.TarInfo) -> bytes:
    here = file.tell()
    file.seek(member.offset_data)
    content = file.read(min(member.size, LONGEST_SIDECAR))
    file.seek(here)
    return content


def _zip_members(file: IO[bytes]) -> Iterator[_Member]:
    with zipfile.ZipFile(file) as archive:
        for member in archive.infolist():
            if not member.is_dir():
                yield (
                    member.filename,
                    member.header_offset,
                    member.file_size,
                    functools.partial(_beginning, archive, member),
                )


def _beginning(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    with archive.open(member) as file:
        return file.read(LONGEST_SIDECAR)


def _samples(members: Iterator[_Member]) -> Iterator[tuple[str, int, int, Mapping[str, Any]]]:
    """The pictures of each sample with what its `.json` says; hidden members are passed over."""
    for _, group in itertools.groupby(members, key=lambda member: _stem(member[0])):
        pictures: list[_Member] = []
        sidecar: Mapping[str, Any] = {}
        for member in group:
            name, _, size, read = member
            if _suffix(name) == ".json" and size <= LONGEST_SIDECAR:
                sidecar = _parsed(read())
            elif _is_picture(name):
                pictures.append(member)
        yield from ((name, offset, size, sidecar) for name, offset, size, _ in pictures)


def _streamed(file: IO[bytes], max_bytes: int) -> Iterator[tuple[str, bytes | Failed, Mapping[str, Any]]]:
    """The same from front to back; one sample is in memory at a time."""
    with tarfile.open(fileobj=file, mode="r|", tarinfo=_Header) as archive:
        members = iter(archive.next, None)
        for _, group in itertools.groupby(members, key=lambda member: _stem(member.name)):
            pictures: list[tuple[str, bytes | Failed]] = []
            sidecar: Mapping[str, Any] = {}
            for member in group:
                archive.members = []  # type: ignore[attr-defined]
                if not member.isreg() or member.issparse():
                    continue
                if _suffix(member.name) == ".json" and member.size <= LONGEST_SIDECAR:
                    sidecar = _parsed(_content(archive, member))
                elif _is_picture(member.name):
                    large = member.size > max_bytes
                    failure = Failed("too_large", f"more than {max_bytes:,} bytes")
                    pictures.append((member.name, failure if large else _content(archive, member)))
            yield from ((name, picture, sidecar) for name, picture in pictures)


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(member)
    assert file is not None
    return file.read()


def _decompressed(file: IO[bytes], name: str) -> IO[bytes]:
    small = name.lower()
    if small.endswith(".zst"):
        return cast(IO[bytes], pa.CompressedInputStream(pa.PythonFile(file), "zstd"))
    if small.endswith(".xz"):
        return cast(IO[bytes], lzma.open(file))
    return cast(IO[bytes], bz2.open(file) if small.endswith(".bz2") else gzip.open(file))


def _chunks(members: Iterator[MemberEntry]) -> Iterator[list[MemberEntry]]:
    chunk: list[MemberEntry] = []
    for entry in members:
        if chunk and (is_boundary(entry.uri) or len(chunk) >= LARGEST_UNIT):
            yield chunk
            chunk = []
        chunk.append(entry)
    if chunk:
        yield chunk


def _braced(root: str) -> list[str]:
    """`{00000..00012}` in a name, as WebDataset writes it, stands for each of these numbers."""
    found = re.search(r"\{(\d+)\.\.(\d+)\}", root)
    if found is None:
        return [root]
    first, last = found.groups()
    numbers = [f"{number:0{len(first)}d}" for number in range(int(first), int(last) + 1)]
    return [part for number in numbers for part in _braced(root[: found.start()] + number + root[found.end() :])]


_cache: dict[tuple[str, str, str], Any] = {}


def _remembered(kind: str, source: ArchiveSource, archive: str, make: Callable[[], Any]) -> Any:
    """Kept for the next member: an archive is listed and opened once in a process, until it changes."""
    version = list_root(_braced(source.root)[0], source.options).version(archive)
    name = (kind, f"{source.root} {archive}", version)
    if name not in _cache:
        while len(_cache) >= 8:
            _cache.pop(next(iter(_cache)))
        _cache[name] = make()
    return _cache[name]


def _places(source: ArchiveSource, archive: str) -> Mapping[str, tuple[str, int, int]]:
    def make() -> dict[str, tuple[str, int, int]]:
        members = source._members(FileEntry(uri=archive, size=0, version=""))
        return {as_text(entry.member): (entry.member, entry.offset, entry.size) for entry in members}

    return cast(Mapping[str, tuple[str, int, int]], _remembered("places", source, archive, make))


def _opened_zip(source: ArchiveSource, archive: str) -> zipfile.ZipFile:
    def make() -> zipfile.ZipFile:
        return zipfile.ZipFile(source._open(archive))

    return cast(zipfile.ZipFile, _remembered("zip", source, archive, make))


def _is_picture(name: str) -> bool:
    parts = PurePosixPath(name).parts
    hidden = any(part.startswith(".") and part not in {".", ".."} for part in parts) or "__MACOSX" in parts
    return not hidden and _suffix(name) not in SIDECARS | {".cls"}


def _suffix(name: str) -> str:
    return PurePosixPath(name).suffix.lower()


def _stem(name: str) -> str:
    folder, _, last = name.rpartition("/")
    return f"{folder}/{last.split('.', 1)[0]}" if not last.startswith(".") else name


def _parsed(content: bytes) -> Mapping[str, Any]:
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _text(sidecar: Mapping[str, Any], *names: str) -> str | None:
    return next((str(sidecar[name]) for name in names if sidecar.get(name) not in (None, "")), None)


def _number(value: object) -> float | None:
    try:
        return None if value is None or value == "" else float(str(value))
    except ValueError:
        return None


def _short(error: BaseException) -> str:
    return " ".join(str(error).split())[:160] or type(error).__name__


def _is_compressed(name: str) -> bool:
    return name.lower().endswith(COMPRESSED)
