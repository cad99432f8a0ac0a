"""Read the rows that pass, from the places that the verdict parts name, and nothing of the rows between them."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from million_ird.decide.passing import PASSING_NUMBERS, PassingRows
from million_ird.decide.verdict_parts import PLACE, VerdictPart, passing_file
from million_ird.dedup.hash_buckets import labels_of_many
from million_ird.dedup.search_keys import Positions
from million_ird.ledger import scanned_schema
from million_ird.runtime.storage import Folder
from million_ird.scan.row_index import RowSpan
from million_ird.scan.scan_table import GroupPiece, read_group

_BATCH_ROWS = 10_000
"""About 40 MB with signatures."""


@dataclass(frozen=True, slots=True)
class PassingReader:
    """The passing rows of all parts, in the order of the scan."""

    out: Folder
    measures: tuple[str, ...]
    parts: Sequence[VerdictPart]
    spans: Sequence[Sequence[RowSpan]]
    """Where the rows of each part are."""

    def rows(self, scratch: str | None) -> PassingRows:
        """Read what deciding holds of each row; hashes are spilled to a folder on a local disk."""
        count = sum(part.passing for part in self.parts)
        return PassingRows(
            keys=self._column("key"),
            ids=labels_of_many(self._chunks("id"), count, scratch),
            pixels=labels_of_many(self._chunks("pixels_id"), count, scratch),
            numbers=pa.table({name: self._column(name) for name in PASSING_NUMBERS}),
            read=self.batches,
        )

    def positions(self) -> Positions:
        """Return the number of each row in the scan: (n,) int64."""
        starts = itertools.accumulate((part.rows for part in self.parts), initial=0)
        own = [
            start + self.out.read_table(passing_file(part.name), ["row"])["row"].to_numpy()
            for part, start in zip(self.parts, starts, strict=False)
        ]
        return np.concatenate([np.empty(0, np.int64), *own])

    def batches(self, names: Sequence[str]) -> Iterator[pa.Table]:
        """Yield columns of the scan, in batches of rows."""
        held: list[pa.Table] = []
        for table in self._groups(names):
            held.append(table)
            if sum(one.num_rows for one in held) >= _BATCH_ROWS:
                yield pa.concat_tables(held)
                held = []
        if held:
            yield pa.concat_tables(held)

    def _groups(self, names: Sequence[str]) -> Iterator[pa.Table]:
        """Yield the passing rows of one row group after the other."""
        scanned = scanned_schema(self.measures)
        schema = pa.schema([scanned.field(name) for name in names])
        for part, spans in zip(self.parts, self.spans, strict=True):
            if not part.passing:
                continue
            places = self.out.read_table(passing_file(part.name), [*PLACE])
            span, group, index = (places[name].to_numpy() for name in PLACE)
            for low, high in _runs(span):
                with self.out.parquet(spans[span[low]].file) as opened:
                    for first, last in _runs(group[low:high]):
                        chosen = index[low + first : low + last]
                        piece = GroupPiece(int(group[low + first]), int(chosen[0]), int(chosen[-1]) + 1)
                        for table, start in read_group(opened, piece, schema):
                            a, b = np.searchsorted(chosen, [start, start + table.num_rows])
                            if a < b:
                                yield table.take(pa.array(chosen[a:b] - start))

    def _column(self, name: str) -> pa.ChunkedArray:
        kind = scanned_schema(self.measures).field(name).type
        return pa.chunked_array([chunk for column in self._chunked(name) for chunk in column.chunks], kind)

    def _chunks(self, name: str) -> Iterator[pa.Array]:
        for column in self._chunked(name):
            yield from column.chunks

    def _chunked(self, name: str) -> Iterator[pa.ChunkedArray]:
        for part in self.parts:
            if part.passing:
                yield self.out.read_table(passing_file(part.name), [name])[name]


def _runs(values: NDArray[np.int32]) -> Iterator[tuple[int, int]]:
    """Yield start and end of each run of equal values."""
    borders = np.flatnonzero(values[1:] != values[:-1]) + 1
    yield from itertools.pairwise([0, *borders.tolist(), len(values)])
