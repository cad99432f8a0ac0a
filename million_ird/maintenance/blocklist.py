"""The blocklist of a dataset, `removed.parquet`: one row per image that must not come back, sorted by id.

A removed image and each of its copies are blocked by the hashes of bytes and pixels, by pHash and by keypoints, so that
they are recognised re-encoded, resized or cropped. Other images of the dataset that show a part of it, and the copies
of those, are blocked by the hashes of bytes and pixels only: images that only resemble these may stay.
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
from million_ird.scan.scan_table import ScanTable, from_ledger
from million_ird.sources.web.links import keys_of_address

_COLUMNS = ("id", "pixels_id", "width", "height", "phash", "points")
"""Without `frame`, which is a blurred image, and without `uri`, which may contain a name."""
_SIMILARITY = ("phash", "points")
_LISTED_NAMES = 5
_Blocklist: TypeAlias = dict[str, Mapping[str, Any]]
"""Rows by id."""


@dataclass(frozen=True, slots=True)
class BlocklistUpdate:
    """The result of adding candidates to the blocklist."""

    keys: frozenset[str]
    """All blocked candidates of the ledger."""
    new: int
    """Number of them that were not blocked before."""
    unknown: int
    """Named candidates that were never read, so that nothing is known to recognise them by."""


def add_to_blocklist(folder: Folder, names: Sequence[str]) -> BlocklistUpdate:
    """Add candidates to the blocklist of a build, and change nothing else.

    Args:
        folder: Output folder of a build.
        names: Ids, keys, uris or `source/uri`s.

    Raises:
        UsageError: No candidate has one of the names; nothing was changed.
        LedgerError: Nothing was decided yet.
    """
    files = ledgers.files(folder)
    rows = from_ledger(folder)
    ledger = pa.concat_tables([folder.read_table(name, ["key", "source", "uri", "id", "cluster"]) for name in files])
    named = _find_named(ledger, names, folder.url)
    before = _load(folder)
    after = _merged(before, _rows(rows, _with_copies(ledger, named)))
    similar = np.zeros(ledger.num_rows, bool)
    has_frame = [
        np.asarray(pc.is_valid(table["frame"]).to_numpy(zero_copy_only=False)) for table in rows.iter_batches(["frame"])
    ]
    selected = np.concatenate([np.empty(0, bool), *has_frame])
    similar[[leak.row for leak in find_leaks(rows.iter_batches, selected, {"": _as_fingerprints(after)})]] = True
    by_bytes = ({**row, **dict.fromkeys(_SIMILARITY)} for row in _rows(rows, _with_copies(ledger, similar)))
    after = _merged(after, by_bytes)
    if after != before:
        folder.write_table(REMOVED, _as_table(after))
    blocked, blocked_before = _blocked(ledger, after), _blocked(ledger, before)
    unknown = pc.and_(pa.array(named), pc.is_null(ledger["id"].combine_chunks()))
    return BlocklistUpdate(
        frozenset(ledger["key"].filter(pa.array(blocked)).to_pylist()),
        int(blocked.sum() - blocked_before.sum()),
        int(pc.sum(unknown).as_py() or 0),
    )


def _find_named(ledger: pa.Table, names: Sequence[str], out: str) -> NDArray[np.bool_]:
    """Return the mask of the rows that have one of the names."""
    values = pa.array([_key_of(ledger, name) for name in names], pa.string())
    with_source = pc.binary_join_element_wise(ledger["source"], ledger["uri"], "/")
    mask, known = np.zeros(ledger.num_rows, bool), np.zeros(len(names), bool)
    for column in (ledger["key"], ledger["id"], ledger["uri"], with_source):
        mask |= _in(column, values)
        known |= _in(values, column)
    if not known.all():
        missing = [name for name, is_known in zip(names, known, strict=True) if not is_known]
        more = f" and {len(missing) - _LISTED_NAMES:,} more" if len(missing) > _LISTED_NAMES else ""
        first = ", ".join(map(repr, missing[:_LISTED_NAMES]))
        raise UsageError(f"{out}: no candidate has the id, key or uri {first}{more}; nothing was changed")
    return mask


def _key_of(ledger: pa.Table, name: str) -> str:
    """Return the key of the candidate with this whole address, whose parameters the ledger lacks; else the name."""
    if "://" not in name or not {"?", ";", "#", "@"} & {*name}:
        return name
    keys = keys_of_address(name, ledger["source"].unique().to_pylist())
    found = ledger["key"].filter(pa.array(_in(ledger["key"], pa.array(keys, pa.string()))))
    return str(found[0].as_py()) if len(found) else name


def _with_copies(ledger: pa.Table, members: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the mask of these rows and of all rows in their groups of copies."""
    clusters = ledger["cluster"].filter(pa.array(members)).drop_null()
    return members | _in(ledger["cluster"], clusters)


def _rows(rows: ScanTable, selected: NDArray[np.bool_]) -> Iterator[Mapping[str, Any]]:
    """Yield the selected rows whose bytes were read; the size is 0 if the image was not decoded."""
    start = 0
    for table in rows.iter_batches(_COLUMNS):
        chosen = table.filter(pa.array(selected[start : start + table.num_rows]))
        start += table.num_rows
        read = (row for row in chosen.to_pylist() if row["id"] is not None)
        yield from ({**row, "width": row["width"] or 0, "height": row["height"] or 0} for row in read)


def _merged(blocklist: _Blocklist, rows: Iterable[Mapping[str, Any]]) -> _Blocklist:
    """Return the blocklist with these rows; a row with keypoints is never replaced by one that has lost them."""
    merged = dict(blocklist)
    for row in rows:
        present = merged.get(row["id"])
        if present is None or (present["points"] is None and row["points"] is not None):
            merged[row["id"]] = row
    return merged


def _blocked(ledger: pa.Table, blocklist: _Blocklist) -> NDArray[np.bool_]:
    return _in(ledger["id"], pa.array(list(blocklist), pa.string()))


def _in(values: pa.Array | pa.ChunkedArray, among: pa.Array | pa.ChunkedArray) -> NDArray[np.bool_]:
    mask = pc.is_in(values, value_set=among, skip_nulls=True)
    return np.asarray(mask.to_numpy(zero_copy_only=False), bool)


def _load(folder: Folder) -> _Blocklist:
    table = load_removed(folder)
    return {} if table is None else {row["id"]: row for row in table.select(list(_COLUMNS)).to_pylist()}


def _as_table(blocklist: _Blocklist) -> pa.Table:
    schema = pa.schema([SCHEMA.field(name) for name in _COLUMNS])
    return pa.Table.from_pylist([dict(blocklist[name]) for name in sorted(blocklist)], schema)


def _as_fingerprints(blocklist: _Blocklist) -> pa.Table:
    return pa.Table.from_pylist([dict(row) for row in blocklist.values()], SCHEMA)
