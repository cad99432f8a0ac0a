"""A cache of the images that were streamed from remote sources, so that no later stage fetches them again.

A remote chunk leaves, under `.work/originals/`, a tar of its images, an index of its candidates (one row each: where
its bytes are, or why there are none), and last a manifest that says that both are complete. Names are made of the
chunk's slot and a hash of its entries.
"""

import hashlib
import json
import tarfile
import threading
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import IO

import pyarrow as pa
import pyarrow.compute as pc

from million_ird.candidate import Candidate, Failed
from million_ird.config.recipe import digest
from million_ird.errors import BuildError
from million_ird.ledger import Row
from million_ird.runtime.storage import Folder
from million_ird.schema import TEXT

FOLDER = ".work/originals"
_MARK = "|"
"""Separates the version that a source gives from the digest of the bytes that were received."""
ROWS_PER_PART = 128
"""Rows of an index that are measured as one task."""
_SCHEMA = pa.schema(
    [
        *(pa.field(name, pa.string()) for name in ("key", "source", "uri", "version", "licence", "attribution")),
        pa.field("width", pa.int64()),
        pa.field("height", pa.int64()),
        pa.field("extra", pa.string()),
        pa.field("failure_class", pa.string()),
        pa.field("failure_detail", pa.string()),
        pa.field("tar", pa.string()),
        pa.field("offset", pa.int64()),
        pa.field("size", pa.int64()),
    ]
)


@dataclass(frozen=True, slots=True)
class ByteRange:
    """Where an image's bytes are: in a tar, at an offset."""

    tar: str
    offset: int
    size: int

    def read(self, out: Folder) -> bytes:
        """Read the bytes.

        Raises:
            BuildError: the file is gone, or cut short.
        """
        try:
            with out.open(self.tar) as file:
                file.seek(self.offset)
                encoded = file.read(self.size)
        except FileNotFoundError as error:
            raise BuildError(f"{out.path(self.tar)}: is gone; run the build again to fetch its images anew") from error
        if len(encoded) != self.size:
            raise BuildError(f"{out.path(self.tar)}: is cut short; remove it and run the build again")
        return encoded


@dataclass(frozen=True, slots=True)
class RowRange:
    """Rows `start` to `stop` of an index, measured as one task; `digest` hashes all that measuring them depends on."""

    start: int
    stop: int
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """The summary of a finished chunk."""

    parts: tuple[RowRange, ...]
    failures: dict[str, int]
    unasked: int
    """Candidates that were not fetched: their declared size or licence breaks a gate. `gates` names the gates."""
    gates: str

    @property
    def rows(self) -> int:
        """Number of candidates in the chunk."""
        return self.parts[-1].stop if self.parts else 0


class ChunkCache:
    """The cached images of one remote chunk, by name (`<slot>-<hash>`)."""

    def __init__(self, out: Folder, name: str) -> None:
        self.out = out
        self._base = _base(name)

    def manifest(self) -> Manifest | None:
        """Return the manifest of a finished chunk; None where it is not finished."""
        content = self.out.read_json(f"{self._base}.json")
        if content is None:
            return None
        return Manifest(**{**content, "parts": tuple(RowRange(*part) for part in content["parts"])})

    def candidates(self, start: int, stop: int) -> list[tuple[Candidate, ByteRange | Failed | None]]:
        """Return some candidates in order, each with its byte range, its failure, or None where it was not fetched."""
        rows = self.out.read_table(f"{self._base}.parquet").slice(start, stop - start).to_pylist()
        return [(_candidate(row), _outcome(row)) for row in rows]

    def places(self, keys: pa.Array) -> dict[str, ByteRange]:
        """Return the byte ranges of those keys that belong to the chunk and were streamed."""
        table = self.out.read_table(f"{self._base}.parquet", ["key", "tar", "offset", "size"])
        mask = pc.and_(pc.is_in(table["key"], value_set=keys), pc.is_valid(table["tar"]))
        return {row["key"]: ByteRange(row["tar"], row["offset"], row["size"]) for row in table.filter(mask).to_pylist()}

    def writing(self, earlier: Mapping[str, Row]) -> "ChunkWriter":
        """Open the chunk for writing; `earlier` are rows, by key, whose images are in older tars."""
        return ChunkWriter(self.out, self._base, earlier)


class ChunkWriter:
    """A chunk that is being written: images are added as they arrive, index and manifest when all are there."""

    def __init__(self, out: Folder, base: str, earlier: Mapping[str, Row]) -> None:
        self._out, self._base = out, base
        self._rows: dict[str, Row] = {}
        self._earlier = earlier
        self._stack = ExitStack()
        self._file: IO[bytes] | None = None
        # Every run writes its own tar, so that rows that point into an earlier one stay valid.
        self._tar = f"{base}.tar"
        number = 0
        while out.exists(self._tar):
            number += 1
            self._tar = f"{base}.{number}.tar"
        self._offset = 0
        self._lock = threading.Lock()

    def __enter__(self) -> "ChunkWriter":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        self._stack.__exit__(kind, error, None)

    def add(self, candidate: Candidate, outcome: bytes | Failed | None) -> None:
        """Store the outcome of a candidate, None where it was not fetched; from any thread, the last call wins."""
        row = _row(candidate)
        if isinstance(outcome, Failed):
            row |= {"failure_class": outcome.failure_class, "failure_detail": outcome.detail}
        with self._lock:
            if isinstance(outcome, bytes):
                row |= {"tar": self._tar, "offset": self._append(candidate.key, outcome), "size": len(outcome)}
                row["version"] = f"{candidate.version}{_MARK}{digest_of(outcome)}"
            self._rows[candidate.key] = row

    def keep(self, candidate: Candidate) -> bool:
        """Reuse the outcome of a candidate in an earlier run; return False where there is none."""
        row = self._earlier.get(candidate.key)
        if row is None or str(row["version"]).partition(_MARK)[0] != candidate.version:
            return False
        kept = ("version", "failure_class", "failure_detail", "tar", "offset", "size")
        self._rows[candidate.key] = _row(candidate) | {name: row[name] for name in kept}
        return True

    @property
    def count(self) -> int:
        """Number of candidates with an outcome so far."""
        return len(self._rows)

    def finish(self, order: Iterable[str] | None, gates: str, passed: Iterable[str]) -> Manifest:
        """Write the index, in the order of these keys (of arrival, where None), and the manifest."""
        keys = list(self._rows if order is None else order)
        self._stack.close()
        rows = [self._rows[key] for key in keys]
        self._out.write_table(f"{self._base}.parquet", pa.Table.from_pylist(rows, _SCHEMA))
        starts = range(0, len(rows), ROWS_PER_PART)
        names = [name.removesuffix(TEXT) for name in passed]
        parts = tuple(_part(rows[start : start + ROWS_PER_PART], start, names) for start in starts)
        failures = [str(row["failure_class"]) for row in rows if row["failure_class"]]
        unasked = sum(row["failure_class"] is None and row["tar"] is None for row in rows)
        counts = {name: failures.count(name) for name in sorted(set(failures))}
        manifest = Manifest(parts=parts, failures=counts, unasked=unasked, gates=gates)
        content = {"parts": [[p.start, p.stop, p.digest] for p in parts], "failures": counts}
        self._out.write_json(f"{self._base}.json", {**content, "unasked": unasked, "gates": gates})
        return manifest

    def _append(self, key: str, encoded: bytes) -> int:
        if self._file is None:
            self._file = self._stack.enter_context(self._out.writing(self._tar))
            self._stack.callback(self._file.write, bytes(2 * tarfile.BLOCKSIZE))
        member = tarfile.TarInfo(key)
        member.size = len(encoded)
        header = member.tobuf(tarfile.USTAR_FORMAT)
        start = self._offset + len(header)
        filling = bytes(-len(encoded) % tarfile.BLOCKSIZE)
        for block in (header, encoded, filling):
            self._file.write(block)
        self._offset = start + len(encoded) + len(filling)
        return start


def earlier_rows(out: Folder, names: Iterable[str], skip: frozenset[str]) -> dict[str, Row]:
    """Return the rows of finished chunks by key, without those that were not fetched and those in `skip`."""
    rows: dict[str, Row] = {}
    for name in names:
        base = _base(name)
        if out.exists(f"{base}.json"):
            for row in out.read_table(f"{base}.parquet").to_pylist():
                if (row["tar"] or row["failure_class"]) and row["key"] not in skip:
                    rows[row["key"]] = row
    return rows


def _base(name: str) -> str:
    return f"{FOLDER}/{name[:2]}/{name}"


def _row(candidate: Candidate) -> Row:
    plain: Row = dict.fromkeys(_SCHEMA.names)
    for name in ("key", "source", "uri", "version", "licence", "attribution", "width", "height"):
        plain[name] = getattr(candidate, name)
    plain["extra"] = json.dumps(dict(candidate.extra), sort_keys=True, ensure_ascii=False)
    return plain


def _candidate(row: Row) -> Candidate:
    fields = {name: row[name] for name in ("key", "source", "uri", "version", "licence", "attribution")}
    return Candidate(**fields, width=row["width"], height=row["height"], extra=json.loads(str(row["extra"])))  # type: ignore[arg-type]


def _outcome(row: Row) -> ByteRange | Failed | None:
    if row["failure_class"] is not None:
        return Failed(str(row["failure_class"]), str(row["failure_detail"]))
    if row["tar"] is None:
        return None
    return ByteRange(str(row["tar"]), int(str(row["offset"])), int(str(row["size"])))


def _part(rows: list[Row], start: int, passed: list[str]) -> RowRange:
    names = ("key", "version", "licence", "attribution", "width", "height", "failure_class", "failure_detail")
    texts = [[row[name] for name in names] + _extras(row, passed) for row in rows]
    return RowRange(start, start + len(rows), digest(texts))


def _extras(row: Row, passed: list[str]) -> list[object]:
    extra = json.loads(str(row["extra"]))
    return [extra.get(name) for name in passed]


def digest_of(encoded: bytes) -> str:
    """Return 16 hex digits that identify an image's bytes."""
    return hashlib.blake2b(encoded, digest_size=8).hexdigest()
