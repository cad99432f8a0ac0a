"""Equal hashes among more rows than memory has room for.

They are distributed to buckets on disk by their last digits, and one bucket at a time is compared.
"""

import contextlib
import tempfile
from collections.abc import Iterable, Iterator
from types import TracebackType

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from million_ird.dedup.clusters import labels_of
from million_ird.dedup.search_keys import Positions

BUCKETS = 64
IN_MEMORY = 500_000
"""Up to this many hashes stay in memory: 50 MB, at 64 characters each."""
_SCHEMA = pa.schema([pa.field("position", pa.int64()), pa.field("text", pa.string())])


class HashBuckets:
    """Texts in temporary files on disk; a context manager that removes them. Memory holds 8 bytes of each text."""

    def __init__(self, scratch: str | None) -> None:
        """Prepare empty buckets in a folder on a local disk; in the system's own if None."""
        self._stack = contextlib.ExitStack()
        self._folder = self._stack.enter_context(tempfile.TemporaryDirectory(dir=scratch, prefix=".tmp-"))
        self._writers: list[pa.RecordBatchStreamWriter] = []
        for number in range(BUCKETS):
            sink = self._stack.enter_context(pa.OSFile(self._path(number), "wb"))
            self._writers.append(self._stack.enter_context(pa.ipc.new_stream(sink, _SCHEMA)))
        self._count = 0

    def __enter__(self) -> "HashBuckets":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def add(self, texts: pa.Array) -> None:
        """Append texts; a null is in no bucket."""
        known = np.flatnonzero(np.asarray(texts.is_valid().to_numpy(zero_copy_only=False), bool))
        positions = self._count + known
        self._count += len(texts)
        chosen = texts.take(pa.array(known))
        buckets = _bucket_of(chosen)
        order = np.argsort(buckets, kind="stable")
        table = pa.table([pa.array(positions[order]), chosen.take(pa.array(order))], schema=_SCHEMA)
        ends = np.searchsorted(buckets[order], np.arange(BUCKETS + 1))
        for writer, low, high in zip(self._writers, ends[:-1].tolist(), ends[1:].tolist(), strict=True):
            if low < high:
                writer.write_table(table.slice(low, high - low))

    def labels(self) -> Positions:
        """Return a label for each text that was added: equal texts have equal labels, nulls -1: (n,) int64."""
        for writer in self._writers:
            writer.close()
        labels = np.full(self._count, -1, np.int64)
        used = 0
        for number in range(BUCKETS):
            with pa.OSFile(self._path(number), "rb") as source:
                table = pa.ipc.open_stream(source).read_all()
            if table.num_rows:
                own = labels_of(table["text"])
                labels[table["position"].to_numpy()] = used + own
                used += int(own.max()) + 1
        return labels

    def repeated(self) -> Iterator[tuple[int, str, int]]:
        """Yield the texts that were added more than once: the position of the first, the text, and how many they are.

        They are in no order; memory holds one bucket.
        """
        for writer in self._writers:
            writer.close()
        for number in range(BUCKETS):
            with pa.OSFile(self._path(number), "rb") as source:
                table = pa.ipc.open_stream(source).read_all()
            yield from _repeated(table)

    def _path(self, number: int) -> str:
        return f"{self._folder}/{number:02d}"


def labels_of_many(columns: Iterable[pa.Array], count: int, scratch: str | None) -> Positions:
    """Return a label for each of `count` texts of several arrays, one array after the other: (count,) int64.

    Equal texts have equal labels, and nulls have -1. Few texts are compared in memory, many in `HashBuckets`.
    """
    if count <= IN_MEMORY:
        return labels_of(pa.chunked_array([*columns], pa.string()))
    with HashBuckets(scratch) as buckets:
        for column in columns:
            buckets.add(column)
        return buckets.labels()


def repeated_texts(columns: Iterable[pa.Array], count: int) -> Iterator[tuple[str, int]]:
    """Yield the texts that `count` texts have more than once, in the order of their first ones, and how many they are.

    Many texts are compared in files of the system's temporary folder. The repeated ones are in memory.
    """
    if count <= IN_MEMORY:
        texts = pa.chunked_array([*columns], pa.string())
        found = _repeated(pa.table([pa.array(np.arange(len(texts))), texts], schema=_SCHEMA))
        yield from ((text, number) for _, text, number in sorted(found))
        return
    with HashBuckets(None) as buckets:
        for column in columns:
            buckets.add(column)
        yield from ((text, number) for _, text, number in sorted(buckets.repeated()))


def _repeated(table: pa.Table) -> Iterator[tuple[int, str, int]]:
    grouped = table.group_by("text").aggregate([("position", "min"), ("position", "count")])
    chosen = grouped.filter(pc.and_(pc.greater(grouped["position_count"], 1), pc.is_valid(grouped["text"])))
    for row in chosen.to_pylist():
        yield row["position_min"], row["text"], row["position_count"]


def _bucket_of(texts: pa.Array) -> NDArray[np.int64]:
    """Return a number below `BUCKETS` that depends on the last two characters of each text: (n,) int64."""
    if not len(texts):
        return np.empty(0, np.int64)
    _, offsets, content = texts.buffers()
    ends = np.frombuffer(offsets, np.int32)[texts.offset : texts.offset + len(texts) + 1].astype(np.int64)
    data = np.concatenate([np.zeros(2, np.uint8), np.frombuffer(content or b"", np.uint8)])
    lengths = np.diff(ends)
    last = np.where(lengths > 0, data[ends[1:] + 1], 0).astype(np.int64)
    second = np.where(lengths > 1, data[ends[1:]], 0).astype(np.int64)
    return (_digit(second) * 16 + _digit(last)) % BUCKETS


def _digit(characters: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the value of hexadecimal digits; some number below 64 of any other character."""
    return (characters & 15) + 9 * (characters >> 6)
