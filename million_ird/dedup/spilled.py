"""Arrays of a search that are in memory while they are small, and in a temporary file on disk when they are large.

The file is mapped: the system keeps of it what is used and has room for, and writes the rest to the disk.
"""

import math
import mmap
import os
import tempfile
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

IN_MEMORY = 16 << 20
"""Bytes up to which an array is in memory."""
CHUNK = 1 << 21
"""Values that are sorted, or compared with each other, at once: some 150 MB."""
_BUCKET_BITS = 16


def empty(shape: tuple[int, ...], dtype: DTypeLike, scratch: str | None) -> NDArray[Any]:
    """Return an array without defined content; a large one is on disk, and its file has no name and ends with it.

    Args:
        shape: Of the array.
        dtype: Of the array.
        scratch: Folder on a local disk; the system's own if None.

    Raises:
        OSError: The disk is full.
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if size <= IN_MEMORY:
        return np.empty(shape, dtype)
    with tempfile.TemporaryFile(dir=scratch, prefix=".tmp-") as file:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size)  # a full disk must show here: a write to the map would crash
        else:
            block = bytes(1 << 20)
            for start in range(0, size, len(block)):
                file.write(block[: size - start])
            file.flush()
        return np.ndarray(shape, dtype, mmap.mmap(file.fileno(), size))


def value_ranges(values: NDArray[np.uint64]) -> Iterator[tuple[np.uint64, np.uint64]]:
    """Yield the first and the last value of ranges, ascending, that each have about `CHUNK` of the values.

    Values that are equal in their first 16 bits are in one range, however many they are.
    """
    counts = np.zeros(1 << _BUCKET_BITS, np.int64)
    for start in range(0, len(values), CHUNK):
        top = np.asarray(values[start : start + CHUNK] >> np.uint64(64 - _BUCKET_BITS)).astype(np.int64)
        counts += np.bincount(top, minlength=len(counts))
    ends = np.cumsum(counts)
    low = 0
    while low < len(counts):
        done = int(ends[low - 1]) if low else 0
        high = max(low + 1, int(np.searchsorted(ends, done + CHUNK, side="right")))
        shift = 64 - _BUCKET_BITS
        yield np.uint64(low << shift), np.uint64((high << shift) - 1)
        low = high


def within_range(values: NDArray[np.uint64], first: np.uint64, last: np.uint64) -> NDArray[np.int64]:
    """Return the positions of the values of a range, ascending: (n,) int64."""
    found = [np.empty(0, np.int64)]
    for start in range(0, len(values), CHUNK):
        block = np.asarray(values[start : start + CHUNK])
        found.append(start + np.flatnonzero((block >= first) & (block <= last)))
    return np.concatenate(found)
