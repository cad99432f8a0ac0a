"""Tables of candidates, read and dealt out by the workers; a table that has not changed is not read again.

The chunks, their names and their order are those that `TableSource.chunks` gives, for any number of workers. Pieces of
the tables are read first, repeated rows found next, and then the driver cuts the lanes: it goes through 7 bytes of each
row, and holds one bit. At last the chunks are stored under `.work/plan`, named, and the parts removed. A killed run
goes on with the pieces and chunks that are stored.
"""

import logging
from collections.abc import Iterator, Sequence
from typing import Any

from million_ird.config.recipe import Recipe, digest
from million_ird.errors import DamagedFile, SourceError
from million_ird.runtime.executor import Executor
from million_ird.runtime.file_marks import mark_of
from million_ird.runtime.storage import Folder
from million_ird.scan.deal.chunks import ChunkTask, in_units, store_chunks, stored_chunks
from million_ird.scan.deal.cuts import LaneCutter
from million_ird.scan.deal.parts import PART_ROWS, Part, PieceRead, PieceTask, read_piece
from million_ird.scan.deal.repeats import RepeatedRows, find_repeats, repeat_tasks
from million_ird.scan.measuring import cache_key
from million_ird.scan.planned_chunk import PlannedChunk
from million_ird.sources.cells import failure_in
from million_ird.sources.table_names import count_lacking, warn_of_names, warn_of_rows
from million_ird.sources.table_parquet import TablePiece, pieces_of_parquet
from million_ird.sources.tables import READ_ERRORS, TableSource

log = logging.getLogger(__name__)

PLANS = ".work/plan"
RULES = 1
"""Raise it when rows are read or dealt in another way: tables that were dealt before are read again."""
PIECE_ROWS = 2 * PART_ROWS


class TableDeal:
    """The chunks of one source of tables."""

    def __init__(self, out: Folder, source: TableSource, recipe: Recipe) -> None:
        self._out, self._source, self._recipe = out, source, recipe
        self._folder = f"{PLANS}/{digest([source.label, source.root])}"
        self._terms = _terms(source, recipe)

    def chunks(self, executor: Executor) -> Iterator[PlannedChunk]:
        """Yield all chunks, in the order of `TableSource.chunks`; what is not stored yet is read by the executor.

        Raises:
            SourceError: A table cannot be used.
        """
        marks = self._marks()
        index = self._recognised(marks) or self._deal(marks, executor)
        self._out.remove(f"{self._folder}/rows")
        warn_of_rows(self._source.label, index["repeated"], index["empty"])
        warn_of_names(self._source.label, self._source.names, index.get("lacking", {}))
        for number in range(index["units"]):
            yield from stored_chunks(self._out, self._unit(number), self._source)

    def _marks(self) -> list[list[str]]:
        """Return names and marks of all tables."""
        folder, tables = self._source.tables()
        return [[table.uri, "" if failure_in(table.version) else mark_of(folder, table.uri)] for table in tables]

    def _recognised(self, marks: list[list[str]]) -> dict[str, Any] | None:
        """Return what is stored of the same tables; None if they have changed, or may have."""
        index: dict[str, Any] | None = self._out.read_json(f"{self._folder}/deal.json")
        if index is None or index["on_disk"] or [index["terms"], index["marks"]] != [self._terms, marks]:
            return None
        if not all(mark for _, mark in marks):
            return None
        present = set(self._out.names(self._folder))
        units = (self._unit(number).rsplit("/", 1)[-1] for number in range(index["units"]))
        return index if all({f"{unit}.blocks", f"{unit}.parquet"} <= present for unit in units) else None

    def _deal(self, marks: list[list[str]], executor: Executor) -> dict[str, Any]:
        self._begin(marks)
        found = self._read([table for table, _ in marks], executor)
        parts = [part for one in found for part in one.parts]
        repeated = RepeatedRows(sum(part.rows for part in parts))
        for rows in executor.run(find_repeats, repeat_tasks(self._out, parts)):
            repeated.add(rows)
        on_disk = any(one.on_disk for one in found)
        index = {
            "terms": self._terms,
            "marks": marks,
            "on_disk": on_disk,
            "empty": sum(one.empty for one in found),
            "lacking": count_lacking((one.table, one.lacking) for one in found),
            "repeated": repeated.count,
            "units": self._store(parts, repeated, executor, reuse=not on_disk),
        }
        self._out.write_json(f"{self._folder}/deal.json", index)
        return index

    def _begin(self, marks: list[list[str]]) -> None:
        """Remove what is stored, unless a run that was killed has stored it from the same tables."""
        begun = {"terms": self._terms, "marks": marks}
        same = self._out.read_json(f"{self._folder}/begun.json") == begun and all(mark for _, mark in marks)
        if not same or self._out.exists(f"{self._folder}/deal.json"):
            self._out.remove(self._folder)
            self._out.write_json(f"{self._folder}/begun.json", begun)

    def _read(self, tables: Sequence[str], executor: Executor) -> list[PieceRead]:
        """Read all pieces of all tables.

        A table that is damaged is read again as one piece: which rows are lost must not depend on pieces.

        Raises:
            SourceError: A table cannot be used.
        """
        folder, _ = self._source.tables()
        pieces = [piece for table in tables for piece in _pieces(folder, table)]
        found = self._read_pieces(folder, pieces, executor)
        broken = {piece.table for piece, one in zip(pieces, found, strict=True) if piece.groups and one.damage}
        if broken:
            pieces = [p for p in pieces if p.table not in broken or p.before == 0]
            pieces = [TablePiece(p.table) if p.table in broken else p for p in pieces]
            found = self._read_pieces(folder, pieces, executor)
        for piece, one in zip(pieces, found, strict=True):
            if one.refused:
                raise SourceError(one.refused)
            if one.damage:
                log.warning("source %s/%s: cannot be read: %s", folder.url, piece.table, one.damage)
        return found

    def _read_pieces(self, folder: Folder, pieces: Sequence[TablePiece], executor: Executor) -> list[PieceRead]:
        tasks = [
            PieceTask(
                number=number,
                out=self._out,
                source=self._source,
                folder=folder,
                piece=piece,
                base=self._base(piece),
            )
            for number, piece in enumerate(pieces)
        ]
        # Workers elsewhere need not have the driver's disks.
        on_disk = folder.local or self._source.images.local
        inline = len(tasks) if on_disk and not executor.local else 1
        found = dict(executor.run(read_piece, tasks, inline_below=inline))
        return [found[number] for number in range(len(tasks))]

    def _store(self, parts: Sequence[Part], repeated: RepeatedRows, executor: Executor, *, reuse: bool) -> int:
        cutter = LaneCutter(self._out, repeated)
        count = 0

        def tasks() -> Iterator[ChunkTask]:
            nonlocal count
            for number, cuts in enumerate(in_units(cutter.cuts(parts))):
                count = number + 1
                yield ChunkTask(
                    out=self._out,
                    base=self._unit(number),
                    source=self._source,
                    recipe=self._recipe,
                    cuts=cuts,
                    reuse=reuse,
                )

        for _ in executor.run(store_chunks, tasks()):
            pass
        return count

    def _base(self, piece: TablePiece) -> str:
        groups = "all" if piece.groups is None else f"{piece.before:012d}"
        return f"{self._folder}/rows/{digest(piece.table)}-{groups}"

    def _unit(self, number: int) -> str:
        return f"{self._folder}/chunks-{number:06d}"


def _pieces(folder: Folder, table: str) -> list[TablePiece]:
    """Return the pieces of a table: row groups of a parquet file, all of any other or of one that is damaged."""
    if table.lower().endswith(".parquet"):
        try:
            with folder.parquet(table) as file:
                return list(pieces_of_parquet(table, file.metadata, PIECE_ROWS)) or [TablePiece(table)]
        except (*READ_ERRORS, DamagedFile):
            pass
    return [TablePiece(table)]


def _terms(source: TableSource, recipe: Recipe) -> str:
    """Return a digest of all that the chunks and their names depend on beside the tables."""
    columns = [source.columns, source.texts, source.names]
    places = [source.label, source.root, repr(source.options), source.inside, source.follow_links]
    names = [source.fetcher.web.lanes, recipe.passed, recipe.limits.max_bytes, cache_key(recipe)]
    return digest([RULES, columns, places, names])
