"""The order in which gates are judged: those on cheap numbers first."""

from collections.abc import Mapping, Sequence

from million_ird.config.gates import Gate
from million_ird.measure_types import Tier


def in_cost_order(gates: Sequence[Gate], tiers: Mapping[str, Tier]) -> list[Gate]:
    """Sort gates by the tier that their column is measured in, then as the recipe lists them.

    Args:
        gates: of a recipe.
        tiers: `Recipe.tiers`.
    """
    return sorted(gates, key=lambda gate: tiers[gate.field])
