"""The funnel as card and report show it: how many candidates each rule dropped, in the order of the rules."""

from collections.abc import Sequence
from dataclasses import dataclass

from million_ird.config.gates import Gate
from million_ird.config.recipe import Recipe
from million_ird.decide.gate_order import in_cost_order
from million_ird.ledger import Funnel
from million_ird.reporting.formatting import number
from million_ird.schema import (
    EXACT,
    FAILED,
    LEAK,
    LICENCE,
    NEAR,
    NOT_MEASURED,
    PIXELS,
    REMOVED,
    SCENE,
    SHARED_MARK,
    VANISHED,
)


@dataclass(frozen=True, slots=True)
class FunnelStep:
    """One rule: how many candidates it dropped, and how many were left after it."""

    name: str
    """The reason in the ledger."""
    rule: str
    """The rule in words; empty for a reason that is not the recipe's."""
    dropped: int
    left: int


def funnel_steps(funnel: Funnel, recipe: Recipe) -> list[FunnelStep]:
    """Return the rules in the order in which they are applied; what is left after the last is what was kept.

    A reason that two gates share appears once, at the first of them. A reason that is not the recipe's own comes last.
    """
    rules = {
        VANISHED: "scanned earlier, no longer in the source",
        FAILED: "could not be fetched, read or decoded",
        LICENCE: "has a licence that the recipe does not allow",
        **_gate_rules(in_cost_order(recipe.gates, recipe.tiers)),
        NOT_MEASURED: "passes the gates, but was not measured completely",
        REMOVED: "taken down on request",
        LEAK: "shows an image of an evaluation set, or a part of one",
        SHARED_MARK: "has a mark that many images of its source have at the same place",
        EXACT: "has the same bytes as a kept image",
        PIXELS: "has the same pixels as a kept image",
        NEAR: "is a near-duplicate of a kept image",
        SCENE: "shows nearly the same scene as a kept image",
    }
    counts = {FAILED: funnel.failed, **funnel.dropped}
    rules |= {reason: "" for reason in counts if reason not in rules}
    in_recipe = {FAILED} | {gate.drop_reason for gate in recipe.gates}
    in_recipe |= {LICENCE} if recipe.licences.is_active else set()
    in_recipe |= {SHARED_MARK} if recipe.shared_marks == "drop" else set()
    in_recipe |= {EXACT} if recipe.duplicates.exact else set()
    in_recipe |= {NEAR} if recipe.duplicates.radius is not None else set()
    in_recipe |= {SCENE} if recipe.duplicates.near_scenes == "thin" else set()
    steps, left = [], funnel.candidates
    for reason, rule in rules.items():
        if reason in in_recipe or counts.get(reason):
            left -= counts.get(reason, 0)
            steps.append(FunnelStep(reason, rule, counts.get(reason, 0), left))
    return steps


def describe_gate(gate: Gate) -> str:
    """Return a gate in words: `short_side at least 1,024`."""
    return f"{gate.field} {gate.limits(number)}"


def _gate_rules(gates: Sequence[Gate]) -> dict[str, str]:
    by_reason: dict[str, list[str]] = {}
    for gate in gates:
        by_reason.setdefault(gate.drop_reason, []).append(describe_gate(gate))
    return {reason: "; ".join(rules) for reason, rules in by_reason.items()}
