"""A data set used without downloading it whole: row groups are fetched when they are drawn from.

Only the footers of the parquet files, which say where rows are, are read at first (row_groups.py). A row group's
pictures are fetched in one request, once on a machine, and kept in a bounded folder (group_cache.py). Which groups are
drawn from at a step says window.py. A row is the same picture as in the set opened whole (built_set.py).
"""

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

MAX_CACHE_BYTES = 8_000_000_000
"""That a run keeps of what it streamed: about four windows of row groups of 64 MB."""


class StreamedSet:
    """The rows of a split of a data set on the Hub, or in a folder of parquet files, in their order."""

    def __init__(
        self, location: str, task: str | None, cache: Path, *, split: str = "train", max_bytes: int = MAX_CACHE_BYTES
    ) -> None:
        """Find the files and read their footers; `cache` is the run's own folder for what is fetched.

        Raises DataError in one line for what is no set of pictures in parquet files, or is out of reach.
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
        columns, self._names = _described(location, self._shards, footers)
        self.paired = columns == PAIR
        self._groups = RowGroups(self._shards, footers, columns)
        self._starts = np.cumsum([0, *(group.rows for group in self._groups.groups)], dtype=np.int64)
        self._forget()
        self.validation = None if split != "train" else self._beside(splits, cache, max_bytes)
        if split == "train":
            self._check(max_bytes)

    def _beside(self, splits: dict[str, list[ParquetShard]], cache: Path, max_bytes: int) -> Self | None:
        if "validation" not in splits:
            return None
        beside = type(self)(self.location, self.task, cache, split="validation", max_bytes=max_bytes)
        return beside if len(beside) else None

    def _check(self, max_bytes: int) -> None:
        if len(self) == 0:
            raise DataError(f"--data {self.location} holds no pictures")
        window = sum(sorted(group.stop - group.start for group in self._groups.groups)[-OPEN_GROUPS:])
        if window > max_bytes:
            logger.warning(
                "--data %s: up to %.1f GB are drawn from at a time, but %.1f GB are kept: row groups will be fetched "
                "again and again",
                self.location,
                window / 1e9,
                max_bytes / 1e9,
            )

    def _forget(self) -> None:
        """Starts anew with what a process holds for itself: open tables, and what is fetched ahead."""
        self._process = os.getpid()
        self._open: OrderedDict[int, pa.Table] = OrderedDict()
        self._looked: tuple[int, ...] = ()
        self._ahead: threading.Thread | None = None
        self._spans: tuple[tuple[int, ...], Rows] | None = None

    def __getstate__(self) -> dict[str, Any]:
        own = {"_process", "_open", "_looked", "_ahead", "_spans"}
        return {name: value for name, value in self.__dict__.items() if name not in own}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._forget()

    def __len__(self) -> int:
        return int(self._starts[-1])

    def identity(self) -> bytes:
        """A hash of the files' footers, which tell rows, sizes and the range of ids of each row group."""
        return self._footers

    def group_ids(self) -> npt.NDArray[np.uint64]:
        """By the picture that a patch is a part of; in a set that does not say, each row is its own.

        Fetches that column of the whole set, and nothing else.
        """
        known = [name for name in ("parent", "id") if name in self._names]
        if not known:
            return np.array([hash64(str(row)) for row in range(len(self))], np.uint64)
        names, indices = self._distinct(known[0])
        return np.array([hash64(str(name)) for name in names], np.uint64)[indices]

    def rows_from_files(self, stems: Set[str]) -> Rows:
        """By the column `uri`, which says where the builder had a picture from; fetches that column."""
        if "uri" not in self._names:
            return np.empty(0, np.int64)
        names, indices = self._distinct("uri")
        listed = np.array([PurePosixPath(str(name)).stem.casefold() in stems for name in names], bool)
        return np.flatnonzero(listed[indices])

    def _distinct(self, name: str) -> tuple[list[object], Rows]:
        """The different values of a column of text, and for each row the place of its own among them."""
        key = f"{name}-{fingerprint(self._shards)}"
        column = self._cache.open(key, lambda: self._groups.fetch_text(name)).column(name)
        encoded = pc.dictionary_encode(column, null_encoding="encode").combine_chunks()
        return encoded.dictionary.to_pylist(), encoded.indices.to_numpy().astype(np.int64)

    def row_spans(self, seed: int, step: int) -> Rows:
        """(n, 2): the rows to draw from at a step, as first and one after last; they are fetched in the background."""
        self._leave_what_a_parent_process_had()
        groups = open_groups(seed, step, len(self._groups.groups))
        if self._spans is None or self._spans[0] != groups:
            numbers = np.sort(groups)
            self._spans = groups, np.stack([self._starts[numbers], self._starts[numbers + 1]], axis=1)
        self._look_ahead((*groups, *next_group(seed, step, len(self._groups.groups))))
        return self._spans[1]

    def crop(self, row: int, size: int, random: np.random.Generator) -> CropPair:
        """As `ImageSet.crop`; files are named by row."""
        number = int(np.searchsorted(self._starts, row, side="right")) - 1
        table, place = self._table(number), row - int(self._starts[number])
        if not self.paired:
            return crop_from(None, self._encoded(table, CLEAN, place, f"row {row}"), size, random)
        degraded, clean = (self._encoded(table, name, place, f"{name} of row {row}") for name in PAIR)
        return crop_from(degraded, clean, size, random)

    def _encoded(self, table: pa.Table, column: str, place: int, name: str) -> StoredImage:
        value = table.column(column)[place]
        found = value["bytes"].as_py() if value.is_valid else None
        if found is None:
            raise DataError(f"{name} of {self.location} has no picture")
        return StoredImage(found, f"{name} of {self.location}")

    def _table(self, number: int) -> pa.Table:
        """The pictures of a row group, memory-mapped."""
        self._leave_what_a_parent_process_had()
        table = self._open.get(number)
        if table is None:
            table = self._cache.open(self._groups.key(number), functools.partial(self._groups.fetch, number))
            self._open[number] = table
            while len(self._open) > OPEN_GROUPS:
                self._open.popitem(last=False)
        self._open.move_to_end(number)
        return table

    def _leave_what_a_parent_process_had(self) -> None:
        if self._process != os.getpid():
            self._forget()

    def _look_ahead(self, groups: tuple[int, ...]) -> None:
        """Fetch groups that are not here yet, in the order in which they close, while the caller goes on."""
        if groups == self._looked or (self._ahead is not None and self._ahead.is_alive()):
            return
        self._looked = groups
        self._ahead = threading.Thread(target=self._fetch_all, args=(groups,), daemon=True, name="fetching ahead")
        self._ahead.start()

    def _fetch_all(self, groups: Sequence[int]) -> None:
        for number in groups:
            try:
                self._cache.add_unless_locked(self._groups.key(number), functools.partial(self._groups.fetch, number))
            except DataError as error:  # who draws from this group meets it again, and says so
                logger.info("not fetched ahead: %s", error)
                return


def _described(
    location: str, shards: Sequence[ParquetShard], footers: Sequence[bytes]
) -> tuple[tuple[str, ...], set[str]]:
    """The columns that hold pictures, and the names of all."""
    if not shards:
        raise DataError(f"--data {location} holds no pictures")
    schema = parse_footer(shards[0], footers[0]).schema.to_arrow_schema()
    columns = PAIR if set(PAIR) <= set(schema.names) else (CLEAN,)
    if columns[0] not in schema.names:
        names = ", ".join(schema.names)
        raise DataError(f"--data {location} has neither a column 'image' nor 'input' and 'target', but {names}")
    for name in columns:
        kind = schema.field(name).type
        if not (pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0):
            raise DataError(f"--data {location}: column {name!r} holds no pictures, but {kind}")
    return columns, set(schema.names)
