"""The blocklist of a dataset, `removed.parquet`: one row per image that must not come back, sorted by id.

A removed image and each of its copies are blocked by the hashes of bytes and pixels, by pHash and by keypoints, so that
they are recognised re-encoded, resized or cropped. Other images of the dataset that show a part of it, and the copies
of those, are blocked by the hashes of bytes and pixels only: images that only resemble these may stay.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from million_ird.decide.leaks import find_leaks
from million_ird.errors import UsageError
from million_ird.fingerprints import SCHEMA, load_removed
from million_ird.ledger_stream import LedgerStream
from million_ird.reference_sets import REMOVED
from million_ird.runtime.storage import Folder
from million_ird.scan.scan_table import ScanTable, from_ledger
from million_ird.schema import REMOVED as REASON
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
    rows, ledger = from_ledger(folder), LedgerStream.of_build(folder)
    named, unknown = _find_named(ledger, names, folder.url)
    before = _load(folder)
    after = _merged(before, _rows(rows, _with_copies(ledger, named)))
    has_frame = [
        np.asarray(pc.is_valid(table["frame"]).to_numpy(zero_copy_only=False)) for table in rows.iter_batches(["frame"])
    ]
    selected = np.concatenate([np.empty(0, bool), *has_frame])
    similar = {leak.row for leak in find_leaks(rows.iter_batches, selected, {"": _as_fingerprints(after)})}
    by_bytes = ({**row, **dict.fromkeys(_SIMILARITY)} for row in _rows(rows, _with_copies(ledger, similar)))
    after = _merged(after, by_bytes)
    if after != before:
        folder.write_table(REMOVED, _as_table(after))
    blocked = _blocked(ledger, after)
    return BlocklistUpdate(blocked, len(blocked) - len(_blocked(ledger, before)), unknown)


def removed_ids(folder: Folder) -> pa.Array:
    """Return the ids of all images that were removed from a build, those that only resemble a removed one included.

    Args:
        folder: Output folder of a build, decided with its blocklist.
    """
    blocked = load_removed(folder)
    ids = set() if blocked is None else set(blocked["id"].to_pylist())
    for table in LedgerStream.of_build(folder).batches(["id", "reason"]):
        ids |= set(table.filter(pc.equal(table["reason"], REASON))["id"].to_pylist())
    return pa.array(sorted(ids - {None}), pa.string())


def _find_named(ledger: LedgerStream, names: Sequence[str], out: str) -> tuple[set[int], int]:
    """Return the numbers of the rows that have one of the names, and how many of them were never read."""
    keys = _keys_of(ledger, names)
    values = pa.array([keys.get(name, name) for name in names], pa.string())
    known, named, unknown, start = np.zeros(len(names), bool), set[int](), 0, 0
    for table in ledger.batches(["key", "id", "uri", "source"]):
        with_source = pc.binary_join_element_wise(table["source"], table["uri"], "/")
        mask = np.zeros(table.num_rows, bool)
        for column in (table["key"], table["id"], table["uri"], with_source):
            own = _in(column, values)
            mask |= own
            if own.any():
                known |= _in(values, column.filter(pa.array(own)))
        named |= set((np.flatnonzero(mask) + start).tolist())
        unknown += table["id"].filter(pa.array(mask)).null_count
        start += table.num_rows
    if not known.all():
        missing = [name for name, is_known in zip(names, known, strict=True) if not is_known]
        more = f" and {len(missing) - _LISTED_NAMES:,} more" if len(missing) > _LISTED_NAMES else ""
        first = ", ".join(map(repr, missing[:_LISTED_NAMES]))
        raise UsageError(f"{out}: no candidate has the id, key or uri {first}{more}; nothing was changed")
    return named, unknown


def _keys_of(ledger: LedgerStream, names: Sequence[str]) -> dict[str, str]:
    """Return the keys of candidates by their whole addresses, whose parameters the ledger lacks."""
    whole = [name for name in names if "://" in name and {"?", ";", "#", "@"} & {*name}]
    if not whole:
        return {}
    sources = {source: None for table in ledger.batches(["source"]) for source in table["source"].unique().to_pylist()}
    names_of: dict[str, list[str]] = {}
    for name in whole:
        for key in keys_of_address(name, list(sources)):
            names_of.setdefault(key, []).append(name)
    wanted = pa.array(list(names_of), pa.string())
    found: dict[str, str] = {}
    for table in ledger.batches(["key"]):
        for key in table["key"].filter(pa.array(_in(table["key"], wanted))).to_pylist():
            found |= {name: key for name in names_of[key] if name not in found}
    return found


def _with_copies(ledger: LedgerStream, members: Set[int]) -> set[int]:
    """Return the numbers of these rows and of all rows in their groups of copies."""
    clusters = pa.array({row["cluster"] for row in ledger.take(members, ["cluster"]).values()} - {None}, pa.string())
    rows, start = set(members), 0
    for table in ledger.batches(["cluster"]) if len(clusters) else ():
        rows |= set((np.flatnonzero(_in(table["cluster"], clusters)) + start).tolist())
        start += table.num_rows
    return rows


def _rows(rows: ScanTable, selected: Set[int]) -> Iterator[Mapping[str, Any]]:
    """Yield the selected rows whose bytes were read; the size is 0 if the image was not decoded."""
    ordered = np.array(sorted(selected), np.int64)
    start = 0
    for table in rows.iter_batches(_COLUMNS) if selected else ():
        here = ordered[(ordered >= start) & (ordered < start + table.num_rows)] - start
        start += table.num_rows
        read = (row for row in table.take(pa.array(here)).to_pylist() if row["id"] is not None)
        yield from ({**row, "width": row["width"] or 0, "height": row["height"] or 0} for row in read)


def _merged(blocklist: _Blocklist, rows: Iterable[Mapping[str, Any]]) -> _Blocklist:
    """Return the blocklist with these rows; a row with keypoints is never replaced by one that has lost them."""
    merged = dict(blocklist)
    for row in rows:
        present = merged.get(row["id"])
        if present is None or (present["points"] is None and row["points"] is not None):
            merged[row["id"]] = row
    return merged


def _blocked(ledger: LedgerStream, blocklist: _Blocklist) -> frozenset[str]:
    """Return the keys of the candidates that are on the blocklist."""
    ids, keys = pa.array(list(blocklist), pa.string()), set[str]()
    for table in ledger.batches(["key", "id"]) if blocklist else ():
        keys |= set(table["key"].filter(pa.array(_in(table["id"], ids))).to_pylist())
    return frozenset(keys)


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
