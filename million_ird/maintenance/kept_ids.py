"""The ids of kept images, which verification looks for in the data: 17 bytes of memory for each beside the id."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

_MASK = (1 << 64) - 1


class KeptIds:
    """Finds ids by their sorted hashes, and knows which of them were seen."""

    def __init__(self, ids: pa.ChunkedArray) -> None:
        """Sort the hashes of the ids; the last one of equal ids stands for them."""
        self._ids = ids
        count = len(ids)
        texts = (text.as_py() for chunk in ids.chunks for text in chunk)
        hashes = np.fromiter((hash(text) & _MASK for text in texts), np.uint64, count)
        self._order = np.argsort(hashes, kind="stable")
        self._sorted = hashes[self._order]
        self._seen = np.zeros(count, bool)
        self._others: set[str] = set()

    def position(self, name: str | None) -> int | None:
        """Return the row of an id; None if it is not kept."""
        wanted = np.uint64(hash(name) & _MASK)
        low, high = (int(np.searchsorted(self._sorted, wanted, side)) for side in ("left", "right"))
        rows = self._order[low:high][::-1].tolist()
        return next((row for row in rows if self._ids[row].as_py() == name), None)

    def see(self, name: str) -> bool:
        """Note that an image has this id; return whether an earlier one had it."""
        row = self.position(name)
        if row is None:
            before = name in self._others
            self._others.add(name)
            return before
        before = bool(self._seen[row])
        self._seen[row] = True
        return before

    def unseen(self) -> Iterator[str | None]:
        """Yield the ids that no image had, in the order of the rows."""
        named: set[str | None] = set()
        for row in np.flatnonzero(~self._seen).tolist():
            name = self._ids[row].as_py()
            last = self.position(name)
            if last is not None and not self._seen[last] and name not in named:
                named.add(name)
                yield name
