"""What the card and the report count in the ledger: duplicates, leaks, licences, sources.

All of them are folds. Their memory: a count for each different source, licence and leaked image of a benchmark, and 8
bytes for each image in a group of duplicates.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from million_ird.ledger_stream import VerdictCounts
from million_ird.reporting.rows import LedgerBatch
from million_ird.schema import LEAK

MAX_NAMED, MAX_LISTED = 30, 1000
"""Sources or licences that the card names, and that the report lists; the others are added up."""
_PENDING = 50_000
"""Rows of counts that wait before they are added up."""
GROUP_SIZES = ((2, 2, "2 images"), (3, 5, "3 to 5"), (6, 20, "6 to 20"), (21, None, "more than 20"))
_HUB_LICENCES = frozenset(
    {
        *("cc0-1.0", "pddl", "unlicense", "odc-by", "odbl", "gfdl", "mit", "apache-2.0", "etalab-2.0", "afl-3.0"),
        *("cc-by-2.0", "cc-by-2.5", "cc-by-3.0", "cc-by-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0", "cc-by-nd-4.0"),
        *("cc-by-nc-2.0", "cc-by-nc-3.0", "cc-by-nc-4.0", "cc-by-nc-nd-3.0", "cc-by-nc-nd-4.0"),
        *("cc-by-nc-sa-2.0", "cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0"),
        *("cdla-sharing-1.0", "cdla-permissive-1.0", "cdla-permissive-2.0"),
    }
)
"""Identifiers of https://huggingface.co/docs/hub/repositories-licenses under which images are published."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueCount:
    """How many candidates have one value in a text column."""

    name: str | None
    """The value; None for candidates without one, and for the row that adds up the others."""
    candidates: int
    kept: int
    others: int = 0
    """How many values this row adds up, where there are too many to name; else 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DuplicateGroupStats:
    """The groups of kept images and their duplicates."""

    groups: int
    largest: int
    """Images in the largest group, the kept one included."""
    sizes: Mapping[str, int]
    """Number of groups by size; sizes that do not occur are left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeakCount:
    """What was dropped because of one benchmark."""

    benchmark: str
    dropped: int
    images: int
    """Different images of the benchmark that the dropped candidates show."""


class FunnelCounts(VerdictCounts):
    """A fold: kept, dropped and failed candidates."""

    def add(self, batch: LedgerBatch) -> None:
        """Take in some rows."""
        self.count(batch.table)


class GroupSizes:
    """A fold: the groups in the column `cluster`, each a kept image with all that were dropped as its duplicates."""

    columns: Sequence[str] = ("cluster",)

    def __init__(self) -> None:
        self._parts: list[NDArray[np.uint64]] = []

    def add(self, batch: LedgerBatch) -> None:
        """Take in some rows."""
        names = batch.table["cluster"].drop_null().to_pylist()
        if names:  # 64 bits tell the groups apart: even two of a hundred million are hardly ever taken for one
            hashes = (hashlib.blake2b(name.encode(), digest_size=8).digest() for name in names)
            self._parts.append(np.frombuffer(b"".join(hashes), np.uint64))

    def stats(self) -> DuplicateGroupStats:
        """Return how many groups there are, by size."""
        members = np.concatenate([np.empty(0, np.uint64), *self._parts])
        members.sort()
        starts = np.flatnonzero(np.concatenate([np.ones(min(1, len(members)), bool), members[1:] != members[:-1]]))
        sizes = np.diff(np.append(starts, len(members)))
        named = {}
        for smallest, largest, name in GROUP_SIZES:
            in_range = (sizes >= smallest) & (sizes <= (largest or len(members)))
            if count := int(in_range.sum()):
                named[name] = count
        return DuplicateGroupStats(groups=len(sizes), largest=int(sizes.max(initial=0)), sizes=named)


class LeakCounts:
    """A fold: what was dropped because of each benchmark."""

    columns: Sequence[str] = ("reason", "leak_of")

    def __init__(self) -> None:
        self._images: dict[str, int] = {}

    def add(self, batch: LedgerBatch) -> None:
        """Take in some rows."""
        for name in batch.texts("leak_of", np.flatnonzero(batch.dropped_for(LEAK))):
            if name is not None:
                self._images[name] = self._images.get(name, 0) + 1

    def counts(self, benchmarks: Sequence[str] = ()) -> list[LeakCount]:
        """Return the counts, sorted by the benchmark's name.

        Args:
            benchmarks: All benchmarks that were compared; those without a leak are listed with 0.
        """
        totals = {name: [0, 0] for name in benchmarks}
        for image, dropped in self._images.items():
            total = totals.setdefault(image.partition("/")[0], [0, 0])
            total[0], total[1] = total[0] + dropped, total[1] + 1
        return [LeakCount(benchmark=name, dropped=totals[name][0], images=totals[name][1]) for name in sorted(totals)]


class ValueCounts:
    """A fold: candidates and kept images by a text column."""

    def __init__(self, column: str) -> None:
        """Count by this column."""
        self.columns: Sequence[str] = (column, "verdict")
        self._column = column
        self._parts: list[pa.Table] = []
        self._rows = self._settled = 0

    def add(self, batch: LedgerBatch) -> None:
        """Take in some rows."""
        kept = pa.array(batch.kept.astype(np.int64))
        table = pa.table({"name": batch.table[self._column].combine_chunks(), "kept": kept})
        counted = table.group_by("name").aggregate([("kept", "count"), ("kept", "sum")])
        self._parts.append(counted.select(["name", "kept_count", "kept_sum"]))
        self._rows += counted.num_rows
        if self._rows > 2 * self._settled + _PENDING:
            self._settle()

    def _settle(self) -> pa.Table:
        empty = pa.schema([("name", pa.string()), ("kept_count", pa.int64()), ("kept_sum", pa.int64())]).empty_table()
        joined = pa.concat_tables(self._parts or [empty]).group_by("name")
        table = joined.aggregate([("kept_count", "sum"), ("kept_sum", "sum")])
        table = table.select(["name", "kept_count_sum", "kept_sum_sum"]).rename_columns(empty.column_names)
        self._parts, self._rows, self._settled = [table], table.num_rows, table.num_rows
        return table

    def most_candidates(self, max_named: int = MAX_LISTED) -> list[ValueCount]:
        """Return the counts: most candidates first, then by name.

        Args:
            max_named: Values that get a row of their own; the last row adds up the others.
        """
        table = self._settle()
        table = table.append_column("text", pc.fill_null(table["name"], ""))
        order = [("kept_count", "descending"), ("text", "ascending"), ("name", "ascending")]
        return _listed(table.sort_by(order), max_named)

    def most_kept(self, max_named: int = MAX_NAMED, *, kept_only: bool = False) -> list[ValueCount]:
        """Return the counts: most kept first, then most candidates, then by name.

        Args:
            max_named: Values that get a row of their own; the last row adds up the others.
            kept_only: Leave out values of which nothing was kept.
        """
        table = self._settle()
        if kept_only:
            table = table.filter(pc.greater(table["kept_sum"], 0))
        order = [("kept_sum", "descending"), ("kept_count", "descending"), ("name", "ascending")]
        return _listed(table.sort_by(order), max_named)

    def hub_licence(self) -> str:
        """Return the Hub's identifier for the licence of all kept images; `other` where there is no single one."""
        counts = self.most_kept(kept_only=True)
        names = {licence_identifier(count.name) for count in counts}
        return next(iter(names)) if len(counts) <= MAX_NAMED and len(names) == 1 else "other"


def _listed(table: pa.Table, max_named: int) -> list[ValueCount]:
    """Return the first rows of a table of counts, and one row for all others together."""
    rows = table.slice(0, max_named).to_pylist()
    counts = [ValueCount(name=row["name"], candidates=row["kept_count"], kept=row["kept_sum"]) for row in rows]
    others = table.slice(max_named)
    if others.num_rows:
        candidates, kept = (pc.sum(others[name]).as_py() for name in ("kept_count", "kept_sum"))
        counts.append(ValueCount(name=None, candidates=candidates, kept=kept, others=others.num_rows))
    return counts


def licence_identifier(licence: str | None) -> str:
    """Return the Hub's identifier of a licence, or `other`.

    Recognises names like `CC BY 4.0`, SPDX identifiers, and addresses at Creative Commons.
    """
    name = re.sub(r"[\s_]+", "-", (licence or "").strip().casefold())
    address = r"(?:https?://)?(?:www\.)?creativecommons\.org/(?:licenses|publicdomain)/([a-z-]+)/([\d.]+)(?:/.*)?"
    if match := re.fullmatch(address, name):
        name = "cc0-1.0" if match[1] == "zero" else f"cc-{match[1]}-{match[2]}"
    name = re.sub(r"^cc-(?:zero|0)(?=-|$)", "cc0", name)
    return name if name in _HUB_LICENCES else "other"
