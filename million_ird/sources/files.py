"""Local and remote files: a folder with everything below it, a pattern, or a single file, by any fsspec URL."""

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
from million_ird.errors import ReadError, SourceError, one_line
from million_ird.runtime.storage import FileEntry, Folder
from million_ird.sources import hints
from million_ird.sources.cells import failure_in
from million_ird.sources.containment import locate
from million_ird.sources.listing import has_magic, list_files
from million_ird.sources.source import Deliver, SourceChunk, StreamContext

log = logging.getLogger(__name__)

StorageOptions: TypeAlias = tuple[tuple[str, object], ...]
"""Options of a file system (endpoint, credentials, …) as pairs."""
Entry = TypeVar("Entry", bound=FileEntry)
_HINT_FILES = 10_000
"""Files that are looked at to tell what a source without images is."""
MAX_READERS = 32
"""Threads that read files at once."""
_folders: dict[tuple[str, str], Folder] = {}
CHUNK_SIZE = 32
"""Average number of files in a chunk; a power of two."""
MAX_CHUNK_SIZE = 4 * CHUNK_SIZE
SIDECAR_SUFFIXES = frozenset(
    f".{suffix}"
    for suffix in (
        *("csv", "tsv", "json", "jsonl", "parquet", "txt", "md", "html", "xml", "yaml", "yml", "ini"),
        *("db", "lock", "log", "npy", "npz", "pkl", "py"),
    )
)
"""Suffixes of files that accompany images: they are counted, but are not candidates."""


@dataclass(frozen=True, slots=True)
class FilesSource:
    """A folder, a pattern or a file. All files below a folder are candidates except hidden files and sidecars.

    Files on this machine's disks are read in place; others are streamed.
    """

    label: str
    root: str
    max_bytes: int
    excluded: Folder | None = None
    """A folder to leave out: the build's own output."""
    options: StorageOptions = ()
    follow_links: bool = False
    """Whether a link in the folder may lead out of it; otherwise it is a failed candidate (`outside_source`)."""

    def check(self) -> None:
        """Look for a first file.

        Raises:
            SourceError: nothing is there, or it cannot be listed.
        """
        next(self._entries())

    def chunks(self, limit: int | None = None) -> Iterator[SourceChunk]:
        """Yield the sorted listing, cut where a file's name hashes to a multiple of `CHUNK_SIZE`.

        So a file that is added or removed changes its own chunk and no other.

        Raises:
            SourceError: nothing is there, or it cannot be listed.
        """
        remote = not root_folder(self.root, self.options).local
        for name, part in cut_listing(itertools.islice(self._entries(), limit)):
            slot = candidate_key(self.label, name)
            yield SourceChunk(source=self.label, root=self.root, slot=slot, entries=part, remote=remote)

    def candidates(self, chunk: SourceChunk) -> list[Candidate]:
        """Return one candidate per file."""
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
        """Read the files of a chunk, several at a time."""
        reads = [(candidate, functools.partial(self.fetch, candidate)) for candidate in self.candidates(chunk)]
        read_each(reads, wanted, deliver, context)

    def fetch(self, candidate: Candidate) -> bytes | Failed:
        """Read the file, unless it is larger than `max_bytes` or outside the source."""
        failed = failure_in(candidate.version)
        if failed is not None:
            return failed
        folder = root_folder(self.root, self.options)
        named = folder.real_path(candidate.uri) == Folder(self.root, dict(self.options)).root
        follow_links = self.follow_links or named  # a single file that the user names may be a link to anywhere
        return read_file(folder, candidate.uri, self.max_bytes, follow_links=follow_links)

    def _entries(self) -> Iterator[FileEntry]:
        folder, entries = list_files(
            self.root, dict(self.options), follow_links=self.follow_links, excluded=self.excluded
        )
        n_sidecars = n_files = 0
        others: list[str] = []
        for entry in entries:
            if PurePosixPath(entry.uri).suffix.lower() in SIDECAR_SUFFIXES and failure_in(entry.version) is None:
                n_sidecars += 1
                if len(others) < _HINT_FILES:
                    others.append(entry.uri)
                continue
            n_files += 1
            yield entry
        if n_sidecars:
            files = "1 sidecar file" if n_sidecars == 1 else f"{n_sidecars:,} sidecar files"
            log.info("source %s: %s (.txt, .json, …) left out", self.label, files)
        if not n_files:
            hint = hints.for_folder(folder, others, named_file=folder.url != self.root and not has_magic(self.root))
            raise SourceError(f"source {self.root}: {hint or 'holds no files that may be images'}")


def read_file(folder: Folder, name: str, max_bytes: int, *, follow_links: bool = False) -> bytes | Failed:
    """Read a file by its uri in a source, unless it is outside `folder` or larger than `max_bytes`."""
    try:
        own = locate(folder, name, follow_links=follow_links, listed=True)
        encoded = folder.read(own, at_most=max_bytes + 1)
        if len(encoded) > max_bytes:
            return Failed("too_large", f"more than {max_bytes:,} bytes")
        return encoded
    except ReadError as error:
        return Failed(error.failure_class, error.detail)
    except FileNotFoundError:
        return Failed("missing", "listed, but gone when it was read")
    except PermissionError:
        return Failed("unreadable", "no permission to read it")
    except OSError as error:
        return Failed("unreadable", error.strerror or str(error))
    except Exception as error:
        if folder.local:
            raise
        return Failed("unreadable", one_line(error, 200))  # clients of object stores raise error types of their own


def read_each(
    reads: Sequence[tuple[Candidate, Callable[[], bytes | Failed]]],
    wanted: Callable[[Candidate], bool],
    deliver: Deliver,
    context: StreamContext,
) -> None:
    """Read the wanted candidates, several at a time, and deliver each; only these few are in memory at once."""
    remaining = (read for read in reads if wanted(read[0]))
    readers = min(MAX_READERS, context.concurrency)
    with ThreadPoolExecutor(readers) as pool:
        while batch := list(itertools.islice(remaining, readers)):
            for (candidate, _), content in zip(batch, pool.map(lambda read: read[1](), batch), strict=True):
                deliver(candidate, content)


def root_folder(root: str, options: StorageOptions = ()) -> Folder:
    """Return the folder that a source's uris are relative to: the root itself, or the parent of a file or pattern."""
    name = (root, repr(options))
    if name not in _folders:
        while len(_folders) >= 64:
            _folders.pop(next(iter(_folders)))
        _folders[name], _ = list_files(root, dict(options))
    return _folders[name]


def cut_listing(entries: Iterable[Entry]) -> Iterator[tuple[str, tuple[Entry, ...]]]:
    """Yield parts of a listing with their names, cut before entries whose names hash to a boundary.

    A part that would grow too large is cut as well. A part is named after its first entry; the first part has an empty
    name unless its first entry is a boundary. So an entry that is added or removed changes its own part and no other.
    """
    part: list[Entry] = []
    name = ""
    for entry in entries:
        boundary = _is_boundary(entry.uri)
        if part and (boundary or len(part) >= MAX_CHUNK_SIZE):
            yield name, tuple(part)
            part, name = [], entry.uri
        elif boundary and not part:
            name = entry.uri
        part.append(entry)
    if part:
        yield name, tuple(part)


def _is_boundary(uri: str) -> bool:
    return hashlib.blake2b(uri.encode(), digest_size=2).digest()[-1] % CHUNK_SIZE == 0
