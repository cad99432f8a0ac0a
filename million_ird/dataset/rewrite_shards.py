"""Remove rows from the shards of a dataset without its sources: new shards are made from the old ones.

A shard whose rows are all still kept, and still belong to its split, keeps its bytes. Of the others, the rows to keep
are copied, one row group at a time. Each shard is replaced in one step, and a row that changes its split is written to
its new shard before it leaves the old one. So a kill at any moment loses nothing, and the next call continues.
"""

import hashlib
import itertools
import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from million_ird.dataset.key_ranges import order_of_keys
from million_ird.dataset.shards import KINDS, SHARD_KEY, ShardKind
from million_ird.ledger_stream import LedgerStream
from million_ird.runtime.progress import Listener
from million_ird.runtime.storage import Folder

GROUP_COLUMN = "cluster"
"""The only column of an image that depends on which other images are in the dataset."""
_NAME = re.compile(r"([a-z]+)-(\d+)-of-(\d+)\.parquet")
Positions: TypeAlias = NDArray[np.int64]
_Row: TypeAlias = tuple[str, int]
"""A shard's file name and the number of a row in it."""
_PlacedRow: TypeAlias = tuple[int, _Row]
"""The position of a row among the kept rows, and the row."""


@dataclass(frozen=True, slots=True)
class RewriteSummary:
    """What the shards hold after they were rewritten."""

    images: int
    patches: int
    missing_images: int
    """Kept images that are in no shard: a build has to write them."""


@dataclass(frozen=True, slots=True)
class _Shard:
    """A shard's file, as it is now."""

    name: str
    split: str
    positions: Positions
    """The position of each row among the kept rows; -1 for a row that is not kept."""
    up_to_date: bool
    """Whether `GROUP_COLUMN` is as the ledger has it."""


@dataclass(frozen=True, slots=True)
class _KeptRows:
    """The rows that the ledger keeps, in the order of shards: that of their keys."""

    rows: pa.Table
    """key, split and `GROUP_COLUMN`."""
    splits: NDArray[np.object_]

    @classmethod
    def read(cls, out: Folder) -> "_KeptRows":
        names = ["key", "split", GROUP_COLUMN]
        rows = LedgerStream.of_build(out).kept_table(names)
        order, _ = order_of_keys(rows["key"].to_pylist())
        rows = rows.take(order).combine_chunks().replace_schema_metadata(None)
        return cls(rows, rows["split"].to_numpy(zero_copy_only=False))

    def positions(self, keys: pa.ChunkedArray) -> Positions:
        indices = pc.fill_null(pc.index_in(keys, value_set=self.rows["key"]), -1)
        return np.asarray(indices.to_numpy(zero_copy_only=False), np.int64)


def rewrite_shards(out: Folder, listener: Listener | None = None) -> RewriteSummary:
    """Make the shards hold the rows that the ledger keeps, as far as they held them before.

    Raises:
        LedgerError: There is no ledger.
        DamagedFile: A shard cannot be read.
        BuildError: The disk is full; run again to continue.
    """
    kept = _KeptRows.read(out)
    counts = []
    missing = kept.rows.num_rows
    for kind in KINDS:
        shards = _read_shards(out, kind, kept)
        if additions := _rows_to_add(shards, kept):
            for shard, rows in additions:
                _replace(out, kind, shard, rows, kept)
            shards = _read_shards(out, kind, kept)
        changed = [shard for shard in shards if not _is_unchanged(shard, kept)]
        if listener:
            listener.stage(f"rewrite {kind}", len(changed), "shards")
        for shard in changed:
            _replace(out, kind, shard, [(shard.name, int(i)) for i in np.flatnonzero(_belongs(shard, kept))], kept)
            if listener:
                listener.advance(1)
        counts.append(sum(_renumber(out, kind).values()))
        if kind == "data":
            belonging = (shard.positions[_belongs(shard, kept)] for shard in shards)
            missing -= len(np.unique(np.concatenate([np.empty(0, np.int64), *belonging])))
    return RewriteSummary(counts[0], counts[1], missing)


def _read_shards(out: Folder, kind: ShardKind, kept: _KeptRows) -> list[_Shard]:
    return [_read_shard(out, kind, name, kept) for name in _in_order(out.names(kind))]


def _read_shard(out: Folder, kind: ShardKind, name: str, kept: _KeptRows) -> _Shard:
    columns = ["key", GROUP_COLUMN] if kind == "data" else ["key"]
    rows = out.read_table(f"{kind}/{name}", columns)
    positions = kept.positions(rows["key"])
    up_to_date = True
    if kind == "data":
        is_kept = positions >= 0
        groups = rows[GROUP_COLUMN].filter(pa.array(is_kept)).combine_chunks()
        up_to_date = groups.equals(kept.rows[GROUP_COLUMN].take(pa.array(positions[is_kept])).combine_chunks())
    return _Shard(name, name.partition("-")[0], positions, up_to_date)


def _in_order(names: Sequence[str]) -> list[str]:
    """Sort shards by split and number. After an interrupted renumbering, shards with their new names come first."""
    matches = [match for name in names if (match := _NAME.fullmatch(name))]
    return [match[0] for match in sorted(matches, key=lambda match: (match[1], int(match[3]), int(match[2])))]


def _belongs(shard: _Shard, kept: _KeptRows) -> NDArray[np.bool_]:
    """Return which rows of a shard are kept and of its split, (rows,)."""
    belongs = np.zeros(len(shard.positions), bool)
    is_kept = shard.positions >= 0
    belongs[is_kept] = kept.splits[shard.positions[is_kept]] == shard.split
    return belongs


def _is_unchanged(shard: _Shard, kept: _KeptRows) -> bool:
    return shard.up_to_date and bool(_belongs(shard, kept).all())


def _rows_to_add(shards: Sequence[_Shard], kept: _KeptRows) -> list[tuple[_Shard, list[_Row]]]:
    """Return the shards that get rows from another split, with all rows that they then hold, in order.

    Rows that will leave these shards stay in them for now: their new shard may not have been written yet.
    """
    additions = []
    for split in sorted(set(kept.splits)):
        own = [shard for shard in shards if shard.split == split]
        present = np.concatenate([np.empty(0, np.int64), *(shard.positions for shard in own)])
        arriving: list[_PlacedRow] = []
        for shard in shards:
            if shard.split != split:
                rows = np.flatnonzero((shard.positions >= 0) & ~np.isin(shard.positions, present))
                rows = rows[kept.splits[shard.positions[rows]] == split]
                arriving += [(int(shard.positions[row]), (shard.name, int(row))) for row in rows]
        if arriving and not own:
            own = [_Shard(f"{split}-00000-of-00001.parquet", split, np.empty(0, np.int64), True)]
        for shard, added in _assign_to_shards(own, arriving):
            held = [(int(shard.positions[i]), (shard.name, int(i))) for i in np.flatnonzero(shard.positions >= 0)]
            ordered = sorted([*held, *added], key=lambda placed: placed[0])  # keeps the order of an image's patches
            additions.append((shard, [row for _, row in ordered]))
    return additions


def _assign_to_shards(
    shards: Sequence[_Shard], arriving: Sequence[_PlacedRow]
) -> Iterator[tuple[_Shard, list[_PlacedRow]]]:
    """Assign each row to the last shard that begins before it, or to the first shard."""
    starts, start = [], 0
    for shard in shards:
        kept = shard.positions[shard.positions >= 0]
        start = max(start, int(kept.min())) if len(kept) else start
        starts.append(start)
    assigned = [max(0, int(np.searchsorted(starts, position, "right")) - 1) for position, _ in arriving]
    for number, shard in enumerate(shards):
        added = [placed for placed, index in zip(arriving, assigned, strict=True) if index == number]
        if added:
            yield shard, added


def _replace(out: Folder, kind: ShardKind, shard: _Shard, rows: Sequence[_Row], kept: _KeptRows) -> None:
    """Replace a shard by one of these rows. Its new key is that of no build: the next build writes the shard again."""
    with ExitStack() as stack:
        names = dict.fromkeys(name for name, _ in rows) or {shard.name: None}
        files = {name: stack.enter_context(out.parquet(f"{kind}/{name}")) for name in names}
        example = next(iter(files.values()))
        schema = example.schema_arrow
        old_keys = {name: _metadata(file).get(SHARD_KEY, b"").decode() for name, file in files.items()}
        origins = "".join(f"{old_keys[name]} {row}\n" for name, row in rows)
        shard_key = hashlib.blake2b(f"withdrawn {shard.split}\n{origins}".encode(), digest_size=16).hexdigest()
        schema = schema.with_metadata({**_metadata(example), SHARD_KEY: shard_key.encode()})
        target = stack.enter_context(out.writing(f"{kind}/{shard.name}"))
        with pq.ParquetWriter(target, schema, compression=_compression(example), write_page_index=True) as writer:
            for table in _read_groups(files, rows):
                writer.write_table(_update_groups(table, kind, kept).cast(schema))


def _metadata(file: pq.ParquetFile) -> dict[bytes, bytes]:
    return dict(file.schema_arrow.metadata or {})


def _compression(file: pq.ParquetFile) -> dict[str, str]:
    """Return the compression of each column of a shard."""
    if not file.num_row_groups:
        return {}
    group = file.metadata.row_group(0)
    columns = [group.column(i) for i in range(group.num_columns)]
    return {column.path_in_schema: column.compression.lower().replace("uncompressed", "none") for column in columns}


def _read_groups(files: dict[str, pq.ParquetFile], rows: Sequence[_Row]) -> Iterator[pa.Table]:
    """Read the rows, in order. Rows of one row group stay together, and only one row group is in memory."""
    starts = {name: _group_starts(file) for name, file in files.items()}

    def group_of(row: _Row) -> tuple[str, int]:
        return row[0], int(np.searchsorted(starts[row[0]], row[1], "right")) - 1

    for (name, group), run in itertools.groupby(rows, group_of):
        indices = pa.array([row - int(starts[name][group]) for _, row in run], pa.int64())
        yield files[name].read_row_group(group).take(indices)


def _group_starts(file: pq.ParquetFile) -> Positions:
    """Return the number of the first row of each row group."""
    sizes = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
    return np.cumsum([0, *sizes])[:-1].astype(np.int64)


def _update_groups(table: pa.Table, kind: ShardKind, kept: _KeptRows) -> pa.Table:
    """Return the rows with `GROUP_COLUMN` as the ledger has it now."""
    if kind != "data":
        return table
    column = kept.rows[GROUP_COLUMN].take(pa.array(kept.positions(table["key"])))
    return table.set_column(table.column_names.index(GROUP_COLUMN), table.schema.field(GROUP_COLUMN), column)


def _renumber(out: Folder, kind: ShardKind) -> dict[str, int]:
    """Remove empty shards, except for one of an empty split, number the others, and return their rows by name."""
    counts: dict[str, int] = {}
    for split, group in itertools.groupby(_in_order(out.names(kind)), lambda name: name.partition("-")[0]):
        rows = {name: _rows(out, f"{kind}/{name}") for name in group}
        empty = [name for name, count in rows.items() if not count]
        for name in empty[1:] if len(empty) == len(rows) else empty:
            out.remove(f"{kind}/{name}")
            del rows[name]
        for number, (name, count) in enumerate(rows.items()):
            numbered = f"{split}-{number:05d}-of-{len(rows):05d}.parquet"
            if name != numbered:
                out.rename(f"{kind}/{name}", f"{kind}/{numbered}")
            counts[numbered] = count
    return counts


def _rows(out: Folder, name: str) -> int:
    with out.parquet(name) as file:
        return int(file.metadata.num_rows)
