"""The row groups of parquet files that lie far away: what is where, by the files' footers, and one fetched at a time.

A footer says for each row group at which bytes each column is. So the pictures of a row group, or one column of text,
are fetched without the rest, each in one request.
"""

import hashlib
import io
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from dynet.data.shards import ParquetShard
from dynet.errors import DataError

TAIL = 2**16
"""Of a file's end, in one request: mostly more than its footer."""
AT_ONCE = 8
"""Requests for footers and columns."""


class RowGroup(NamedTuple):
    """A row group: of which file, its number there, its rows, and where the columns wanted of it lie."""

    shard: int
    number: int
    rows: int
    start: int
    stop: int


class RowGroups:
    """The row groups of a split's files, in the order of their rows."""

    def __init__(self, shards: Sequence[ParquetShard], footers: Sequence[bytes], columns: Sequence[str]) -> None:
        """`columns` are those that `fetch` gives; DataError for a file that lacks one."""
        self._shards, self._footers, self.columns = tuple(shards), tuple(footers), tuple(columns)
        self.groups = [group for number in range(len(self._shards)) for group in self._groups_of(number)]

    def fetch(self, which: int) -> pa.Table:
        """The columns of a row group, in one request. Raises DataError in one line."""
        group = self.groups[which]
        return self._read(group.shard, group.number, (group.start, group.stop), self.columns)

    def fetch_text(self, name: str) -> pa.Table:
        """One column of text of all rows, and only that; a request for each row group."""
        with ThreadPoolExecutor(AT_ONCE) as threads:
            parts = list(threads.map(lambda number: self._text_of(number, name), range(len(self._shards))))
        return pa.concat_tables([pa.table({name: pa.array([], pa.large_string())}), *parts])

    def key(self, which: int) -> str:
        """A file name for the pictures of a row group, of no other and of no other state of its file."""
        group = self.groups[which]
        return f"{fingerprint([self._shards[group.shard]])}-{group.number}"

    def _groups_of(self, number: int) -> Iterator[RowGroup]:
        file = parse_footer(self._shards[number], self._footers[number])
        missing = set(self.columns) - set(file.schema.to_arrow_schema().names)
        if missing:
            raise DataError(f"{self._shards[number].path} has no column {min(missing)!r}, unlike the files before it")
        for at in range(file.num_row_groups):
            group = file.row_group(at)
            if group.num_rows:
                yield RowGroup(number, at, group.num_rows, *_span(group, self.columns))

    def _text_of(self, number: int, name: str) -> pa.Table:
        file = parse_footer(self._shards[number], self._footers[number])
        schema = pa.schema([(name, pa.large_string())])
        spans = [_span(file.row_group(at), (name,)) for at in range(file.num_row_groups)]
        return pa.concat_tables(
            [
                schema.empty_table(),
                *(self._read(number, at, span, (name,)).cast(schema) for at, span in enumerate(spans)),
            ]
        )

    def _read(self, shard: int, number: int, span: tuple[int, int], columns: Sequence[str]) -> pa.Table:
        footer = parse_footer(self._shards[shard], self._footers[shard])
        part = _FetchedRange(self._shards[shard].read(*span), span[0], self._shards[shard].size)
        try:
            file = pq.ParquetFile(pa.PythonFile(part, mode="r"), metadata=footer, pre_buffer=False)
            return file.read_row_group(number, columns=list(columns), use_threads=False)
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"{self._shards[shard].path}: {_line(error)}") from error


def read_footers(shards: Sequence[ParquetShard]) -> pa.Table:
    """A column `footer`: of each file its end, which is the footer, its length in 4 bytes, and PAR1."""
    with ThreadPoolExecutor(AT_ONCE) as threads:
        return pa.table({"footer": pa.array(list(threads.map(_footer, shards)), pa.large_binary())})


def parse_footer(shard: ParquetShard, footer: bytes) -> Any:
    """As pyarrow's FileMetaData. Raises DataError in one line."""
    try:
        return pq.read_metadata(io.BytesIO(footer))
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{shard.path} is no parquet file: {_line(error)}") from error


def fingerprint(shards: Sequence[ParquetShard]) -> str:
    """A name for the present state of these files."""
    told = "\n".join(f"{shard.path} {shard.size} {shard.changed}" for shard in shards)
    return hashlib.sha256(told.encode()).hexdigest()[:32]


def _footer(shard: ParquetShard) -> bytes:
    if shard.size < 12:
        raise DataError(f"{shard.path} is no parquet file: it has {shard.size} bytes")
    tail = shard.read(max(0, shard.size - TAIL), shard.size)
    length = int.from_bytes(tail[-8:-4], "little") + 8
    if tail[-4:] != b"PAR1" or length > shard.size:
        raise DataError(f"{shard.path} is no parquet file, or was cut off")
    return tail[-length:] if length <= len(tail) else shard.read(shard.size - length, shard.size)


def _span(group: Any, columns: Sequence[str]) -> tuple[int, int]:
    """Where the columns of a row group begin and end in their file, with what lies between them."""
    chunks = [group.column(at) for at in range(group.num_columns)]
    wanted = [chunk for chunk in chunks if chunk.path_in_schema.split(".")[0] in columns]
    starts = [min(chunk.data_page_offset, chunk.dictionary_page_offset or chunk.data_page_offset) for chunk in wanted]
    return min(starts), max(start + chunk.total_compressed_size for start, chunk in zip(starts, wanted, strict=True))


class _FetchedRange(io.RawIOBase):
    """A file of which some bytes are here; pyarrow reads nothing else, since the footer says where columns are."""

    def __init__(self, here: bytes, start: int, size: int) -> None:
        self._here, self._start, self._size, self._at = here, start, size, 0

    def seek(self, to: int, whence: int = io.SEEK_SET) -> int:
        """Moves to a place of the whole file."""
        self._at = (0, self._at, self._size)[whence] + to
        return self._at

    def tell(self) -> int:
        """The place in the whole file."""
        return self._at

    def seekable(self) -> bool:
        """It is."""
        return True

    def readable(self) -> bool:
        """It is."""
        return True

    def read(self, count: int = -1) -> bytes:
        """Reads what is here; an OSError for what is not."""
        first = self._at - self._start
        if min(first, count) < 0 or first + count > len(self._here):
            raise OSError("its pages are not where its footer says")
        self._at += count
        return self._here[first : first + count]


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]
