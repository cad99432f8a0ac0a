"""Which side of a held-out split a picture is on: whole families go the same way."""

import hashlib

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from million_ird.ledger import TRAIN, VALIDATION


def splits(keys: pa.ChunkedArray, kin: NDArray[np.int64], kept: NDArray[np.bool_], validation: float) -> pa.Array:
    """The split of each kept row, null for the others.

    A family is told by the least of its keys, so that the order of the sources does not matter.

    Args:
        keys: (n,) of the rows.
        kin: (n,) a position that each row is kin to, by copies or by shared parts; its own where it is alone.
        kept: (n,) which rows are kept.
        validation: the share of families that is held out.
    """
    kin = kin.copy()
    while not np.array_equal(kin, kin[kin]):
        kin = kin[kin]
    names = pa.array([TRAIN, VALIDATION], pa.string())
    if not validation:
        return names.take(pa.array(np.zeros(len(kept), np.int64), mask=~kept))
    family = pa.table({"kin": kin, "key": keys}).group_by("kin").aggregate([("key", "min")])
    pairs = zip(family["kin"].to_pylist(), family["key_min"].to_pylist(), strict=True)
    held_out = [kin for kin, key in pairs if _share(key) < validation]
    codes = np.isin(kin, np.array(sorted(held_out), np.int64)).astype(np.int64)
    return names.take(pa.array(codes, mask=~kept))


def _share(key: str) -> float:
    """A number in [0, 1) that depends on the key alone."""
    return int.from_bytes(hashlib.blake2b(f"split {key}".encode(), digest_size=7).digest()) / 2**56
