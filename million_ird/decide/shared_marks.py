"""Marks that many images of one source have at one place, such as the logo of a stock site, with text or without.

Of each source, host and orientation, images that differ vote: where the mean of their gradients has a shape, there is
a mark, and each image is compared with it. The thumbnails in the ledger suffice.
"""

import logging
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from million_ird.decide.mark_shape import PLACES, Gradients, MarkSums, SharedMark, find_shared_mark, gradients
from million_ird.dedup.search_keys import BatchReader, Positions
from million_ird.measures.view import unpack_view

FEWEST = 48
"""Least number of different images of one source, host and orientation in which a mark is searched."""
_MOST = 2048
"""Largest number of images of a group that vote, chosen by their keys; all are compared with the mark."""
_GROUPS_AT_ONCE = 500
"""Groups whose sums are in memory at once, 110 MB."""
_CLEAR, _CLEAR_OF_MOST = 3.5, 2.5
"""How clearly an image must have the mark; and where at least half of the group has it as clearly as the first says."""
_FEWEST_CLEAR, _LEAST_SHARE = 12, 0.02
"""Least number, and least share, of the images of a group that have a mark clearly; else there is none."""
_HOST = r"^[a-zA-Z][a-zA-Z0-9+.-]*://(?P<host>[^/?#]+)"
_UPRIGHT = "upright"
_log = logging.getLogger(__name__)


def find_shared_marks(batches: BatchReader, selected: NDArray[np.bool_]) -> tuple[Positions, NDArray[np.float64]]:
    """Return the selected rows whose image has a mark that it shares with others of its source.

    Args:
        batches: Reads the rows of the scan.
        selected: (rows,) which rows to look at.

    Returns:
        (m,) rows in ascending order, and (m,) how clearly each has the mark, in standard deviations.
    """
    groups, names = _groups(batches, selected)
    voters = _voters(batches, groups)
    candidates = np.unique(groups[voters])
    found: list[tuple[Positions, NDArray[np.float64]]] = []
    for start in range(0, len(candidates), _GROUPS_AT_ONCE):
        own = candidates[start : start + _GROUPS_AT_ONCE]
        marks = _learn(batches, np.where(np.isin(groups, own) & voters, groups, -1), names)
        found += _marked(batches, np.where(np.isin(groups, [*marks]), groups, -1), voters, marks, names)
    rows = np.concatenate([np.empty(0, np.int64), *(rows for rows, _ in found)])
    order = np.argsort(rows)
    return rows[order], np.concatenate([np.empty(0), *(clear for _, clear in found)])[order]


def _groups(batches: BatchReader, selected: NDArray[np.bool_]) -> tuple[Positions, list[str]]:
    """Return the group of each row, -1 for those not selected, and the name of each group."""
    chunks = []
    for table in batches(["source", "uri", "width", "height"]):
        hosts = pc.struct_field(pc.extract_regex(table["uri"].combine_chunks(), _HOST), "host")
        upright = pc.greater(table["height"], table["width"]).combine_chunks()
        names = pc.binary_join_element_wise(
            table["source"].combine_chunks(),
            pc.fill_null(hosts, ""),
            pc.if_else(pc.fill_null(upright, False), _UPRIGHT, "level"),
            " ",
        )
        chunks.append(names.dictionary_encode())
    column = pa.chunked_array(chunks, pa.dictionary(pa.int32(), pa.string())).unify_dictionaries()
    codes = [chunk.indices.to_numpy().astype(np.int64) for chunk in column.chunks]
    groups = np.concatenate([np.empty(0, np.int64), *codes])
    names = column.chunks[0].dictionary.to_pylist() if chunks else []
    return np.where(selected, groups, -1), names


def _voters(batches: BatchReader, groups: Positions) -> NDArray[np.bool_]:
    """Return which rows vote: of each group that has enough, images with different pHashes, the smallest keys first."""
    numbers = [
        np.stack([_number(table["key"]), _number(table["phash"])], axis=1) for table in batches(["key", "phash"])
    ]
    keys, hashes = np.concatenate([np.empty((0, 2), np.uint64), *numbers]).T
    rows = np.flatnonzero(groups >= 0)
    order = rows[np.lexsort((keys[rows], hashes[rows], groups[rows]))]
    same = (groups[order][1:] == groups[order][:-1]) & (hashes[order][1:] == hashes[order][:-1])
    different = order[np.concatenate([[True], ~same])] if len(order) else order
    order = different[np.lexsort((keys[different], groups[different]))]
    _, starts, counts = np.unique(groups[order], return_index=True, return_counts=True)
    place = np.arange(len(order)) - np.repeat(starts, counts)
    votes = np.zeros(len(groups), bool)
    votes[order[(place < _MOST) & (np.repeat(counts, counts) >= FEWEST)]] = True
    return votes


def _number(texts: pa.ChunkedArray) -> NDArray[np.uint64]:
    """Return the first 16 hexadecimal digits of each text as a number, 0 for a null."""
    return np.array([int(text[:16], 16) if text else 0 for text in texts.to_pylist()], np.uint64)


def _learn(batches: BatchReader, groups: Positions, names: list[str]) -> dict[int, SharedMark]:
    """Return the mark of each group that has one, by the rows that vote (-1: the others)."""
    sums: dict[int, MarkSums] = {}
    for row, own in _gradients(batches, groups >= 0):
        group = int(groups[row])
        if group not in sums:
            sums[group] = MarkSums.empty(upright=names[group].endswith(_UPRIGHT))
        sums[group].add(own)
    found = {group: find_shared_mark(one) for group, one in sums.items() if one.images >= FEWEST}
    return {group: mark for group, mark in found.items() if mark is not None}


def _marked(
    batches: BatchReader,
    groups: Positions,
    voters: NDArray[np.bool_],
    marks: dict[int, SharedMark],
    names: list[str],
) -> Iterator[tuple[Positions, NDArray[np.float64]]]:
    """Yield, by group, the rows with its mark and how clearly they have it."""
    by_group: dict[int, list[tuple[int, float]]] = {group: [] for group in marks}
    for row, own in _gradients(batches, groups >= 0) if marks else ():
        group = int(groups[row])
        by_group[group].append((row, marks[group].clearness(own, counted=bool(voters[row]))))
    for group, found in by_group.items():
        rows = np.array([row for row, _ in found], np.int64)
        clearness = np.array([clear for _, clear in found])
        clear = np.count_nonzero(clearness >= _CLEAR)
        if clear < max(_FEWEST_CLEAR, _LEAST_SHARE * len(rows)):
            continue
        has = clearness >= (_CLEAR_OF_MOST if clear >= len(rows) / 2 else _CLEAR)
        place = PLACES[marks[group].place]
        _log.info("%s: %d of %d images have the same mark (%s)", names[group], has.sum(), len(rows), place)
        yield rows[has], clearness[has]


def _gradients(batches: BatchReader, wanted: NDArray[np.bool_]) -> Iterator[tuple[int, Gradients]]:
    """Yield row and gradients of the wanted rows that have a thumbnail of sufficient size."""
    start = 0
    for table in batches(["view"]):
        rows = np.flatnonzero(wanted[start : start + table.num_rows])
        for row, packed in zip(rows.tolist(), table["view"].take(pa.array(rows)).to_pylist(), strict=True):
            view = unpack_view(packed)
            own = gradients(view.thumbnail) if view is not None else None
            if own is not None:
                yield start + row, own
        start += table.num_rows
