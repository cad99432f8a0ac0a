"""Images by hash: the distinct values of many hashes, sorted, and the owners of each, in arrays that may be on disk."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from million_ird.dedup import spilled
from million_ird.dedup.search_keys import Positions


@dataclass(frozen=True, slots=True)
class HashGroups:
    """Distinct values, and the owners of each. Some 20 bytes a hash, on disk where these are many."""

    values: NDArray[np.uint64]
    """(g,) distinct values, ascending."""
    starts: Positions
    """(g + 1,) first owner of each group, and the end of the last group."""
    owners: NDArray[np.uint32]
    """(n,) owners, group by group; those of a group ascending."""

    @classmethod
    def of(
        cls, values: NDArray[np.uint64], owners: Positions | None, scratch: str | None, *, per_owner: int = 1
    ) -> "HashGroups":
        """Group hashes; some millions of them are in memory at a time.

        Args:
            values: (n,) hashes, n < 2³².
            owners: (n,) owner of each hash, below 2³²; if None, each `per_owner` consecutive hashes have one.
            scratch: Folder on a local disk for large arrays; the system's own if None.
            per_owner: Number of consecutive hashes that belong to one owner, where no owners are given.
        """
        distinct = spilled.empty((len(values),), np.uint64, scratch)
        starts = spilled.empty((len(values) + 1,), np.int64, scratch)
        members = spilled.empty((len(values),), np.uint32, scratch)
        groups = filled = 0
        for first, last in spilled.value_ranges(values):
            rows = spilled.within_range(values, first, last)
            own = rows // per_owner if owners is None else owners[rows]
            some = np.asarray(values[rows])
            order = np.lexsort((own, some))
            unique, begins = np.unique(some[order], return_index=True)
            distinct[groups : groups + len(unique)] = unique
            starts[groups : groups + len(unique)] = filled + begins
            members[filled : filled + len(own)] = own[order]
            groups, filled = groups + len(unique), filled + len(own)
        starts[groups] = filled
        return cls(distinct[:groups], starts[: groups + 1], members)

    def members(self, group: int) -> Positions:
        """Return the owners of one value: (n,) int64."""
        return np.asarray(self.owners[self.starts[group] : self.starts[group + 1]], np.int64)

    def sizes(self, groups: Positions) -> Positions:
        """Return how many owners some values have: (n,) int64."""
        return np.asarray(self.starts[groups + 1] - self.starts[groups], np.int64)

    def owners_at(self, groups: Positions, offsets: Positions) -> Positions:
        """Return one owner of each of some values, by its place among the owners of this value: (n,) int64."""
        return np.asarray(self.owners[self.starts[groups] + offsets], np.int64)

    def blocks(self) -> Iterator[tuple[int, "HashGroups"]]:
        """Yield the groups some millions of owners at a time, each block with the number of its first group."""
        low = 0
        while low < len(self.values):
            end = int(self.starts[low]) + spilled.CHUNK
            high = max(low + 1, int(np.searchsorted(self.starts, end, side="right")) - 1)
            start, stop = int(self.starts[low]), int(self.starts[high])
            starts = np.asarray(self.starts[low : high + 1]) - start
            yield low, HashGroups(self.values[low:high], starts, self.owners[start:stop])
            low = high
