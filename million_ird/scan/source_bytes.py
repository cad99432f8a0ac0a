"""Read images again after the scan: streamed ones from the cache, all others where they are."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from million_ird.build_folder import INDEX
from million_ird.candidate import Candidate, Failed
from million_ird.ledger import Row
from million_ird.runtime.storage import Folder
from million_ird.scan.download_cache import ByteRange, ChunkCache
from million_ird.sources.source import Reader, Source


@dataclass(frozen=True, slots=True)
class CachedSource:
    """A source whose streamed images are read from the cache, all others where they are."""

    source: Source
    out: Folder
    ranges: Mapping[str, ByteRange]

    def fetch(self, candidate: Candidate) -> bytes | Failed:
        """Return the bytes of a candidate, or why they cannot be read."""
        cached = self.ranges.get(candidate.key)
        return cached.read(self.out) if cached else self.source.fetch(candidate)


@dataclass(frozen=True, slots=True)
class DownloadCache:
    """All images that were streamed for a build."""

    out: Folder
    names: tuple[str, ...] = ()
    """Names of the chunks."""

    def places(self, keys: Sequence[str]) -> dict[str, ByteRange]:
        """Return the byte ranges of those keys that were streamed."""
        wanted, ranges = pa.array(keys, pa.string()), dict[str, ByteRange]()
        for name in self.names:
            ranges |= ChunkCache(self.out, name).places(wanted)
        return ranges

    def wrap(self, sources: Mapping[str, Source], ranges: Mapping[str, ByteRange]) -> dict[str, CachedSource]:
        """Return the sources, reading the images at these byte ranges from the cache."""
        return {label: CachedSource(source, self.out, ranges) for label, source in sources.items()}


def load_download_cache(out: Folder) -> DownloadCache:
    """Return the download cache of the current scan; empty where `.work` was removed."""
    index = out.read_json(INDEX) or {}
    return DownloadCache(out, tuple(index.get("originals", ())))


def read_verified(readers: Mapping[str, Reader], row: Row) -> bytes | Failed:
    """Return the bytes that a ledger row was measured from, or why they cannot be read any more."""
    source = str(row["source"])
    candidate = Candidate(key=str(row["key"]), source=source, uri=str(row["uri"]), version="")
    encoded = readers[source].fetch(candidate)
    if isinstance(encoded, bytes) and hashlib.sha256(encoded).hexdigest() != row["id"]:
        return Failed("changed", "changed since it was measured")
    return encoded
