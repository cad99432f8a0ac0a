"""What a build would do, without doing it."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from million_ird.build_folder import check_output
from million_ird.config.recipe import Recipe
from million_ird.config.source_spec import SourceSpec
from million_ird.decide.gate_order import gate_tier, in_cost_order
from million_ird.fingerprints import Benchmark, benchmarks_of
from million_ird.measures.scores import missing_parameters
from million_ird.scan.cascade import begin
from million_ird.scan.scan import Scan, pending
from million_ird.sources.registry import Terms, open_sources


@dataclass(slots=True)
class Share:
    """What one source has to offer, as far as it is known before it is read."""

    candidates: int = 0
    bytes: int = 0
    remote: int = 0
    """Candidates that are fetched from elsewhere."""
    unknown: int = 0
    """Archives or shards of which only streaming tells what they hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The work that a build would have."""

    sources: dict[str, "Share"]
    """By label."""
    measured: int
    """Candidates in units that an earlier run has finished."""
    ruled_out: int
    """Candidates that the size or licence that their source declares rules out before they are fetched."""
    fetches: tuple[str, ...]
    """What would be downloaded before the start."""
    benchmarks: tuple[Benchmark, ...]
    """Evaluation sets whose pictures would be dropped."""
    recipe: Recipe
    out: str

    @property
    def candidates(self) -> int:
        """In all sources."""
        return sum(share.candidates for share in self.sources.values())

    def as_json(self) -> dict[str, object]:
        """For `--json`."""
        return {
            "sources": {label: asdict(share) for label, share in self.sources.items()},
            "candidates": self.candidates,
            "measured_before": self.measured,
            "to_measure": self.candidates - self.measured,
            "ruled_out_as_declared": self.ruled_out,
            "fetches": list(self.fetches),
            "benchmarks": [benchmark.name for benchmark in self.benchmarks],
            "measures": list(self.recipe.measured),
            "out": self.out,
        }

    @property
    def text(self) -> str:
        """For a person."""
        lines = [f"Recipe {self.recipe.name}, into {self.out}"]
        lines += [f"  read      {label}: {_told(share)}" for label, share in self.sources.items()]
        lines.append(f"  measure   {self.candidates - self.measured:,} of them; {self.measured:,} were measured before")
        if self.ruled_out:
            lines.append(f"  drop      {self.ruled_out:,} by the size or licence that their source declares, unfetched")
        lines += [f"  download  {what}" for what in self.fetches]
        for gate in in_cost_order(self.recipe.gates, self.recipe.columns):
            tier = gate_tier(gate, self.recipe.columns).name.lower()
            lines.append(f"  drop      as {gate.called} unless {gate.field} is {gate.limits()} (tier {tier})")
        lines += [f"  drop      what shows a picture of {one.name}, from {one.path}" for one in self.benchmarks]
        patches = self.recipe.patches
        lines.append(f"  write     what is kept, and its {patches.size}×{patches.size} patches as {patches.format}")
        return "\n".join(lines)


def _told(share: Share) -> str:
    parts = [f"{share.candidates:,} candidates"] if share.candidates or not share.unknown else []
    parts += [f"{share.bytes / 1e6:,.1f} MB"] if share.bytes else []
    parts += [f"{share.remote:,} of them to fetch"] if share.remote else []
    parts += [f"{share.unknown:,} to stream, which will tell what they hold"] if share.unknown else []
    return ", ".join(parts)


def plan(
    sources: Sequence[str | SourceSpec],
    out: str,
    recipe: Recipe,
    *,
    limit: int | None = None,
    models: str | None = None,
    benchmarks: Sequence[Benchmark] = (),
) -> Plan:
    """Lists the sources and compares with what is there; writes nothing, fetches no picture and crawls no site.

    Raises:
        UsageError: as a build with the same arguments would.
    """
    folder = check_output(out)
    specs = [*recipe.sources, *map(SourceSpec.model_validate, sources)]
    found = open_sources(specs, Terms(recipe=recipe, out=folder, crawl=False))
    shares = {label: Share() for label in found}
    measured = ruled_out = 0
    for source, unit, size, done in pending(Scan(out=folder, sources=list(found.values()), recipe=recipe, limit=limit)):
        share = shares[unit.source]
        share.candidates += size
        share.bytes += sum(entry.size for entry in unit.entries)
        share.remote += size if unit.remote else 0
        share.unknown += unit.opaque and not size
        measured += size if done else 0
        if not unit.opaque:
            ruled_out += sum(begin(candidate, recipe)[1] for candidate in source.candidates(unit))
    return Plan(
        sources=shares,
        measured=measured,
        ruled_out=ruled_out,
        fetches=tuple(missing_parameters(recipe.scores, models)),
        benchmarks=(*benchmarks_of(recipe), *benchmarks),
        recipe=recipe,
        out=folder.url,
    )
