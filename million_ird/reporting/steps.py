"""The funnel as the report shows it, and where the candidates came from: counts, in the order of the rules."""

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from million_ird.config.gates import Gate
from million_ird.config.recipe import Recipe
from million_ird.decide.gate_order import in_cost_order
from million_ird.ledger import (
    EXACT,
    FAILED,
    KEPT,
    LEAK,
    LICENCE,
    NEAR,
    NOT_MEASURED,
    PIXELS,
    REMOVED,
    VANISHED,
    Funnel,
)
from million_ird.reporting.formatting import number


@dataclass(frozen=True, slots=True)
class Step:
    """One rule: who fell by it, and how many were left after it."""

    name: str
    rule: str
    lost: int
    left: int


def steps(funnel: Funnel, recipe: Recipe) -> list[Step]:
    """The rules in the order in which they are applied; what is left after the last is what was kept.

    A reason that two gates share appears once, at the first. A reason that is not the recipe's own comes last.
    """
    radius = recipe.duplicates.radius
    known = {
        VANISHED: "scanned earlier, no longer in the source",
        FAILED: "could not be fetched, read or decoded",
        LICENCE: "a licence that the recipe does not allow",
        **_rules(in_cost_order(recipe.gates, recipe.columns)),
        NOT_MEASURED: "passes the gates, later measures not taken yet",
        REMOVED: "taken down on request",
        LEAK: "shows a picture of an evaluation set, or a part of one",
        EXACT: "the same bytes as a picture that stays",
        PIXELS: "the same pixels as a picture that stays",
        NEAR: "a near copy of a picture that stays",
    }
    counts = {FAILED: funnel.failed, **funnel.dropped}
    known |= {reason: "" for reason in counts if reason not in known}
    needed = {FAILED} | {gate.called for gate in recipe.gates}
    needed |= {LICENCE} if recipe.licences.rule_something else set()
    needed |= {EXACT} if recipe.duplicates.exact else set()
    needed |= {NEAR} if radius is not None else set()
    found, left = [], funnel.candidates
    for reason, rule in known.items():
        if reason in needed or counts.get(reason):
            left -= counts.get(reason, 0)
            found.append(Step(reason, rule, counts.get(reason, 0), left))
    return found


def rule(gate: Gate) -> str:
    """A gate in words: `short_side at least 1,024`."""
    return f"{gate.field} {gate.limits(number)}"


def _rules(gates: Sequence[Gate]) -> dict[str, str]:
    by_reason: dict[str, list[str]] = {}
    for gate in gates:
        by_reason.setdefault(gate.called, []).append(rule(gate))
    return {reason: "; ".join(rules) for reason, rules in by_reason.items()}


@dataclass(frozen=True, slots=True)
class Group:
    """Candidates that share a source or a licence."""

    name: str | None
    candidates: int
    kept: int


def grouped(ledger: pa.Table, column: str) -> list[Group]:
    """Counts by a text column, most candidates first, then by name."""
    kept = pc.equal(ledger["verdict"], KEPT).cast(pa.int64())
    counted = (
        pa.table({"name": ledger[column], "kept": kept})
        .group_by("name")
        .aggregate([("kept", "count"), ("kept", "sum")])
    )
    groups = [Group(row["name"], row["kept_count"], row["kept_sum"]) for row in counted.to_pylist()]
    return sorted(groups, key=lambda group: (-group.candidates, group.name or ""))
