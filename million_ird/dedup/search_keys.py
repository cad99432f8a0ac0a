"""The keys by which candidate pairs are found: hashes, frames and descriptors of all images, in compact arrays."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from million_ird.dedup import spilled
from million_ird.dedup.overlap import unpack_keypoints
from million_ird.measures.signature import FRAME, FREQUENCIES

Positions: TypeAlias = NDArray[np.int64]
BatchReader: TypeAlias = Callable[[Sequence[str]], Iterator[pa.Table]]
"""Reads the named columns of all rows of a scan, in order, a batch of rows at a time."""
KEYPOINTS = 32
"""Number of keypoints of each image, the first ones, that are used to find candidate pairs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NearDuplicateRules:
    """Rules of the search for near-duplicates."""

    radius: int
    """Most bits, of 64, in which the pHashes of a candidate pair differ."""
    turned: bool
    """Whether mirrored images, and images turned by quarters, are copies."""
    crops: bool
    """Whether candidate pairs are also searched by keypoints, which finds crops, frames and overlays."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchKeys:
    """Keys of n images, in the order of `rows`, w descriptors in all: a kilobyte an image, on disk if they are many."""

    rows: Positions
    """(n,) row of each image in the scan."""
    phash: NDArray[np.uint64]
    """(n,) pHash of the whole image."""
    hashes: NDArray[np.uint64]
    """(n, 8) pHashes of the frame, one per orientation."""
    low: NDArray[np.int8]
    """(n, 16, 16) low frequencies of the frame."""
    descriptors: NDArray[np.uint64]
    """(w, 2) descriptors of keypoints, 128 bits each."""
    owners: NDArray[np.int32]
    """(w,) position in `rows` of the image that each descriptor belongs to."""


def read_search_keys(batches: BatchReader, selected: NDArray[np.bool_], scratch: str | None = None) -> SearchKeys:
    """Read the keys of the selected rows; rows without a frame are left out.

    Args:
        batches: Reads the rows of the scan.
        selected: (rows,) which rows to read.
        scratch: Folder on a local disk for large arrays; the system's own if None.
    """
    count_selected = int(selected.sum())
    rows, phash = np.empty(count_selected, np.int64), np.empty(count_selected, np.uint64)
    hashes = spilled.empty((count_selected, 8), np.uint64, scratch)
    low = spilled.empty((count_selected, FREQUENCIES, FREQUENCIES), np.int8, scratch)
    descriptors = spilled.empty((count_selected * KEYPOINTS, 2), np.uint64, scratch)
    owners = spilled.empty((count_selected * KEYPOINTS,), np.int32, scratch)
    start = count = filled = 0
    for table in batches(["phash", "frame", "points"]):
        chosen = np.flatnonzero(selected[start : start + table.num_rows])
        columns = table.take(pa.array(chosen)).to_pydict()
        for row, text, frame, packed in zip(chosen, columns["phash"], columns["frame"], columns["points"], strict=True):
            if frame is not None:
                bits = unpack_keypoints(packed)["bits"][:KEYPOINTS]
                rows[count], phash[count] = start + int(row), int(text, 16)
                unpacked = np.frombuffer(frame, FRAME)[0]
                hashes[count], low[count] = unpacked["hashes"], unpacked["low"]
                descriptors[filled : filled + len(bits)] = bits
                owners[filled : filled + len(bits)] = count
                count, filled = count + 1, filled + len(bits)
        start += table.num_rows
    return SearchKeys(
        rows=rows[:count],
        phash=phash[:count],
        hashes=hashes[:count],
        low=low[:count],
        descriptors=descriptors[:filled],
        owners=owners[:filled],
    )
