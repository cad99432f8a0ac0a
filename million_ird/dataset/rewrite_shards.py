"""Takes rows out of the shards of a set without its sources: shards are made from shards.

A shard whose rows are all still kept, in the split that it is of, keeps its bytes; of the others the rows that stay are
copied, a row group at a time. Each shard is replaced in one step, and a row that changes its split is in its new place
before it leaves the old one. So a kill at any moment loses nothing, and the next call goes on.
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

from million_ird import ledger as ledgers
from million_ird.dataset.shards import UNIT
from million_ird.ledger import KEPT
from million_ird.runtime.progress import Listener
from million_ird.runtime.storage import Folder

KINDS = ("data", "patches")
OF_OTHERS = "cluster"
"""The one column beside a picture that depends on which others are in the set."""
_NAME = re.compile(r"([a-z]+)-(\d+)-of-(\d+)\.parquet")
Places: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """What is left in the shards."""

    images: int
    patches: int
    lacking: int
    """Kept pictures that are in no shard: a build has to bring them."""


@dataclass(frozen=True, slots=True)
class _Shard:
    name: str
    split: str
    places: Places
    """Of each row: its place in the list of what is kept, -1 where it is not kept."""
    agrees: bool
    """Whether what stands beside the pictures is what the ledger says."""


@dataclass(frozen=True, slots=True)
class _Kept:
    """What the ledger keeps."""

    rows: pa.Table
    """key, split and `OF_OTHERS`."""
    splits: NDArray[np.object_]

    @classmethod
    def of(cls, out: Folder) -> "_Kept":
        names = ["key", "split", OF_OTHERS]
        read = (out.read_table(name, [*names, "verdict"]) for name in ledgers.files(out))
        rows = pa.concat_tables([table.filter(pc.equal(table["verdict"], KEPT)).select(names) for table in read])
        rows = rows.combine_chunks().replace_schema_metadata(None)
        return cls(rows, rows["split"].to_numpy(zero_copy_only=False))

    def places(self, keys: pa.ChunkedArray) -> Places:
        found = pc.fill_null(pc.index_in(keys, value_set=self.rows["key"]), -1)
        return np.asarray(found.to_numpy(zero_copy_only=False), np.int64)


_Row: TypeAlias = tuple[str, int]
"""A shard's file and the number of a row in it."""
_Placed: TypeAlias = tuple[int, _Row]
"""The place of a row in the list of what is kept, and the row."""


def withdraw(out: Folder, listener: Listener | None = None) -> Withdrawn:
    """Makes the shards hold what the ledger keeps, as far as they held it before.

    Raises:
        LedgerError: there is no ledger.
        DamagedFile: a shard cannot be read.
        BuildError: the disk is full; run again to go on.
    """
    kept = _Kept.of(out)
    counts = []
    lacking = kept.rows.num_rows
    for kind in KINDS:
        shards = _shards(out, kind, kept)
        if arrivals := _arrivals(shards, kept):
            for shard, rows in arrivals:
                _replace(out, kind, shard, rows, kept)
            shards = _shards(out, kind, kept)
        changed = [shard for shard in shards if not _is_right(shard, kept)]
        if listener:
            listener.stage(f"rewrite {kind}", len(changed), "shards")
        for shard in changed:
            _replace(out, kind, shard, [(shard.name, int(i)) for i in np.flatnonzero(_stays(shard, kept))], kept)
            if listener:
                listener.advance(1)
        left = _renumber(out, kind)
        counts.append(sum(left.values()))
        if kind == "data":
            there = np.concatenate([np.empty(0, np.int64), *(shard.places[_stays(shard, kept)] for shard in shards)])
            lacking -= len(np.unique(there))
    return Withdrawn(counts[0], counts[1], lacking)


def _shards(out: Folder, kind: str, kept: _Kept) -> list[_Shard]:
    return [_shard(out, kind, name, kept) for name in _in_order(out.names(kind))]


def _shard(out: Folder, kind: str, name: str, kept: _Kept) -> _Shard:
    columns = ["key", OF_OTHERS] if kind == "data" else ["key"]
    rows = out.read_table(f"{kind}/{name}", columns)
    places = kept.places(rows["key"])
    agrees = True
    if kind == "data":
        at = places >= 0
        said = rows[OF_OTHERS].filter(pa.array(at)).combine_chunks()
        agrees = said.equals(kept.rows[OF_OTHERS].take(pa.array(places[at])).combine_chunks())
    return _Shard(name, name.partition("-")[0], places, agrees)


def _in_order(names: Sequence[str]) -> list[str]:
    """By split and number. Of a numbering that was cut off, those that have their new name are the first."""
    found = [(match, name) for name in names if (match := _NAME.fullmatch(name))]
    return [name for _, name in sorted(found, key=lambda one: (one[0][1], int(one[0][3]), int(one[0][2])))]


def _stays(shard: _Shard, kept: _Kept) -> NDArray[np.bool_]:
    here = np.zeros(len(shard.places), bool)
    at = shard.places >= 0
    here[at] = kept.splits[shard.places[at]] == shard.split
    return here


def _is_right(shard: _Shard, kept: _Kept) -> bool:
    return shard.agrees and bool(_stays(shard, kept).all())


def _arrivals(shards: Sequence[_Shard], kept: _Kept) -> list[tuple[_Shard, list[_Row]]]:
    """The shards that get rows of another split, with all that they hold then, in the order of the ledger.

    Rows that will leave these shards stay for now: they may not have come to their new place yet.
    """
    found = []
    for split in sorted(set(kept.splits)):
        own = [shard for shard in shards if shard.split == split]
        there = np.concatenate([np.empty(0, np.int64), *(shard.places for shard in own)])
        coming: list[_Placed] = []
        for shard in shards:
            if shard.split != split:
                at = np.flatnonzero((shard.places >= 0) & ~np.isin(shard.places, there))
                at = at[kept.splits[shard.places[at]] == split]
                coming += [(int(shard.places[row]), (shard.name, int(row))) for row in at]
        if coming and not own:
            own = [_Shard(f"{split}-00000-of-00001.parquet", split, np.empty(0, np.int64), True)]
        for shard, part in _dealt(own, coming):
            held = [(int(shard.places[i]), (shard.name, int(i))) for i in np.flatnonzero(shard.places >= 0)]
            ordered = sorted([*held, *part], key=lambda one: one[0])  # keeps the order of patches of one picture
            found.append((shard, [row for _, row in ordered]))
    return found


def _dealt(
    own: Sequence[_Shard], coming: Sequence[tuple[int, _Row]]
) -> Iterator[tuple[_Shard, list[tuple[int, _Row]]]]:
    """Each row goes to the last shard that begins before it, or to the first."""
    begins, least = [], 0
    for shard in own:
        kept = shard.places[shard.places >= 0]
        least = max(least, int(kept.min())) if len(kept) else least
        begins.append(least)
    which = [max(0, int(np.searchsorted(begins, place, "right")) - 1) for place, _ in coming]
    for number, shard in enumerate(own):
        part = [one for one, chosen in zip(coming, which, strict=True) if chosen == number]
        if part:
            yield shard, part


def _replace(out: Folder, kind: str, shard: _Shard, rows: Sequence[_Row], kept: _Kept) -> None:
    """Writes a shard anew, of these rows. The hash in its footer is no build's, so the next build writes it again."""
    with ExitStack() as stack:
        names = dict.fromkeys(name for name, _ in rows) or {shard.name: None}
        files = {name: stack.enter_context(out.parquet(f"{kind}/{name}")) for name in names}
        example = next(iter(files.values()))
        schema = example.schema_arrow
        units = {name: _metadata(file).get(UNIT, b"").decode() for name, file in files.items()}
        told = "".join(f"{units[name]} {row}\n" for name, row in rows)
        unit = hashlib.blake2b(f"withdrawn {shard.split}\n{told}".encode(), digest_size=16).hexdigest()
        schema = schema.with_metadata({**_metadata(example), UNIT: unit.encode()})
        target = stack.enter_context(out.writing(f"{kind}/{shard.name}"))
        with pq.ParquetWriter(target, schema, compression=_compression(example), write_page_index=True) as writer:
            for table in _groups(files, rows):
                writer.write_table(_updated(table, kind, kept).cast(schema))


def _metadata(file: pq.ParquetFile) -> dict[bytes, bytes]:
    return dict(file.schema_arrow.metadata or {})


def _compression(file: pq.ParquetFile) -> dict[str, str]:
    """As the shard is compressed that the rows come from."""
    if not file.num_row_groups:
        return {}
    group = file.metadata.row_group(0)
    columns = [group.column(i) for i in range(group.num_columns)]
    return {one.path_in_schema: one.compression.lower().replace("uncompressed", "none") for one in columns}


def _groups(files: dict[str, pq.ParquetFile], rows: Sequence[_Row]) -> Iterator[pa.Table]:
    """The rows, in order; those that stood in one row group stay together, and only one is in memory."""
    starts = {name: _starts(file) for name, file in files.items()}

    def group_of(row: _Row) -> tuple[str, int]:
        return row[0], int(np.searchsorted(starts[row[0]], row[1], "right")) - 1

    for (name, group), run in itertools.groupby(rows, group_of):
        wanted = pa.array([row - int(starts[name][group]) for _, row in run], pa.int64())
        yield files[name].read_row_group(group).take(wanted)


def _starts(file: pq.ParquetFile) -> Places:
    """The number of the first row of each row group."""
    sizes = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
    return np.cumsum([0, *sizes])[:-1].astype(np.int64)


def _updated(table: pa.Table, kind: str, kept: _Kept) -> pa.Table:
    """The rows, with what the ledger says now of how they are to others."""
    if kind != "data":
        return table
    column = kept.rows[OF_OTHERS].take(pa.array(kept.places(table["key"])))
    return table.set_column(table.column_names.index(OF_OTHERS), table.schema.field(OF_OTHERS), column)


def _renumber(out: Folder, kind: str) -> dict[str, int]:
    """Removes shards of no rows, all but one of a split, and numbers the others; their rows by name."""
    found: dict[str, int] = {}
    for split, group in itertools.groupby(_in_order(out.names(kind)), lambda name: name.partition("-")[0]):
        rows = {name: _rows(out, f"{kind}/{name}") for name in group}
        empty = [name for name, count in rows.items() if not count]
        for name in empty[1:] if len(empty) == len(rows) else empty:
            out.remove(f"{kind}/{name}")
            del rows[name]
        for number, (name, count) in enumerate(rows.items()):
            right = f"{split}-{number:05d}-of-{len(rows):05d}.parquet"
            if name != right:
                out.rename(f"{kind}/{name}", f"{kind}/{right}")
            found[right] = count
    return found


def _rows(out: Folder, name: str) -> int:
    with out.parquet(name) as file:
        return int(file.metadata.num_rows)
