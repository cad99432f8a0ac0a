"""Reads pictures again after the scan: from the store what was streamed, all others where they are."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from million_ird.candidate import Candidate, Failed
from million_ird.ledger import Row
from million_ird.runtime.storage import Folder
from million_ird.scan.download_cache import ByteRange, UnitCache
from million_ird.scan.scan import INDEX
from million_ird.sources.source import Reader, Source


@dataclass(frozen=True, slots=True)
class Stored:
    """A source whose streamed pictures are read from the store, all others where they are."""

    source: Source
    out: Folder
    places: Mapping[str, ByteRange]

    def fetch(self, candidate: Candidate) -> bytes | Failed:
        """The bytes of a candidate."""
        place = self.places.get(candidate.key)
        return place.read(self.out) if place else self.source.fetch(candidate)


@dataclass(frozen=True, slots=True)
class Originals:
    """All that was streamed for a build."""

    out: Folder
    names: tuple[str, ...] = ()
    """Units."""

    def places(self, keys: Sequence[str]) -> dict[str, ByteRange]:
        """Where the pictures of these keys lie, as far as they were streamed."""
        asked, found = pa.array(keys, pa.string()), dict[str, ByteRange]()
        for name in self.names:
            found |= UnitCache(self.out, name).places(asked)
        return found

    def behind(self, sources: Mapping[str, Source], places: Mapping[str, ByteRange]) -> dict[str, Stored]:
        """The sources, with the streamed pictures that lie at these places at hand."""
        return {label: Stored(source, self.out, places) for label, source in sources.items()}


def streamed(out: Folder) -> Originals:
    """The originals of the present scan; none where `.work` was removed."""
    index = out.read_json(INDEX) or {}
    return Originals(out, tuple(index.get("originals", ())))


def read_verified(readers: Mapping[str, Reader], row: Row) -> bytes | Failed:
    """The bytes that a ledger row was measured from, or why they cannot be had any more."""
    source = str(row["source"])
    candidate = Candidate(key=str(row["key"]), source=source, uri=str(row["uri"]), version="")
    encoded = readers[source].fetch(candidate)
    if isinstance(encoded, bytes) and hashlib.sha256(encoded).hexdigest() != row["id"]:
        return Failed("changed", "changed since it was measured")
    return encoded
