"""Local and remote files: a folder with all that is below it, or a single file, by any fsspec URL."""

import functools
import hashlib
import itertools
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TypeAlias, TypeVar

from million_ird.candidate import Candidate, Failed, candidate_key
from million_ird.errors import SourceError, one_line
from million_ird.runtime.storage import FileEntry, Folder
from million_ird.sources.listing import list_files
from million_ird.sources.source import Deliver, SourceChunk, StreamContext

log = logging.getLogger(__name__)

StorageOptions: TypeAlias = tuple[tuple[str, object], ...]
"""Storage options as pairs."""
Entry = TypeVar("Entry", bound=FileEntry)
MOST_READERS = 32
_folders: dict[tuple[str, str], Folder] = {}
UNIT_SIZE = 32
"""Files in a unit on average; a power of two."""
LARGEST_UNIT = 4 * UNIT_SIZE
SIDECAR_SUFFIXES = frozenset(
    f".{suffix}"
    for suffix in (
        *("csv", "tsv", "json", "jsonl", "parquet", "txt", "md", "html", "xml", "yaml", "yml", "ini"),
        *("db", "lock", "log", "npy", "npz", "pkl", "py"),
    )
)
"""Suffixes of files that lie beside pictures and are none: no candidates, only counted."""


@dataclass(frozen=True, slots=True)
class FilesSource:
    """A folder (hidden files aside, all files below it are candidates, whatever their names say), a pattern or a file.

    Files on this machine's disks are read where they are, those elsewhere are streamed.
    """

    label: str
    root: str
    max_bytes: int
    excluded: str | None = None
    """A folder that is not looked into: the build's own output."""
    options: StorageOptions = ()
    """For the file system: endpoint, credentials, …"""

    def check(self) -> None:
        """Looks for a first file.

        Raises:
            SourceError: nothing is there, or it cannot be listed.
        """
        next(self._entries())

    def chunks(self, limit: int | None = None) -> Iterator[SourceChunk]:
        """Cuts the sorted listing where a file's name hashes to a multiple of `UNIT_SIZE`.

        A file that is added or removed therefore changes the unit that it is in and no other.

        Raises:
            SourceError: nothing is there, or it cannot be listed.
        """
        remote = not root_folder(self.root, self.options).local
        for name, part in cut_listing(itertools.islice(self._entries(), limit)):
            slot = candidate_key(self.label, name)
            yield SourceChunk(source=self.label, root=self.root, slot=slot, entries=part, remote=remote)

    def candidates(self, chunk: SourceChunk) -> list[Candidate]:
        """One candidate per file."""
        return [
            Candidate(
                key=candidate_key(self.label, entry.uri),
                source=self.label,
                uri=entry.uri,
                version=entry.version,
            )
            for entry in chunk.entries
        ]

    def stream(
        self, chunk: SourceChunk, wanted: Callable[[Candidate], bool], deliver: Deliver, context: StreamContext
    ) -> None:
        """Reads the files of a unit, several at a time."""
        reads = [(candidate, functools.partial(self.fetch, candidate)) for candidate in self.candidates(chunk)]
        read_each(reads, wanted, deliver, context)

    def fetch(self, candidate: Candidate) -> bytes | Failed:
        """Reads the file, unless it is over `max_bytes`."""
        folder = root_folder(self.root, self.options)
        try:
            encoded = folder.read(candidate.uri, at_most=self.max_bytes + 1)
            if len(encoded) > self.max_bytes:
                return Failed("too_large", f"more than {self.max_bytes:,} bytes")
            return encoded
        except FileNotFoundError:
            return Failed("missing", "listed, but gone when it was read")
        except PermissionError:
            return Failed("unreadable", "no permission to read it")
        except OSError as error:
            return Failed("unreadable", error.strerror or str(error))
        except Exception as error:
            if folder.local:
                raise
            return Failed("unreadable", one_line(error, 200))  # an object store's own kinds of error

    def _entries(self) -> Iterator[FileEntry]:
        folder, entries = list_files(self.root, dict(self.options))
        inside = _below(folder.root, self.excluded)
        passed_over = found = 0
        for entry in entries:
            if inside is not None and f"{entry.uri}/".startswith(inside):
                continue
            if PurePosixPath(entry.uri).suffix.lower() in SIDECAR_SUFFIXES:
                passed_over += 1
                continue
            found += 1
            yield entry
        if passed_over:
            log.info("source %s: %d side-car files (%s, …) are no candidates", self.label, passed_over, ".txt, .json")
        if not found:
            raise SourceError(f"source {self.root}: holds no files to look at")


def read_each(
    reads: Sequence[tuple[Candidate, Callable[[], bytes | Failed]]],
    wanted: Callable[[Candidate], bool],
    deliver: Deliver,
    context: StreamContext,
) -> None:
    """Reads the wanted ones, several at a time, and delivers each; few are in memory at once."""
    left = (read for read in reads if wanted(read[0]))
    readers = min(MOST_READERS, context.concurrency)
    with ThreadPoolExecutor(readers) as pool:
        while batch := list(itertools.islice(left, readers)):
            for (candidate, _), found in zip(batch, pool.map(lambda read: read[1](), batch), strict=True):
                deliver(candidate, found)


def root_folder(root: str, options: StorageOptions = ()) -> Folder:
    """The folder that a source's uris are relative to: the root itself, or a file's or pattern's parent."""
    name = (root, repr(options))
    if name not in _folders:
        while len(_folders) >= 64:
            _folders.pop(next(iter(_folders)))
        _folders[name], _ = list_files(root, dict(options))
    return _folders[name]


def cut_listing(entries: Iterable[Entry]) -> Iterator[tuple[str, tuple[Entry, ...]]]:
    """Cuts a listing before the entries whose names say so, and where a part would grow too large.

    Each part comes with its name: that of the entry that it begins with, none for the first unless it is a boundary.
    So an entry that is added or removed changes the part that it is in and no other.
    """
    part: list[Entry] = []
    name = ""
    for entry in entries:
        boundary = _is_boundary(entry.uri)
        if part and (boundary or len(part) >= LARGEST_UNIT):
            yield name, tuple(part)
            part, name = [], entry.uri
        elif boundary and not part:
            name = entry.uri
        part.append(entry)
    if part:
        yield name, tuple(part)


def _is_boundary(uri: str) -> bool:
    return hashlib.blake2b(uri.encode(), digest_size=2).digest()[-1] % UNIT_SIZE == 0


def _below(root: str, excluded: str | None) -> str | None:
    """The uris of what lies in `excluded` begin so; None where it lies elsewhere."""
    prefix = root.rstrip("/") + "/"
    if excluded is None or not f"{excluded}/".startswith(prefix):
        return None
    return excluded.removeprefix(prefix) + "/"
