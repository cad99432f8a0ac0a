"""A dataset that is not downloaded as a whole: row groups are fetched when rows of them are drawn.

At first, only the footers of the parquet files are read, which say where the rows are (`row_groups`). The images of a
row group are fetched in one request, once per machine, and kept in a folder with a size limit (`group_cache`).
`shuffle_window` decides which groups are drawn from at a step. A row is the same image as in `hub_set`.
"""

import atexit
import functools
import hashlib
import logging
import os
import threading
from collections import OrderedDict
from collections.abc import Sequence, Set
from pathlib import Path, PurePosixPath
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from dynet.data.group_cache import GroupCache
from dynet.data.hub_set import CLEAN, PAIR, hash64
from dynet.data.image_set import CropPair, StoredImage, crop_from
from dynet.data.row_groups import RowGroups, fingerprint, parse_footer, read_footers
from dynet.data.shards import ParquetShard, find_shards
from dynet.data.shuffle_window import OPEN_GROUPS, Rows, next_group, open_groups
from dynet.errors import DataError

logger = logging.getLogger(__name__)
_PREFETCHING = "prefetching"
_exiting = threading.Event()
_EXIT_SECONDS = 10.0

MAX_CACHE_BYTES = 8_000_000_000
"""How much streamed data a run keeps: about four windows of row groups of 64 MB."""


class StreamedSet:
    """The rows of a split of a dataset on the Hub, or in a folder of parquet files, in their order."""

    def __init__(
        self, location: str, task: str | None, cache: Path, *, split: str = "train", max_bytes: int = MAX_CACHE_BYTES
    ) -> None:
        """Find the files and read their footers.

        Args:
            location: The repository or the folder.
            task: The task that the user names, or None.
            cache: The run's folder for fetched data.
            split: The split to open.
            max_bytes: The size limit of that folder.

        Raises:
            DataError: The dataset cannot be reached, or has no images in parquet files; the message is one line.
        """
        splits = find_shards(location)
        if split not in splits:
            raise DataError(f"--data {location} has no split {split!r}, but {', '.join(splits)}")
        self.location, self.task = location, task
        self._cache = GroupCache(cache, max_bytes)
        self._shards = splits[split]
        name = f"footers-{fingerprint(self._shards)}"
        footers = self._cache.open(name, lambda: read_footers(self._shards)).column("footer").to_pylist()
        self._footers = hashlib.sha256(b"".join(hashlib.sha256(footer).digest() for footer in footers)).digest()
        columns, self._names = _image_columns(location, self._shards, footers)
        self.paired = columns == PAIR
        self._groups = RowGroups(self._shards, footers, columns)
        self._starts = np.cumsum([0, *(group.rows for group in self._groups.groups)], dtype=np.int64)
        self._reset_process_state()
        self.validation = None if split != "train" else self._open_validation(splits, cache, max_bytes)
        if split == "train":
            self._check_size(max_bytes)

    def _open_validation(self, splits: dict[str, list[ParquetShard]], cache: Path, max_bytes: int) -> Self | None:
        if "validation" not in splits:
            return None
        validation = type(self)(self.location, self.task, cache, split="validation", max_bytes=max_bytes)
        return validation if len(validation) else None

    def _check_size(self, max_bytes: int) -> None:
        if len(self) == 0:
            raise DataError(f"--data {self.location} holds no images")
        window = sum(sorted(group.stop - group.start for group in self._groups.groups)[-OPEN_GROUPS:])
        if window > max_bytes:
            logger.warning(
                "--data %s: a window has up to %.1f GB, but only %.1f GB are kept: row groups will be fetched "
                "repeatedly",
                self.location,
                window / 1e9,
                max_bytes / 1e9,
            )

    def _reset_process_state(self) -> None:
        """Clear what belongs to one process: open tables, and the thread that prefetches."""
        self._process = os.getpid()
        self._tables: OrderedDict[int, pa.Table] = OrderedDict()
        self._prefetched: tuple[int, ...] = ()
        self._prefetching: threading.Thread | None = None
        self._spans: tuple[tuple[int, ...], Rows] | None = None

    def __getstate__(self) -> dict[str, Any]:
        process_state = {"_process", "_tables", "_prefetched", "_prefetching", "_spans"}
        return {name: value for name, value in self.__dict__.items() if name not in process_state}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._reset_process_state()

    def __len__(self) -> int:
        return int(self._starts[-1])

    def identity(self) -> bytes:
        """Return a hash of the files' footers, which contain rows, sizes and the range of ids of each row group."""
        return self._footers

    def group_ids(self) -> npt.NDArray[np.uint64]:
        """Return the numbers of groups: patches of the same image, or single rows if no column says which.

        This fetches that column of the whole dataset, and nothing else.
        """
        columns = [name for name in ("parent", "id") if name in self._names]
        if not columns:
            return np.array([hash64(str(row)) for row in range(len(self))], np.uint64)
        names, indices = self._distinct_values(columns[0])
        return np.array([hash64(str(name)) for name in names], np.uint64)[indices]

    def rows_from_files(self, stems: Set[str]) -> Rows:
        """Return the rows whose column `uri` has one of these names; this fetches that column."""
        if "uri" not in self._names:
            return np.empty(0, np.int64)
        names, indices = self._distinct_values("uri")
        is_listed = np.array([PurePosixPath(str(name)).stem.casefold() in stems for name in names], bool)
        return np.flatnonzero(is_listed[indices])

    def _distinct_values(self, name: str) -> tuple[list[object], Rows]:
        """Return the distinct values of a column of text, and for each row the index of its value among them."""
        key = f"{name}-{fingerprint(self._shards)}"
        column = self._cache.open(key, lambda: self._groups.fetch_text(name)).column(name)
        encoded = pc.dictionary_encode(column, null_encoding="encode").combine_chunks()
        return encoded.dictionary.to_pylist(), encoded.indices.to_numpy().astype(np.int64)

    def row_spans(self, seed: int, step: int) -> Rows:
        """Return the spans of rows to draw from at a step, and start to fetch them in the background."""
        self._reset_after_fork()
        groups = open_groups(seed, step, len(self._groups.groups))
        if self._spans is None or self._spans[0] != groups:
            numbers = np.sort(groups)
            self._spans = groups, np.stack([self._starts[numbers], self._starts[numbers + 1]], axis=1)
        self._prefetch((*groups, *next_group(seed, step, len(self._groups.groups))))
        return self._spans[1]

    def crop(self, row: int, size: int, random: np.random.Generator, grid_share: float = 0.0) -> CropPair:
        """Return a crop, as `ImageSet.crop` says; messages name images by row."""
        number = int(np.searchsorted(self._starts, row, side="right")) - 1
        table, index = self._table(number), row - int(self._starts[number])
        if not self.paired:
            return crop_from(None, self._stored(table, CLEAN, index, f"row {row}"), size, random, grid_share)
        degraded, clean = (self._stored(table, name, index, f"{name} of row {row}") for name in PAIR)
        return crop_from(degraded, clean, size, random, grid_share)

    def _stored(self, table: pa.Table, column: str, index: int, name: str) -> StoredImage:
        value = table.column(column)[index]
        content = value["bytes"].as_py() if value.is_valid else None
        if content is None:
            raise DataError(f"{name} of {self.location} has no image")
        return StoredImage(content, f"{name} of {self.location}")

    def _table(self, number: int) -> pa.Table:
        """Return the images of a row group, memory-mapped."""
        self._reset_after_fork()
        table = self._tables.get(number)
        if table is None:
            table = self._cache.open(self._groups.key(number), functools.partial(self._groups.fetch, number))
            self._tables[number] = table
            while len(self._tables) > OPEN_GROUPS:
                self._tables.popitem(last=False)
        self._tables.move_to_end(number)
        return table

    def _reset_after_fork(self) -> None:
        if self._process != os.getpid():
            self._reset_process_state()

    def _prefetch(self, groups: tuple[int, ...]) -> None:
        """Fetch missing groups in a thread, in the order in which they close."""
        if groups == self._prefetched or (self._prefetching is not None and self._prefetching.is_alive()):
            return
        self._prefetched = groups
        self._prefetching = threading.Thread(target=self._fetch_all, args=(groups,), daemon=True, name=_PREFETCHING)
        self._prefetching.start()

    def _fetch_all(self, groups: Sequence[int]) -> None:
        for number in groups:
            if _exiting.is_set():
                return
            try:
                self._cache.add_unless_locked(self._groups.key(number), functools.partial(self._groups.fetch, number))
            except DataError as error:  # drawing from this group raises it again
                logger.info("not prefetched: %s", error)
                return


@atexit.register
def _end_prefetching() -> None:
    """Wait for the group that a thread fetches: one that is stopped inside a library would abort the process."""
    _exiting.set()
    for thread in threading.enumerate():
        if thread.name == _PREFETCHING:
            thread.join(_EXIT_SECONDS)


def _image_columns(
    location: str, shards: Sequence[ParquetShard], footers: Sequence[bytes]
) -> tuple[tuple[str, ...], set[str]]:
    """Return the columns of images, and the names of all columns."""
    if not shards:
        raise DataError(f"--data {location} holds no images")
    schema = parse_footer(shards[0], footers[0]).schema.to_arrow_schema()
    columns = PAIR if set(PAIR) <= set(schema.names) else (CLEAN,)
    if columns[0] not in schema.names:
        names = ", ".join(schema.names)
        raise DataError(f"--data {location} has neither a column 'image' nor 'input' and 'target', but {names}")
    for name in columns:
        kind = schema.field(name).type
        if not (pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0):
            raise DataError(f"--data {location}: column {name!r} holds no images, but {kind}")
    return columns, set(schema.names)
