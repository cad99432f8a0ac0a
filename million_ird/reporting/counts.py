"""What the card and the report count in the ledger: duplicates, leaks, licences, sources.

Whole columns are counted at once, and only few columns are in memory at a time.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from million_ird.schema import KEPT, LEAK

MAX_NAMED = 30
"""Sources or licences that the card names; the others are added up."""
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


def duplicate_group_stats(ledger: pa.Table) -> DuplicateGroupStats:
    """Count the groups in the column `cluster`: each kept image with all that were dropped as its duplicates."""
    members = pc.value_counts(pc.drop_null(ledger["cluster"])).field("counts")
    sizes = {}
    for smallest, largest, name in GROUP_SIZES:
        in_range = pc.greater_equal(members, smallest)
        if largest is not None:
            in_range = pc.and_(in_range, pc.less_equal(members, largest))
        if count := pc.sum(in_range).as_py():
            sizes[name] = count
    return DuplicateGroupStats(groups=len(members), largest=pc.max(members).as_py() or 0, sizes=sizes)


def count_leaks(ledger: pa.Table, benchmarks: Sequence[str] = ()) -> list[LeakCount]:
    """Count what was dropped because of each benchmark, sorted by the benchmark's name.

    Args:
        ledger: The decided rows.
        benchmarks: All benchmarks that were compared; those without a leak are listed with 0.
    """
    counts = {name: LeakCount(benchmark=name, dropped=0, images=0) for name in benchmarks}
    if "leak_of" in ledger.column_names:
        leaked = ledger.select(["reason", "leak_of"]).filter(pc.equal(ledger["reason"], LEAK))["leak_of"]
        names = pc.replace_substring_regex(pc.drop_null(leaked), r"(?s)/.*", "")
        table = pa.table({"name": names, "of": pc.drop_null(leaked)})
        by_name = table.group_by("name").aggregate([("of", "count"), ("of", "count_distinct")])
        for row in by_name.to_pylist():
            name = row["name"]
            counts[name] = LeakCount(benchmark=name, dropped=row["of_count"], images=row["of_count_distinct"])
    return [counts[name] for name in sorted(counts)]


def count_values(ledger: pa.Table, column: str) -> list[ValueCount]:
    """Count candidates by a text column: most candidates first, then by name."""
    rows = _count_by(ledger, column).to_pylist()
    counts = [ValueCount(name=row["name"], candidates=row["kept_count"], kept=row["kept_sum"]) for row in rows]
    return sorted(counts, key=lambda count: (-count.candidates, count.name or ""))


def largest_values(
    ledger: pa.Table, column: str, *, max_named: int = MAX_NAMED, kept_only: bool = False
) -> list[ValueCount]:
    """Count candidates by a text column: most kept first, then most candidates, then by name.

    Args:
        ledger: The decided rows.
        column: The text column.
        max_named: Values that get a row of their own; the last row adds up the others.
        kept_only: Leave out values of which nothing was kept.
    """
    table = _count_by(ledger, column)
    if kept_only:
        table = table.filter(pc.greater(table["kept_sum"], 0))
    table = table.sort_by([("kept_sum", "descending"), ("kept_count", "descending"), ("name", "ascending")])
    counts = [
        ValueCount(name=row["name"], candidates=row["kept_count"], kept=row["kept_sum"])
        for row in table.slice(0, max_named).to_pylist()
    ]
    others = table.slice(max_named)
    if others.num_rows:
        candidates, kept = (pc.sum(others[name]).as_py() for name in ("kept_count", "kept_sum"))
        counts.append(ValueCount(name=None, candidates=candidates, kept=kept, others=others.num_rows))
    return counts


def _count_by(ledger: pa.Table, column: str) -> pa.Table:
    """Return a table of `name`, `kept_count` (candidates) and `kept_sum` (kept), one row per value."""
    kept = pc.equal(ledger["verdict"], KEPT).cast(pa.int64())
    by_name = pa.table({"name": ledger[column], "kept": kept}).group_by("name")
    return by_name.aggregate([("kept", "count"), ("kept", "sum")])


def hub_licence(ledger: pa.Table) -> str:
    """Return the Hub's identifier for the licence of all kept images; `other` where there is no single one."""
    kept = pc.unique(ledger.select(["licence", "verdict"]).filter(pc.equal(ledger["verdict"], KEPT))["licence"])
    names = {licence_identifier(text) for text in kept.slice(0, MAX_NAMED).to_pylist()}
    return next(iter(names)) if len(kept) <= MAX_NAMED and len(names) == 1 else "other"


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
