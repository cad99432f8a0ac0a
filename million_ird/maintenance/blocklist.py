"""What is refused for good: `removed.parquet`, a row a picture, sorted by id.

A picture that was named, and each copy of it, is refused by the hashes of its bytes and of its pixels, its pHash and
its points, so that it is known again re-encoded, resized or cropped. Another picture of the set that shows some of it
goes too, with its own copies, but by the hashes of its bytes and pixels alone: what resembles only that one may stay.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from million_ird import ledger as ledgers
from million_ird.decide.leaks import find_leaks
from million_ird.errors import UsageError
from million_ird.fingerprints import REMOVED, SCHEMA, load_removed
from million_ird.runtime.storage import Folder
from million_ird.scan.scan_table import Scanned, from_ledger

_COLUMNS = ("id", "pixels_id", "width", "height", "phash", "points")
"""No frame: it is a picture, if a blurred one. No uri: it may name somebody."""
_SIMILARITY = ("phash", "points")
_NAMED_AT_MOST = 5
_Refusals: TypeAlias = dict[str, Mapping[str, Any]]
"""By id."""


@dataclass(frozen=True, slots=True)
class Refused:
    """What a set refuses now."""

    keys: frozenset[str]
    """The candidates that it is about."""
    new: int
    """How many of them were not refused before."""
    unknown: int
    """Named candidates that were never read, so that there is nothing to know them again by."""


def refuse(folder: Folder, names: Sequence[str]) -> Refused:
    """Adds candidates to what the set refuses. Nothing else is changed.

    Args:
        folder: of a build.
        names: ids, keys, uris or `source/uri`s.

    Raises:
        UsageError: nothing goes by one of the names; nothing was changed.
        LedgerError: nothing was decided yet.
    """
    files = ledgers.files(folder)
    rows = from_ledger(folder)
    found = pa.concat_tables([folder.read_table(name, ["key", "source", "uri", "id", "cluster"]) for name in files])
    named = _named(found, names, folder.url)
    before = _stored(folder)
    after = _with(before, _rows(rows, _family(found, named)))
    similar = np.zeros(found.num_rows, bool)
    signed = [np.asarray(pc.is_valid(table["frame"]).to_numpy(zero_copy_only=False)) for table in rows.some(["frame"])]
    looked_at = np.concatenate([np.empty(0, bool), *signed])
    similar[[leak.row for leak in find_leaks(rows.some, looked_at, {"": _fingerprints(after)})]] = True
    bare = ({**row, **dict.fromkeys(_SIMILARITY)} for row in _rows(rows, _family(found, similar)))
    after = _with(after, bare)
    if after != before:
        folder.write_table(REMOVED, _table(after))
    about, old = _about(found, after), _about(found, before)
    unknown = pc.and_(pa.array(named), pc.is_null(found["id"].combine_chunks()))
    return Refused(
        frozenset(found["key"].filter(pa.array(about)).to_pylist()),
        int(about.sum() - old.sum()),
        int(pc.sum(unknown).as_py() or 0),
    )


def _named(found: pa.Table, names: Sequence[str], out: str) -> NDArray[np.bool_]:
    wanted = pa.array(names, pa.string())
    told = pc.binary_join_element_wise(found["source"], found["uri"], "/")
    mask, known = np.zeros(found.num_rows, bool), np.zeros(len(names), bool)
    for column in (found["key"], found["id"], found["uri"], told):
        mask |= _in(column, wanted)
        known |= _in(wanted, column)
    if not known.all():
        missing = [name for name, there in zip(names, known, strict=True) if not there]
        more = f" and {len(missing) - _NAMED_AT_MOST:,} more" if len(missing) > _NAMED_AT_MOST else ""
        first = ", ".join(map(repr, missing[:_NAMED_AT_MOST]))
        raise UsageError(f"{out}: no candidate has the id, key or uri {first}{more}; nothing was changed")
    return mask


def _family(found: pa.Table, members: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """These rows, and those that were decided to be copies of them or of what they are copies of."""
    clusters = found["cluster"].filter(pa.array(members)).drop_null()
    return members | _in(found["cluster"], clusters)


def _rows(rows: Scanned, wanted: NDArray[np.bool_]) -> Iterator[Mapping[str, Any]]:
    """The rows that are wanted and were read; a size of 0 where only the bytes were."""
    start = 0
    for table in rows.some(_COLUMNS):
        part = table.filter(pa.array(wanted[start : start + table.num_rows]))
        start += table.num_rows
        read = (row for row in part.to_pylist() if row["id"] is not None)
        yield from ({**row, "width": row["width"] or 0, "height": row["height"] or 0} for row in read)


def _with(refusals: _Refusals, rows: Iterable[Mapping[str, Any]]) -> _Refusals:
    """The refusals and these; what is refused by more stays so, also where its row has lost its points."""
    more = dict(refusals)
    for row in rows:
        held = more.get(row["id"])
        if held is None or (held["points"] is None and row["points"] is not None):
            more[row["id"]] = row
    return more


def _about(found: pa.Table, refusals: _Refusals) -> NDArray[np.bool_]:
    return _in(found["id"], pa.array(list(refusals), pa.string()))


def _in(values: pa.Array | pa.ChunkedArray, among: pa.Array | pa.ChunkedArray) -> NDArray[np.bool_]:
    found = pc.is_in(values, value_set=among, skip_nulls=True)
    return np.asarray(found.to_numpy(zero_copy_only=False), bool)


def _stored(folder: Folder) -> _Refusals:
    table = load_removed(folder)
    return {} if table is None else {row["id"]: row for row in table.select(list(_COLUMNS)).to_pylist()}


def _table(refusals: _Refusals) -> pa.Table:
    schema = pa.schema([SCHEMA.field(name) for name in _COLUMNS])
    return pa.Table.from_pylist([dict(refusals[name]) for name in sorted(refusals)], schema)


def _fingerprints(refusals: _Refusals) -> pa.Table:
    return pa.Table.from_pylist([dict(row) for row in refusals.values()], SCHEMA)
