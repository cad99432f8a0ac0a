"""What a build would do, without doing it."""

from collections.abc import Sequence
from dataclasses import dataclass

from million_ird.build import check_output, open_sources
from million_ird.cascade import gate_tier, in_cost_order
from million_ird.measure.scores import missing_parameters
from million_ird.recipe import Recipe
from million_ird.scan import pending


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The work that a build would have."""

    sources: dict[str, tuple[int, int]]
    """Label to candidates and bytes."""
    measured: int
    """Candidates in units that an earlier run has finished."""
    fetches: tuple[str, ...]
    """What would be downloaded before the start."""
    recipe: Recipe
    out: str

    @property
    def candidates(self) -> int:
        """In all sources."""
        return sum(count for count, _ in self.sources.values())

    def as_json(self) -> dict[str, object]:
        """For `--json`."""
        return {
            "sources": {label: {"candidates": n, "bytes": size} for label, (n, size) in self.sources.items()},
            "candidates": self.candidates,
            "measured_before": self.measured,
            "to_measure": self.candidates - self.measured,
            "fetches": list(self.fetches),
            "measures": list(self.recipe.measured),
            "out": self.out,
        }

    @property
    def text(self) -> str:
        """For a person."""
        lines = [f"Recipe {self.recipe.name}, into {self.out}"]
        for label, (count, size) in self.sources.items():
            lines.append(f"  read      {label}: {count:,} candidates, {size / 1e6:,.1f} MB")
        lines.append(f"  measure   {self.candidates - self.measured:,} of them; {self.measured:,} were measured before")
        lines += [f"  fetch     {what}" for what in self.fetches] or ["  fetch     nothing"]
        for gate in in_cost_order(self.recipe.gates, self.recipe.columns):
            limits = [f"at least {gate.min:g}"] if gate.min is not None else []
            limits += [f"at most {gate.max:g}"] if gate.max is not None else []
            tier = gate_tier(gate, self.recipe.columns).name.lower()
            lines.append(f"  drop      as {gate.called} unless {gate.field} is {' and '.join(limits)} (tier {tier})")
        patches = self.recipe.patches
        lines.append(f"  write     what is kept, and its {patches.size}×{patches.size} patches as {patches.format}")
        return "\n".join(lines)


def plan(
    sources: Sequence[str], out: str, recipe: Recipe, *, limit: int | None = None, models: str | None = None
) -> Plan:
    """Lists the sources and compares with what is there; writes nothing, fetches nothing.

    Raises:
        UsageError: as a build with the same arguments would.
    """
    folder = check_output(out)
    found = open_sources(sources, recipe, folder)
    units = list(pending(folder, list(found.values()), recipe, limit))
    totals = dict.fromkeys(found, (0, 0))
    for unit, _ in units:
        count, size = totals[unit.source]
        totals[unit.source] = (count + len(unit.entries), size + sum(entry.size for entry in unit.entries))
    return Plan(
        sources=totals,
        measured=sum(len(unit.entries) for unit, done in units if done),
        fetches=tuple(missing_parameters(recipe.scores, models)),
        recipe=recipe,
        out=folder.url,
    )
