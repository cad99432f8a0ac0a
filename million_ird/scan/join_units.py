"""Compaction: the small files of finished units are joined into parts of about 100 MB.

A part is written first and appears at once, with the list of its units in its footer. Only then are the files of the
units removed. A kill in between leaves rows in two places, of which `RowIndex` knows the one that counts, and the next
scan removes the other. Two hosts that join the same units write the same part, byte for byte.
"""

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import IO, ClassVar

import pyarrow as pa
import pyarrow.parquet as pq

from million_ird.errors import BuildError
from million_ird.ledger import REPEATING
from million_ird.runtime.storage import Folder
from million_ird.scan.row_index import PARTS, ROWS, UNITS, RowIndex, file_of, schema_without_units, without_units
from million_ird.strict_json import to_json

PART_BYTES = 100_000_000
"""Size of the files that one part is made of. A file of half of that is large enough to stay as it is."""
BLOCK_UNITS = 1024
"""Most units that one task joins."""
MIN_UNITS = 64
"""Fewer small files than these are left as they are."""
GROUP_ROWS = 8192
"""Rows, of whole units, after which a row group of a part ends: reading one unit reads its row group."""
_SUFFIX = ".parquet"


@dataclass(frozen=True, slots=True)
class JoinedUnits:
    """The summary of a `JoinTask`."""

    parts: int
    units: int


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinTask:
    """Joins the files of some units, in their order; repeating it changes nothing."""

    io_bound: ClassVar[bool] = False
    out: Folder
    units: tuple[tuple[str, int], ...]
    """Names, each with the revision of its file."""
    part_bytes: int

    def __call__(self) -> JoinedUnits:
        """Write the parts, and remove the files of each part once it is written.

        A unit that is in a part already, because an earlier attempt or another host has joined it, is left out.

        Raises:
            BuildError: The file of a unit is gone, or the disk is full.
            DamagedFile: The file of a unit cannot be read.
        """
        held: dict[bytes, list[_HeldUnit]] = {}
        parts = units = size = 0
        for unit in self._read():
            held.setdefault(unit.kind, []).append(unit)
            size += unit.size
            if size >= self.part_bytes:
                largest = held.pop(max(held, key=lambda kind: sum(one.size for one in held[kind])))
                size -= sum(one.size for one in largest)
                parts, units = parts + 1, units + self._join(largest)
        for some in held.values():
            parts, units = parts + 1, units + self._join(some)
        return JoinedUnits(parts, units)

    def _read(self) -> Iterator["_HeldUnit"]:
        index: RowIndex | None = None
        for name, revision in self.units:
            file = file_of(name, revision)
            try:
                content = self.out.read(file)
            except FileNotFoundError as error:
                index = index or RowIndex(self.out)
                place = index.place(name)
                if name not in index or place.revision < revision:
                    raise BuildError(f"{self.out.path(file)}: is gone; run the build again") from error
                continue
            yield _HeldUnit(self.out, name, revision, content)

    def _join(self, units: Sequence["_HeldUnit"]) -> int:
        """Write one part of these units, which have one schema, and remove their files; return how many they are."""
        listed = [[one.name.removeprefix(f"{ROWS}/").removesuffix(_SUFFIX), one.revision] for one in units]
        digest = hashlib.blake2b(to_json(listed).encode(), digest_size=16).hexdigest()
        rows = []
        schema = units[0].schema
        with (
            self.out.writing(f"{PARTS}/{digest}{_SUFFIX}") as file,
            _writer(file, schema) as writer,
        ):
            waiting: list[pa.Table] = []
            for unit in units:
                table = unit.table()
                rows.append(table.num_rows)
                waiting.append(table)
                if sum(one.num_rows for one in waiting) >= GROUP_ROWS:
                    writer.write_table(pa.concat_tables(waiting).combine_chunks())
                    waiting = []
            if waiting:
                writer.write_table(pa.concat_tables(waiting).combine_chunks())
            entries = [[*one, count] for one, count in zip(listed, rows, strict=True)]
            writer.add_key_value_metadata({UNITS: to_json(entries, separators=(",", ":")).encode()})
        self.out.remove_files([file_of(one.name, one.revision) for one in units])
        return len(units)


def rewrite_part(out: Folder, name: str, change: Callable[[pa.Table], pa.Table]) -> None:
    """Replace the rows of a part by changed ones, a row group at a time; number and order of the rows stay.

    Raises:
        DamagedFile: The part cannot be read.
    """
    with (
        out.parquet(name) as old,
        out.writing(name) as file,
        _writer(file, schema_without_units(old.schema_arrow)) as writer,
    ):
        for group in range(old.num_row_groups):
            writer.write_table(without_units(change(old.read_row_group(group, use_threads=False))))
        writer.add_key_value_metadata({UNITS: old.metadata.metadata[UNITS]})


def _writer(file: IO[bytes], schema: pa.Schema) -> pq.ParquetWriter:
    return pq.ParquetWriter(file, schema, compression="zstd", use_dictionary=[*REPEATING])


class _HeldUnit:
    """The file of one unit, in memory as it was read."""

    def __init__(self, out: Folder, name: str, revision: int, content: bytes) -> None:
        self.name, self.revision, self.size = name, revision, len(content)
        self._out, self._content = out, content
        with out.parquet(file_of(name, revision), content) as file:
            self.schema: pa.Schema = file.schema_arrow
        self.kind = self.schema.serialize().to_pybytes()
        """Of units with an equal one, the schemas and their metadata are equal."""

    def table(self) -> pa.Table:
        """Return its rows."""
        with self._out.parquet(file_of(self.name, self.revision), self._content) as file:
            return file.read(use_threads=False)


def joined_at_end(out: Folder, index: RowIndex, units: Sequence[str]) -> Iterator[JoinTask]:
    """Yield the tasks that join what has a file of its own: the units of the scan in its order, then earlier ones.

    Args:
        out: The output folder of a build.
        index: The places of all units.
        units: The units of the scan, in order.
    """
    listed = set(units)
    for names in (units, sorted(set(index.units()) - listed)):
        yield from join_tasks(out, [(name, index.place(name).revision) for name in names if is_small(index, name)])


def join_tasks(out: Folder, units: Sequence[tuple[str, int]]) -> Iterator[JoinTask]:
    """Yield tasks that join units, named with their revisions; none where they are too few to be worth it."""
    if len(units) < MIN_UNITS:
        return
    size = math.ceil(len(units) / math.ceil(len(units) / BLOCK_UNITS))
    for start in range(0, len(units), size):
        yield JoinTask(out=out, units=tuple(units[start : start + size]), part_bytes=PART_BYTES)


def is_small(index: RowIndex, name: str) -> bool:
    """Return whether a unit has a file of its own that is small enough to be joined."""
    size = index.size(name)
    return size is not None and size < PART_BYTES // 2
