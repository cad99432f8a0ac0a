"""A set of candidate keys in 32 to 64 bytes per key, where a Python set takes 120."""

import numpy as np
from numpy.typing import NDArray

from million_ird.runtime.jit import compiled

_FIRST_SIZE = 1 << 12


class KeySet:
    """A set of 128-bit keys that only grows."""

    def __init__(self) -> None:
        self._table: NDArray[np.uint64] = np.zeros((_FIRST_SIZE, 2), np.uint64)
        self._count = 0

    def add(self, keys: list[str]) -> NDArray[np.bool_]:
        """Add keys of 32 hex digits and return which of them were new."""
        packed = np.frombuffer(bytes.fromhex("".join(keys)), np.uint64).reshape(-1, 2)
        while 2 * (self._count + len(packed)) > len(self._table):
            larger: NDArray[np.uint64] = np.zeros((2 * len(self._table), 2), np.uint64)
            _insert(larger, self._table[self._table.any(axis=1)])
            self._table = larger
        new: NDArray[np.bool_] = _insert(self._table, packed)
        self._count += int(new.sum())
        return new


@compiled()
def _insert(table: NDArray[np.uint64], keys: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Insert by open addressing with linear probing. Key zero marks an empty row; no candidate hashes to it."""
    new = np.zeros(len(keys), np.bool_)
    mask = np.uint64(len(table) - 1)
    for i in range(len(keys)):
        row = keys[i, 0] & mask
        while table[row, 0] != 0 or table[row, 1] != 0:
            if table[row, 0] == keys[i, 0] and table[row, 1] == keys[i, 1]:
                break
            row = (row + np.uint64(1)) & mask
        else:
            table[row, 0], table[row, 1] = keys[i, 0], keys[i, 1]
            new[i] = True
    return new
