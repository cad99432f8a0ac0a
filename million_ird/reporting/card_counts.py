"""What the card counts in the ledger: copies, leaks, licences, sources. Whole columns at a time, few at once."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from million_ird.ledger import KEPT, LEAK

MOST_SHARES = 30
"""Sources or licences that are named; the others are added up."""
GROUP_SIZES = ((2, 2, "2 pictures"), (3, 5, "3 to 5"), (6, 20, "6 to 20"), (21, None, "more than 20"))
_HUB_LICENCES = frozenset(
    {
        *("cc0-1.0", "pddl", "unlicense", "odc-by", "odbl", "gfdl", "mit", "apache-2.0", "etalab-2.0", "afl-3.0"),
        *("cc-by-2.0", "cc-by-2.5", "cc-by-3.0", "cc-by-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0", "cc-by-nd-4.0"),
        *("cc-by-nc-2.0", "cc-by-nc-3.0", "cc-by-nc-4.0", "cc-by-nc-nd-3.0", "cc-by-nc-nd-4.0"),
        *("cc-by-nc-sa-2.0", "cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0"),
        *("cdla-sharing-1.0", "cdla-permissive-1.0", "cdla-permissive-2.0"),
    }
)
"""Identifiers of https://huggingface.co/docs/hub/repositories-licenses under which pictures are published."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """Candidates that have one text in a column in common."""

    name: str | None
    candidates: int
    kept: int
    others: int = 0
    """How many texts this row adds up, where they are too many to be named; else 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Groups:
    """Pictures of which there were copies, each with those."""

    groups: int
    largest: int
    """Pictures in the largest group, with the one that stays."""
    sizes: Mapping[str, int]
    """Number of groups by size, those sizes that occur."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leak:
    """What was dropped for one benchmark."""

    benchmark: str
    dropped: int
    pictures: int
    """Pictures of the benchmark that they show."""


def groups_of_copies(ledger: pa.Table) -> Groups:
    """Counts the groups in `cluster`: the picture that stays and all that were dropped as its copies."""
    members = pc.value_counts(pc.drop_null(ledger["cluster"])).field("counts")
    sizes = {}
    for least, most, name in GROUP_SIZES:
        inside = pc.greater_equal(members, least)
        if most is not None:
            inside = pc.and_(inside, pc.less_equal(members, most))
        if count := pc.sum(inside).as_py():
            sizes[name] = count
    return Groups(groups=len(members), largest=pc.max(members).as_py() or 0, sizes=sizes)


def leaks(ledger: pa.Table, benchmarks: Sequence[str] = ()) -> list[Leak]:
    """What was dropped for each benchmark, by name; `benchmarks` are those looked for, and stand there with 0 too."""
    found = {name: Leak(benchmark=name, dropped=0, pictures=0) for name in benchmarks}
    if "leak_of" in ledger.column_names:
        leaked = ledger.select(["reason", "leak_of"]).filter(pc.equal(ledger["reason"], LEAK))["leak_of"]
        names = pc.replace_substring_regex(pc.drop_null(leaked), r"(?s)/.*", "")
        table = pa.table({"name": names, "of": pc.drop_null(leaked)})
        counted = table.group_by("name").aggregate([("of", "count"), ("of", "count_distinct")])
        for row in counted.to_pylist():
            name = row["name"]
            found[name] = Leak(benchmark=name, dropped=row["of_count"], pictures=row["of_count_distinct"])
    return [found[name] for name in sorted(found)]


def shares(ledger: pa.Table, column: str, *, most: int = MOST_SHARES, of_kept: bool = False) -> list[Share]:
    """Counts by a text column, most kept first, then most candidates, then by name; the last adds up the others.

    `of_kept` leaves out texts of which nothing was kept.
    """
    kept = pc.equal(ledger["verdict"], KEPT).cast(pa.int64())
    counted = pa.table({"name": ledger[column], "kept": kept}).group_by("name")
    table = counted.aggregate([("kept", "count"), ("kept", "sum")])
    if of_kept:
        table = table.filter(pc.greater(table["kept_sum"], 0))
    table = table.sort_by([("kept_sum", "descending"), ("kept_count", "descending"), ("name", "ascending")])
    found = [
        Share(name=row["name"], candidates=row["kept_count"], kept=row["kept_sum"])
        for row in table.slice(0, most).to_pylist()
    ]
    rest = table.slice(most)
    if rest.num_rows:
        candidates, good = (pc.sum(rest[name]).as_py() for name in ("kept_count", "kept_sum"))
        found.append(Share(name=None, candidates=candidates, kept=good, others=rest.num_rows))
    return found


def hub_licence(ledger: pa.Table) -> str:
    """The identifier that the Hub has for the licence of every kept picture; `other` where there is no such one."""
    kept = pc.unique(ledger.select(["licence", "verdict"]).filter(pc.equal(ledger["verdict"], KEPT))["licence"])
    names = {identifier(text) for text in kept.slice(0, MOST_SHARES).to_pylist()}
    return next(iter(names)) if len(kept) <= MOST_SHARES and len(names) == 1 else "other"


def identifier(licence: str | None) -> str:
    """What the Hub calls a licence: `CC BY 4.0`, its SPDX name, its address at Creative Commons; or `other`."""
    name = re.sub(r"[\s_]+", "-", (licence or "").strip().casefold())
    address = r"(?:https?://)?(?:www\.)?creativecommons\.org/(?:licenses|publicdomain)/([a-z-]+)/([\d.]+)(?:/.*)?"
    if found := re.fullmatch(address, name):
        name = "cc0-1.0" if found[1] == "zero" else f"cc-{found[1]}-{found[2]}"
    name = re.sub(r"^cc-(?:zero|0)(?=-|$)", "cc0", name)
    return name if name in _HUB_LICENCES else "other"
