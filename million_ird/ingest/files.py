"""Local and remote files: a folder with all that is below it, or a single file, by any fsspec URL."""

import functools
import hashlib
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from million_ird.errors import SourceError
from million_ird.ingest import Unit
from million_ird.record import Candidate, Failed, candidate_key
from million_ird.storage import FileEntry, Folder, as_text, list_files

log = logging.getLogger(__name__)

UNIT_SIZE = 32
"""Files in a unit on average; a power of two."""
LARGEST_UNIT = 4 * UNIT_SIZE
SIDECARS = frozenset(
    f".{suffix}"
    for suffix in (
        *("csv", "tsv", "json", "jsonl", "parquet", "txt", "md", "html", "xml", "yaml", "yml", "ini"),
        *("db", "lock", "log", "npy", "npz", "pkl", "py"),
    )
)
"""Suffixes of files that lie beside pictures and are none: no candidates, only counted."""


@dataclass(frozen=True, slots=True)
class FilesSource:
    """A folder (hidden files aside, all files below it are candidates, whatever their names say) or one file."""

    label: str
    root: str
    max_bytes: int
    excluded: str | None = None
    """A folder that is not looked into: the build's own output."""

    def units(self) -> Iterator[Unit]:
        """Cuts the sorted listing where a file's name hashes to a multiple of `UNIT_SIZE`.

        A file that is added or removed therefore changes the unit that it is in and no other.

        Raises:
            SourceError: nothing is there, or it cannot be listed.
        """
        chunk: list[FileEntry] = []
        started = False
        for entry in self._entries():
            if chunk and (_is_boundary(entry.uri) or len(chunk) >= LARGEST_UNIT):
                yield self._unit(chunk, started=started)
                chunk, started = [], True
            chunk.append(entry)
        if chunk:
            yield self._unit(chunk, started=started)

    def candidates(self, unit: Unit) -> list[Candidate]:
        """One candidate per file."""
        return [
            Candidate(
                key=candidate_key(self.label, entry.uri),
                source=self.label,
                uri=entry.uri,
                version=entry.version,
            )
            for entry in unit.entries
        ]

    def fetch(self, candidate: Candidate) -> bytes | Failed:
        """Reads the file, unless it is over `max_bytes`."""
        folder = list_root(self.root)
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

    def _entries(self) -> Iterator[FileEntry]:
        folder, entries = list_files(self.root)
        inside = _below(folder.root, self.excluded)
        passed_over = found = 0
        for entry in entries:
            if inside is not None and f"{entry.uri}/".startswith(inside):
                continue
            if PurePosixPath(entry.uri).suffix.lower() in SIDECARS:
                passed_over += 1
                continue
            found += 1
            yield entry
        if passed_over:
            log.info("source %s: %d side-car files (%s, …) are no candidates", self.label, passed_over, ".txt, .json")
        if not found:
            raise SourceError(f"source {self.root}: holds no files to look at")

    def _unit(self, entries: list[FileEntry], *, started: bool) -> Unit:
        # Named by the boundary that it begins with; the first of the listing begins with none.
        first = entries[0].uri
        slot = candidate_key(self.label, first if started or _is_boundary(first) else "")
        return Unit(source=self.label, root=self.root, slot=slot, entries=tuple(entries))


@functools.lru_cache(maxsize=64)
def list_root(root: str) -> Folder:
    """The folder that a source's uris are relative to: the root itself, or a single file's parent."""
    folder, _ = list_files(root)
    return folder


def _is_boundary(uri: str) -> bool:
    return hashlib.blake2b(uri.encode(), digest_size=2).digest()[-1] % UNIT_SIZE == 0


def _below(root: str, excluded: str | None) -> str | None:
    """The uris of what lies in `excluded` begin so; None where it lies elsewhere."""
    prefix = root.rstrip("/") + "/"
    if excluded is None or not f"{excluded}/".startswith(prefix):
        return None
    return excluded.removeprefix(prefix) + "/"


def labels(roots: Sequence[str]) -> list[str]:
    """A distinct label per source: as many trailing parts of its path as tell it from the others.

    Raises:
        SourceError: the same source twice.
    """
    paths = [PurePosixPath(as_text(root.split("://", 1)[-1])).parts for root in roots]
    for number, root in enumerate(roots):
        if root in roots[:number]:
            raise SourceError(f"source {root}: given twice")
    for depth in range(1, 1 + max(map(len, paths), default=1)):
        short = ["/".join(part for part in path[-depth:] if part != "/") for path in paths]
        if len(set(short)) == len(short):
            return short
    return [root.replace("://", "/") for root in roots]
