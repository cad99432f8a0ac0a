"""The plan of a build: what it would read, measure, download and drop, without doing any of it."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from million_ird.build_folder import check_output
from million_ird.config.recipe import Recipe
from million_ird.config.source_spec import SourceSpec
from million_ird.decide.gate_order import in_cost_order
from million_ird.fingerprints import named_benchmarks
from million_ird.measures.scores import missing_parameters
from million_ird.printable import printable
from million_ird.reference_sets import ReferenceSet
from million_ird.reporting.formatting import plural
from million_ird.scan.cascade import row_from_declared
from million_ird.scan.scan import Scan
from million_ird.sources.registry import SourceContext, open_sources, source_specs


@dataclass(slots=True)
class SourceShare:
    """What is known of one source before it is read."""

    candidates: int = 0
    bytes: int = 0
    """Size of the candidates, as far as it is declared."""
    remote: int = 0
    """Candidates that must be fetched."""
    unknown: int = 0
    """Archives or shards whose content is known only after they were streamed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildPlan:
    """The work that a build would do."""

    sources: dict[str, SourceShare]
    """By label of the source."""
    measured: int
    """Candidates that an earlier run has measured."""
    ruled_out: int
    """Candidates that are dropped before they are fetched, by the size or licence that their source declares."""
    fetches: tuple[str, ...]
    """Model parameters that would be downloaded first."""
    benchmarks: tuple[ReferenceSet, ...]
    """Evaluation sets whose images would be dropped."""
    recipe: Recipe
    out: str
    """Output folder."""

    @property
    def candidates(self) -> int:
        """Number of candidates in all sources."""
        return sum(share.candidates for share in self.sources.values())

    def as_json(self) -> dict[str, object]:
        """Return the plan as a JSON object."""
        return {
            "sources": {label: asdict(share) for label, share in self.sources.items()},
            "candidates": self.candidates,
            "measured_before": self.measured,
            "to_measure": self.candidates - self.measured,
            "ruled_out_as_declared": self.ruled_out,
            "fetches": list(self.fetches),
            "benchmarks": [benchmark.name for benchmark in self.benchmarks],
            "measures": list(self.recipe.ledger_entries),
            "out": self.out,
        }

    @property
    def text(self) -> str:
        """The plan as lines of text, for people."""
        lines = [f"Recipe {self.recipe.name}, into {self.out}"]
        lines += [f"  read      {label}: {_describe(share)}" for label, share in self.sources.items()]
        lines.append(f"  measure   {self.candidates - self.measured:,} of them; {self.measured:,} were measured before")
        if self.ruled_out:
            lines.append(f"  drop      {self.ruled_out:,} by declared size or licence, before fetching them")
        lines += [f"  download  {name}" for name in self.fetches]
        for gate in in_cost_order(self.recipe.gates, self.recipe.tiers):
            tier = self.recipe.tiers[gate.field].name.lower()
            lines.append(f"  drop      as {gate.drop_reason} unless {gate.field} is {gate.limits()} (tier {tier})")
        lines += [f"  drop      images of {benchmark.name}, from {benchmark.path}" for benchmark in self.benchmarks]
        patches = self.recipe.patches
        lines.append(f"  write     kept images, and {patches.size}×{patches.size} patches of them as {patches.format}")
        return "\n".join(map(printable, lines))


def _describe(share: SourceShare) -> str:
    parts = [plural(share.candidates, "candidate")] if share.candidates or not share.unknown else []
    parts += [f"{share.bytes / 1e6:,.1f} MB"] if share.bytes else []
    parts += [f"{share.remote:,} of them to fetch"] if share.remote else []
    parts += [f"{share.unknown:,} to stream, with unknown content"] if share.unknown else []
    return ", ".join(parts)


def plan(
    sources: Sequence[str | SourceSpec],
    out: str,
    recipe: Recipe,
    *,
    limit: int | None = None,
    models: str | None = None,
    benchmarks: Sequence[ReferenceSet] = (),
    follow_links: bool = False,
) -> BuildPlan:
    """List the sources and compare them with earlier results; write nothing, fetch no image and crawl no site.

    Args:
        sources: Sources beside those of the recipe.
        out: Output folder of the build.
        recipe: Recipe of the build.
        limit: Only plan for the first candidates.
        models: Folder of score parameters.
        benchmarks: Evaluation sets to exclude beside those of the recipe.
        follow_links: Whether links may lead out of any of the sources.

    Raises:
        UsageError: A build with the same arguments would raise it.
    """
    folder = check_output(out)
    specs = source_specs(recipe, sources, follow_links=follow_links)
    opened = open_sources(specs, SourceContext(recipe=recipe, out=folder, crawl=False))
    shares = {label: SourceShare() for label in opened}
    measured = ruled_out = 0
    scan = Scan(out=folder, sources=list(opened.values()), recipe=recipe, limit=limit)
    for source, chunk, size, is_measured in scan.pending():
        share = shares[chunk.source]
        share.candidates += size
        share.bytes += sum(entry.size for entry in chunk.entries)
        share.remote += size if chunk.remote else 0
        share.unknown += chunk.stream_only and not size
        measured += size if is_measured else 0
        if not chunk.stream_only:
            ruled_out += sum(row_from_declared(candidate, recipe)[1] for candidate in source.candidates(chunk))
    return BuildPlan(
        sources=shares,
        measured=measured,
        ruled_out=ruled_out,
        fetches=tuple(missing_parameters(recipe.scores, models)),
        benchmarks=named_benchmarks(recipe, benchmarks),
        recipe=recipe,
        out=folder.url,
    )
