"""Where the rows of each unit are: the one place that lists the files of rows, and reads those of a unit.

A unit is the smallest piece of a scan that is measured, and its name is that of the file that its rows are written to.
Finished units are joined into parts under `.work/scan/parts`, by `million_ird.scan.join_units`. The footer of a part
lists its units, so that a part and its entries appear at once. A unit that is measured again after it was joined gets
the next revision: a file of its own, which has the number of the revision in its name.

Of several places that hold a unit, the one with the highest revision counts; of equal revisions a part; of equal parts
the first one by name. So what a killed run, or another host, left behind never replaces what was joined.
"""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import pyarrow as pa

from million_ird.runtime.storage import Folder

ROWS = ".work/scan"
PARTS = f"{ROWS}/parts"
UNITS = b"million_ird.units"
"""Key of a part's footer: a JSON list of the units, in order, each with its revision and its number of rows."""
_SUFFIX = ".parquet"
_FILE = re.compile(r"(.+?)(?:\.r(\d+))?\.parquet")
_REQUESTS = 16
"""Footers that are read at once from an object store."""


@dataclass(frozen=True, slots=True)
class RowSpan:
    """Consecutive rows of a file; by default all of them."""

    file: str
    start: int = 0
    stop: int | None = None
    """Row after the last one; None for the end of the file."""
    units: int = 1
    """How many units of the scan they are."""

    @property
    def identity(self) -> list[str | int | None]:
        """The place as JSON."""
        return [self.file, self.start, self.stop]


class UnitPlace(NamedTuple):
    """Where the rows of one unit are."""

    unit: str
    revision: int
    span: RowSpan

    @property
    def is_joined(self) -> bool:
        """Whether they are in a part."""
        return self.span.stop is not None


class _Found(NamedTuple):
    """A place, as an index holds it for each unit: `start` is -1 for a file of its own, of which `stop` is the size."""

    revision: int
    file: str
    start: int
    stop: int


class RowIndex:
    """The places of all units under `.work`, of this and earlier scans; memory holds some hundred bytes of each."""

    def __init__(self, out: Folder) -> None:
        """List the files of rows and read the footers of the parts.

        Raises:
            DamagedFile: A part cannot be read.
        """
        self._out = out
        self._places: dict[str, _Found] = {}
        self.superseded: list[str] = []
        """Files of units that are in another place, too, which is the one that counts."""
        # In this order: a unit that is joined meanwhile is in one of the lists at least.
        alone = list(_unit_files(out))
        for found in _footers(out, part_files(out)):
            for unit, place in found:
                if unit not in self._places or place.revision > self._places[unit].revision:
                    self._places[unit] = place
        for name, size in alone:
            self._add_file(name, size)
        self._last: tuple[RowSpan, list[str] | None, pa.Table] | None = None

    def __contains__(self, unit: str) -> bool:
        return unit in self._places

    def units(self) -> Iterator[str]:
        """Yield the names of all units."""
        return iter(self._places)

    def place(self, unit: str) -> UnitPlace:
        """Return where a unit is; that of its first revision if it is nowhere."""
        found = self._places.get(unit)
        if found is None:
            return UnitPlace(unit, 0, RowSpan(unit))
        is_alone = found.start < 0
        span = RowSpan(found.file) if is_alone else RowSpan(found.file, found.start, found.stop)
        return UnitPlace(unit, found.revision, span)

    def size(self, unit: str) -> int | None:
        """Return the bytes of the file of a unit that has one of its own; None of any other."""
        found = self._places.get(unit)
        return found.stop if found is not None and found.start < 0 else None

    def revision_to_write(self, unit: str) -> int:
        """Return the revision with which a unit is measured again: the present one if it has a file of its own."""
        found = self._places.get(unit)
        return 0 if found is None else found.revision + (found.start >= 0)

    def spans(self, units: Iterable[str]) -> Iterator[RowSpan]:
        """Yield where the rows of units are, in their order; what follows each other in a part is one span."""
        held: RowSpan | None = None
        for unit in units:
            span = self.place(unit).span
            if held is not None and span.stop is not None and (held.file, held.stop) == (span.file, span.start):
                held = RowSpan(held.file, held.start, span.stop, held.units + 1)
                continue
            if held is not None:
                yield held
            held = span
        if held is not None:
            yield held

    def read(self, unit: str, columns: Sequence[str] | None = None) -> pa.Table:
        """Return the rows of a unit; the row group that holds them is kept, since the next unit may be in it.

        Raises:
            DamagedFile: The file cannot be read.
        """
        span, names = self.place(unit).span, None if columns is None else list(columns)
        if span.stop is None:
            return self._out.read_table(span.file, names)
        if self._last is None or not _covers(self._last[0], span) or self._last[1] != names:
            held, table = _read_groups(self._out, span, names)
            self._last = held, names, table
        held, _, table = self._last
        return _cut(table, held, span)

    def _add_file(self, name: str, size: int) -> None:
        unit, revision = unit_of(name)
        found = self._places.get(unit)
        if found is not None and (found.revision > revision or (found.revision == revision and found.start >= 0)):
            self.superseded.append(name)
            return
        if found is not None and found.start < 0:
            self.superseded.append(found.file)
        self._places[unit] = _Found(revision, name, -1, size)


def file_of(unit: str, revision: int) -> str:
    """Return the file that the rows of a unit are written to."""
    return f"{unit.removesuffix(_SUFFIX)}.r{revision}{_SUFFIX}" if revision else unit


def unit_of(file: str) -> tuple[str, int]:
    """Return the unit and the revision of a file that `file_of` names."""
    match = _FILE.fullmatch(file)
    if match is None:
        raise ValueError(f"{file}: not a file of rows")
    return f"{match[1]}{_SUFFIX}", int(match[2] or 0)


def all_row_files(out: Folder) -> list[str]:
    """Return all files of rows, also those of which no row counts any more."""
    return [*(name for name, _ in _unit_files(out)), *part_files(out)]


def part_files(out: Folder) -> list[str]:
    """Return all parts, sorted."""
    return [f"{PARTS}/{name}" for name in out.names(PARTS) if name.endswith(_SUFFIX)]


def read_place(out: Folder, place: UnitPlace, columns: list[str] | None = None) -> pa.Table:
    """Return the rows of a unit, of whatever place it has now: it may have been joined since it was looked up.

    Raises:
        FileNotFoundError: It is nowhere.
        DamagedFile: The file cannot be read.
    """
    try:
        return read_span(out, place.span, columns)
    except FileNotFoundError:
        now = RowIndex(out).place(place.unit)
        if now.span == place.span:
            raise
        return read_span(out, now.span, columns)


def read_span(out: Folder, span: RowSpan, columns: list[str] | None = None) -> pa.Table:
    """Return rows of a file.

    Raises:
        DamagedFile: The file cannot be read.
    """
    if span.stop is None:
        return out.read_table(span.file, columns)
    held, table = _read_groups(out, span, columns)
    return _cut(table, held, span)


def _read_groups(out: Folder, span: RowSpan, columns: list[str] | None) -> tuple[RowSpan, pa.Table]:
    """Return the row groups of a part that hold the rows of a span, and where they are."""
    with out.parquet(span.file) as file:
        groups: list[int] = []
        first = end = 0
        for group in range(file.num_row_groups):
            start, end = end, end + file.metadata.row_group(group).num_rows
            if start < (span.stop or 0) and end > span.start:
                first = start if not groups else first
                groups.append(group)
        table = file.read_row_groups(groups, columns, use_threads=False)
    return RowSpan(span.file, first, first + table.num_rows), without_units(table)


def _cut(table: pa.Table, held: RowSpan, span: RowSpan) -> pa.Table:
    """Return the rows of a span, of the table that has those of `held`."""
    count = (span.stop or 0) - span.start
    return table.slice(span.start - held.start, count) if count else table.slice(0, 0)


def without_units(table: pa.Table) -> pa.Table:
    """Return the table without the list of units in its metadata."""
    return table.replace_schema_metadata(schema_without_units(table.schema).metadata)


def schema_without_units(schema: pa.Schema) -> pa.Schema:
    """Return the schema of the files that a part was made of."""
    metadata = {name: value for name, value in (schema.metadata or {}).items() if name != UNITS}
    return schema.with_metadata(metadata)


def _covers(held: RowSpan, span: RowSpan) -> bool:
    return held.file == span.file and held.start <= span.start and (span.stop or 0) <= (held.stop or 0)


def _unit_files(out: Folder) -> Iterator[tuple[str, int]]:
    """Yield the files of single units, with their sizes."""
    for folder in out.names(ROWS):
        path = f"{ROWS}/{folder}"
        if path != PARTS:
            yield from ((f"{path}/{name}", size) for name, size in out.sizes(path) if name.endswith(_SUFFIX))


def _footers(out: Folder, parts: Sequence[str]) -> Iterator[list[tuple[str, _Found]]]:
    """Yield the places that each part lists."""
    if out.local:
        yield from (_read_footer(out, part) for part in parts)
        return
    with ThreadPoolExecutor(_REQUESTS) as pool:
        yield from pool.map(lambda part: _read_footer(out, part), parts)


def _read_footer(out: Folder, part: str) -> list[tuple[str, _Found]]:
    with out.parquet(part) as file:
        listed = json.loads(file.metadata.metadata[UNITS])
    places, start = [], 0
    for unit, revision, rows in listed:
        places.append((f"{ROWS}/{unit}{_SUFFIX}", _Found(revision, part, start, start + rows)))
        start += rows
    return places
