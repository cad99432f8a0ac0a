"""Which images the report shows: bounded samples, found batch by batch, that depend on keys and numbers alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from million_ird.reporting.histograms import FigureAxis
from million_ird.reporting.rows import Fold, LedgerBatch
from million_ird.reporting.sliders import GateLimit
from million_ird.reporting.smallest import SmallestByText, SmallestOf, SmallestRows
from million_ird.schema import LEAK, REPLACED

KEPT_SHOWN, DROPPED_SHOWN, BORDERLINE_SHOWN = 24, 12, 6
GROUPS_SHOWN, DUPLICATES_SHOWN = 12, 3
LEAKS_SHOWN, LEAKS_LISTED = 24, 1000
SPREAD_SHOWN = 12
"""Parts of an axis of which one image each is shown."""
FAILED_SHOWN = 3
"""Of each class of failures."""


class GalleryFolds:
    """The images that the report shows, found in one pass over the ledger; the rows of kept copies in a second one."""

    def __init__(self, limits: Sequence[GateLimit]) -> None:
        """Look for images on either side of these limits, and for those of all other sections."""
        self.kept = SmallestOf(KEPT_SHOWN, lambda batch: batch.kept, reads=["verdict"])
        self.dropped = SmallestByText(DROPPED_SHOWN, "reason")
        self.failed = SmallestByText(FAILED_SHOWN, "failure_class")
        self.borders = [BorderFold(limit) for limit in limits]
        self.duplicates = DuplicateFold()
        self.leaks = LeakFold()
        self.fields = list(dict.fromkeys(limit.gate.field for limit in limits))
        """The measures that have a limit."""
        self._limits = limits
        self._spreads: list[SpreadFold] = []

    @property
    def first(self) -> list[Fold]:
        """The folds of the first pass."""
        return [self.kept, self.dropped, self.failed, *self.borders, self.duplicates, self.leaks]

    @property
    def second(self) -> list[Fold]:
        """The folds of the second pass."""
        return [PositionsOf(self.duplicates)]

    def spread(self, axes: Mapping[str, FigureAxis]) -> list["SpreadFold"]:
        """Return the folds that look for images along the axis of every limit, for a pass of its own."""
        self._spreads = [SpreadFold(limit, axes[limit.gate.field]) for limit in self._limits]
        return self._spreads

    def along(self, limit: GateLimit) -> list[int]:
        """Return the numbers of the rows that were found along the axis of a limit."""
        return [row for fold in self._spreads if fold.limit is limit for row in fold.positions]

    def positions(self) -> set[int]:
        """Return the numbers of all rows that are shown or named."""
        found = [*self.dropped.found.values(), *self.failed.found.values(), self.kept.found]
        found += [side for border in self.borders for side in border.sides]
        shown = {position for rows in found for position in rows.positions}
        shown |= {position for one in self._spreads for position in one.positions}
        members = {one.position for group in self.duplicates.groups.values() for one in group.members}
        return shown | members | {*self.duplicates.kept.values(), *self.leaks.found.positions, *self.leaks.listed}


class BorderFold:
    """A fold: the rows nearest to a limit, those that it dropped and those that were kept."""

    def __init__(self, limit: GateLimit) -> None:
        """Look on either side of this limit."""
        self.columns: Sequence[str] = ("key", "verdict", "reason", limit.gate.field)
        self.limit = limit
        name = limit.gate.field
        self.sides = SmallestRows(BORDERLINE_SHOWN, [name]), SmallestRows(BORDERLINE_SHOWN, [name])

    def add(self, batch: LedgerBatch) -> None:
        """Take in some rows."""
        values = batch.values(self.limit.gate.field)
        beyond, present = self.limit.breaks(values), ~np.isnan(values)
        gaps = np.abs(values - self.limit.value)
        self.sides[0].add(batch, batch.dropped_for(self.limit.gate.drop_reason) & beyond, gaps)
        self.sides[1].add(batch, batch.kept & ~beyond & present, gaps)


class SpreadFold:
    """A fold: from each part of an axis, the image with the smallest key that a limit alone keeps or drops."""

    def __init__(self, limit: GateLimit, axis: FigureAxis) -> None:
        """Look along the axis of a limit's measure."""
        self.columns: Sequence[str] = ("key", "verdict", "reason", limit.gate.field)
        self.limit = limit
        self._axis = axis
        self._found: dict[int, tuple[str, int]] = {}
        """Key and number of the row, by the part of the axis."""

    @property
    def positions(self) -> list[int]:
        """The numbers of the rows that were found."""
        return [row for _, row in self._found.values()]

    def add(self, batch: LedgerBatch) -> None:
        """Take in some rows."""
        values = batch.values(self.limit.gate.field)
        chosen = np.flatnonzero(np.isfinite(values) & (batch.kept | batch.dropped_for(self.limit.gate.drop_reason)))
        parts = np.minimum((self._axis.place(values[chosen]) * SPREAD_SHOWN).astype(int), SPREAD_SHOWN - 1)
        for part in np.unique(parts).tolist():
            rows = chosen[parts == part]
            keys = batch.table["key"].take(pa.array(rows))
            key = pc.min(keys).as_py()
            if part not in self._found or key < self._found[part][0]:
                self._found[part] = key, batch.start + int(rows[pc.index(keys, key).as_py()])


@dataclass(frozen=True, slots=True, order=True)
class _Member:
    """A row that was dropped as a duplicate."""

    key: str
    position: int
    reason: str


@dataclass(slots=True)
class _Members:
    """The duplicates of one kept image: the number of all, and those with the smallest keys."""

    total: int = 0
    members: list[_Member] = field(default_factory=list)


class DuplicateFold:
    """A fold: the kept images with the smallest keys that have duplicates, and some duplicates of each."""

    columns: Sequence[str] = ("key", "reason", "duplicate_of")

    def __init__(self) -> None:
        self.groups: dict[str, _Members] = {}
        """By key of the kept image."""
        self.kept: dict[str, int] = {}
        """Numbers of the kept rows, by key, once they are known."""

    def add(self, batch: LedgerBatch) -> None:
        """Take in some rows."""
        rows = np.flatnonzero(np.logical_or.reduce([batch.dropped_for(reason) for reason in REPLACED]))
        if len(self.groups) == GROUPS_SHOWN and len(rows):
            shown = pc.less_equal(batch.table["duplicate_of"].take(pa.array(rows)), max(self.groups))
            rows = rows[pc.fill_null(shown, False).to_numpy(zero_copy_only=False)]
        columns = [batch.texts(name, rows) for name in ("duplicate_of", "key", "reason")]
        for row, kept, key, reason in zip(rows.tolist(), *columns, strict=True):
            group = self.groups.setdefault(str(kept), _Members())
            group.total += 1
            group.members = sorted([*group.members, _Member(str(key), batch.start + row, str(reason))])
            del group.members[DUPLICATES_SHOWN:]
            if len(self.groups) > GROUPS_SHOWN:  # a group that is among the first in the end was so all the time
                del self.groups[max(self.groups)]


class PositionsOf:
    """A fold: the rows of the kept images of a `DuplicateFold`."""

    columns: Sequence[str] = ("key",)

    def __init__(self, duplicates: DuplicateFold) -> None:
        """Look for the kept images that were found."""
        self._duplicates = duplicates
        self._keys = pa.array(sorted(duplicates.groups), pa.string())

    def add(self, batch: LedgerBatch) -> None:
        """Take in some rows."""
        found = pc.is_in(batch.table["key"], value_set=self._keys).to_numpy(zero_copy_only=False)
        rows = np.flatnonzero(found)
        for row, key in zip(rows.tolist(), batch.texts("key", rows), strict=True):
            self._duplicates.kept[str(key)] = batch.start + row


class LeakFold:
    """A fold: candidates that show a benchmark's image."""

    columns: Sequence[str] = ("key", "reason")

    def __init__(self) -> None:
        self.found = SmallestRows(LEAKS_SHOWN)
        self.listed: list[int] = []
        """Numbers of the first `LEAKS_LISTED` rows."""
        self.total = 0

    def add(self, batch: LedgerBatch) -> None:
        """Take in some rows."""
        mask = batch.dropped_for(LEAK)
        rows = np.flatnonzero(mask)
        self.found.add(batch, mask)
        self.listed += (rows[: LEAKS_LISTED - len(self.listed)] + batch.start).tolist()
        self.total += len(rows)
