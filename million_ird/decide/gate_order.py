"""What a gate costs: the tier that its number is measured in, and the order in which gates are judged by it."""

from collections.abc import Sequence

from million_ird.candidate import Tier
from million_ird.config.gates import Gate
from million_ird.ledger import HEADER_COLUMNS
from million_ird.measures.registry import MEASURES
from million_ird.measures.scores import OFFICIAL


def gate_tier(gate: Gate, columns: Sequence[str] = ()) -> Tier:
    """The tier after which a gate can be judged; `columns` are those that tables pass through."""
    if gate.field in columns:
        return Tier.DECLARED
    for measure in MEASURES.values():
        if gate.field in measure.fields:
            return measure.tier
    if gate.field in OFFICIAL:
        return Tier.QUALITY
    return Tier.HEADER if gate.field in HEADER_COLUMNS else Tier.NEURAL


def in_cost_order(gates: Sequence[Gate], columns: Sequence[str] = ()) -> list[Gate]:
    """The order in which gates are judged: by tier, then as the recipe lists them."""
    return sorted(gates, key=lambda gate: gate_tier(gate, columns))
