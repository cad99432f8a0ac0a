"""The row groups of remote parquet files: where they are, as the files' footers say, and how to fetch one.

A footer has the byte range of each column in each row group. So the images of a row group, or one column of text, are
fetched without the rest, each in one request.
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

TAIL_BYTES = 2**16
"""How much of the end of a file to read first: mostly more than the footer."""
MAX_REQUESTS = 8
"""Simultaneous requests for footers and columns."""


class RowGroup(NamedTuple):
    """A row group: the index of its file, its number there, its rows, and the byte range of the needed columns."""

    shard: int
    number: int
    rows: int
    start: int
    stop: int


class RowGroups:
    """The row groups of a split's files, in the order of their rows."""

    def __init__(self, shards: Sequence[ParquetShard], footers: Sequence[bytes], columns: Sequence[str]) -> None:
        """Read where the row groups are.

        Args:
            shards: The files.
            footers: Their footers, from `read_footers`.
            columns: The columns that `fetch` returns.

        Raises:
            DataError: A file has no such column.
        """
        self._shards, self._footers, self.columns = tuple(shards), tuple(footers), tuple(columns)
        self.groups = [group for number in range(len(self._shards)) for group in self._groups_of(number)]

    def fetch(self, index: int) -> pa.Table:
        """Return the columns of a row group, read in one request.

        Raises:
            DataError: They cannot be read; the message is one line.
        """
        group = self.groups[index]
        return self._read(group.shard, group.number, (group.start, group.stop), self.columns)

    def fetch_text(self, name: str) -> pa.Table:
        """Return one column of text for all rows, read in one request for each row group."""
        with ThreadPoolExecutor(MAX_REQUESTS) as threads:
            columns = list(threads.map(lambda number: self._text_of(number, name), range(len(self._shards))))
        return pa.concat_tables([pa.table({name: pa.array([], pa.large_string())}), *columns])

    def key(self, index: int) -> str:
        """Return a file name for the images of a row group, unique for the group and the state of its file."""
        group = self.groups[index]
        return f"{fingerprint([self._shards[group.shard]])}-{group.number}"

    def _groups_of(self, number: int) -> Iterator[RowGroup]:
        file = parse_footer(self._shards[number], self._footers[number])
        missing = set(self.columns) - set(file.schema.to_arrow_schema().names)
        if missing:
            raise DataError(f"{self._shards[number].path} has no column {min(missing)!r}, unlike the files before it")
        for index in range(file.num_row_groups):
            group = file.row_group(index)
            if group.num_rows:
                yield RowGroup(number, index, group.num_rows, *_byte_range(group, self.columns))

    def _text_of(self, number: int, name: str) -> pa.Table:
        file = parse_footer(self._shards[number], self._footers[number])
        schema = pa.schema([(name, pa.large_string())])
        spans = [_byte_range(file.row_group(index), (name,)) for index in range(file.num_row_groups)]
        return pa.concat_tables(
            [
                schema.empty_table(),
                *(self._read(number, index, span, (name,)).cast(schema) for index, span in enumerate(spans)),
            ]
        )

    def _read(self, shard: int, number: int, span: tuple[int, int], columns: Sequence[str]) -> pa.Table:
        footer = parse_footer(self._shards[shard], self._footers[shard])
        content = _FetchedRange(self._shards[shard].read(*span), span[0], self._shards[shard].size)
        try:
            file = pq.ParquetFile(pa.PythonFile(content, mode="r"), metadata=footer, pre_buffer=False)
            return file.read_row_group(number, columns=list(columns), use_threads=False)
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"{self._shards[shard].path}: {_one_line(error)}") from error


def read_footers(shards: Sequence[ParquetShard]) -> pa.Table:
    """Return a table with a column `footer`: the end of each file, with the length of the footer and `PAR1`."""
    with ThreadPoolExecutor(MAX_REQUESTS) as threads:
        return pa.table({"footer": pa.array(list(threads.map(_footer, shards)), pa.large_binary())})


def parse_footer(shard: ParquetShard, footer: bytes) -> Any:
    """Return a footer as pyarrow's FileMetaData.

    Raises:
        DataError: It is damaged; the message is one line.
    """
    try:
        return pq.read_metadata(io.BytesIO(footer))
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{shard.path} is not a parquet file: {_one_line(error)}") from error


def fingerprint(shards: Sequence[ParquetShard]) -> str:
    """Return a name for the present state of these files."""
    states = "\n".join(f"{shard.path} {shard.size} {shard.modified_ns}" for shard in shards)
    return hashlib.sha256(states.encode()).hexdigest()[:32]


def _footer(shard: ParquetShard) -> bytes:
    if shard.size < 12:
        raise DataError(f"{shard.path} is not a parquet file: it has {shard.size} bytes")
    tail = shard.read(max(0, shard.size - TAIL_BYTES), shard.size)
    length = int.from_bytes(tail[-8:-4], "little") + 8
    if tail[-4:] != b"PAR1" or length > shard.size:
        raise DataError(f"{shard.path} is not a parquet file, or is truncated")
    return tail[-length:] if length <= len(tail) else shard.read(shard.size - length, shard.size)


def _byte_range(group: Any, columns: Sequence[str]) -> tuple[int, int]:
    """Return where the columns of a row group start and stop in their file; what is between them is included."""
    chunks = [group.column(index) for index in range(group.num_columns)]
    needed = [chunk for chunk in chunks if chunk.path_in_schema.split(".")[0] in columns]
    starts = [min(chunk.data_page_offset, chunk.dictionary_page_offset or chunk.data_page_offset) for chunk in needed]
    return min(starts), max(start + chunk.total_compressed_size for start, chunk in zip(starts, needed, strict=True))


class _FetchedRange(io.RawIOBase):
    """A file of which one range was fetched; pyarrow reads nothing else, since the footer says where columns are."""

    def __init__(self, content: bytes, start: int, size: int) -> None:
        self._content, self._start, self._size, self._position = content, start, size, 0

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a position of the whole file."""
        self._position = (0, self._position, self._size)[whence] + offset
        return self._position

    def tell(self) -> int:
        """Return the position in the whole file."""
        return self._position

    def seekable(self) -> bool:
        """Return True."""
        return True

    def readable(self) -> bool:
        """Return True."""
        return True

    def read(self, count: int = -1) -> bytes:
        """Return bytes of the range; raise OSError for bytes outside of it."""
        first = self._position - self._start
        if min(first, count) < 0 or first + count > len(self._content):
            raise OSError("its pages are not where its footer says")
        self._position += count
        return self._content[first : first + count]


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]
