"""The assignment of images to the splits `train` and `validation`; groups of duplicates stay together."""

import hashlib

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from million_ird.schema import TRAIN, VALIDATION


def assign_splits(
    keys: pa.ChunkedArray, groups: NDArray[np.int64], kept: NDArray[np.bool_], validation: float
) -> pa.Array:
    """Return the split of each kept row, null for the others: (n,) texts.

    The split of a group depends on its smallest key, so it does not depend on the order of the sources.

    Args:
        keys: (n,) keys of the rows.
        groups: (n,) a row of the same group (copies and shared parts); the row's own number if it is alone.
        kept: (n,) which rows are kept.
        validation: Share of groups that is held out, in [0, 1).
    """
    groups = groups.copy()
    while not np.array_equal(groups, groups[groups]):
        groups = groups[groups]
    names = pa.array([TRAIN, VALIDATION], pa.string())
    if not validation:
        return names.take(pa.array(np.zeros(len(kept), np.int64), mask=~kept))
    smallest = pa.table({"group": groups, "key": keys}).group_by("group").aggregate([("key", "min")])
    pairs = zip(smallest["group"].to_pylist(), smallest["key_min"].to_pylist(), strict=True)
    held_out = [group for group, key in pairs if _uniform(key) < validation]
    codes = np.isin(groups, np.array(sorted(held_out), np.int64)).astype(np.int64)
    return names.take(pa.array(codes, mask=~kept))


def _uniform(key: str) -> float:
    """Return a number in [0, 1) that depends on the key alone."""
    return int.from_bytes(hashlib.blake2b(f"split {key}".encode(), digest_size=7).digest()) / 2**56
