"""The workflow of a build on one page: scan → decide → write → report."""

import logging
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from typing import TypeAlias

from million_ird import ledger as ledgers
from million_ird.arguments import as_count, as_flag, as_path, as_text, as_texts, naming_arguments, shown
from million_ird.build_folder import (
    DECIDED,
    LOCK,
    RECIPE,
    check_output,
    load_sources,
    open_build,
    save_recipe,
    save_sources,
)
from million_ird.build_result import Result
from million_ird.config.loading import load
from million_ird.config.recipe import Recipe, digest
from million_ird.config.source_spec import SourceSpec
from million_ird.dataset.shards import WriteSummary, write_shards
from million_ird.decide.stream import Decision, clean_decided
from million_ird.errors import LedgerError, SourceError, UsageError
from million_ird.fingerprints import benchmark_names, load_reference_fingerprints, named_benchmarks, save_benchmarks
from million_ird.ledger import Funnel
from million_ird.ledger_stream import LedgerStream, count_verdicts
from million_ird.made_from import card_made_from, report_made_from
from million_ird.marks import keep_ledger_digest, make_mark
from million_ird.measures.scores import prepare
from million_ird.reference_sets import REMOVED, ReferenceSet, reference_digests
from million_ird.reporting.card import write_card
from million_ird.reporting.report import write_report
from million_ird.runtime.executor import Executor
from million_ird.runtime.lock import locked
from million_ird.runtime.memory import give_back_memory
from million_ird.runtime.progress import Listener, Progress
from million_ird.runtime.storage import Folder
from million_ird.scan.scan import Scan, ScanSummary
from million_ird.scan.scan_table import load_scan
from million_ird.scan.source_bytes import load_download_cache
from million_ird.schema import NOT_MEASURED
from million_ird.sources.registry import SourceContext, open_sources, source_specs
from million_ird.sources.source import Source
from million_ird.stages import IN_LEDGER, find_stages

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How a build is run: all that is not part of the recipe."""

    limit: int | None = None
    """Process only this many candidates, the first ones."""
    workers: int | None = None
    """Processes; 0 runs inline, None takes one per core."""
    scheduler: str | None = None
    """Address of a dask scheduler to use instead."""
    models: str | None = None
    """Folder of score parameters, for recipes that name scores."""
    retry: frozenset[str] | None = None
    """Failure classes whose candidates are tried again, all if empty; None for none."""
    refresh: bool = False
    """Whether sites are crawled again where an earlier run has done so."""
    allow_private_hosts: bool = False
    """Whether images may be fetched from private, loopback and link-local addresses."""
    follow_links: bool = False
    """Whether links may lead out of any of the sources of a build; saved with these."""
    benchmarks: tuple[ReferenceSet, ...] = ()
    """Evaluation sets whose images must not be in the dataset, in addition to those of the recipe."""
    listener: Listener | None = None
    """Receives progress."""

    def __post_init__(self) -> None:
        """Check every field; a wrong one is named.

        Raises:
            UsageError: A field has a value of another kind.
        """
        for name, least in (("limit", 1), ("workers", 0)):
            if (number := getattr(self, name)) is not None:
                as_count(name, number, at_least=least)
        for name in ("refresh", "allow_private_hosts", "follow_links"):
            as_flag(name, getattr(self, name))
        if self.scheduler is not None:
            as_text("scheduler", self.scheduler)
        if self.models is not None:
            object.__setattr__(self, "models", as_path("models", self.models))
        if self.retry is not None:  # no class at all means every class
            object.__setattr__(self, "retry", frozenset(as_texts("retry", self.retry) if self.retry else ()))
        if not isinstance(self.benchmarks, Iterable) or not all(isinstance(b, ReferenceSet) for b in self.benchmarks):
            raise UsageError(f"benchmarks: {shown(self.benchmarks)} is not a list of ReferenceSet")
        object.__setattr__(self, "benchmarks", tuple(self.benchmarks))
        if self.listener is not None and not all(
            callable(getattr(self.listener, n, None)) for n in ("stage", "advance")
        ):
            raise UsageError(f"listener: {shown(self.listener)} has no stage and advance")


SourceArgument: TypeAlias = str | os.PathLike[str] | SourceSpec


@naming_arguments
def build(
    sources: SourceArgument | Iterable[SourceArgument],
    out: str | os.PathLike[str],
    recipe: str | os.PathLike[str] | Recipe = "million_ird.yaml",
    options: Options | None = None,
) -> Result:
    """Build the dataset `out` from `sources` and those of the recipe; run again, it resumes.

    Args:
        sources: one or several folders, files, patterns, tables, archives, datasets, sites; see `SourceSpec`.
        out: the output folder; new, empty, or of an earlier build.
        recipe: what to measure, keep and write: a recipe, its file, or the name of a shipped one (`demo`).
        options: how the build is run.

    Returns:
        The counts of all stages, and where the results are.

    Raises:
        RecipeError: there is no such recipe, or it is wrong.
        UsageError: a source, the recipe or the output folder cannot be used; no image was read.
        BuildError: stopped with something wrong; run again to go on.
    """
    started = time.monotonic()
    options = Options() if options is None else options
    sources, out, recipe = checked_arguments(sources, out, recipe, options)
    folder = check_output(out)
    specs = source_specs(recipe, sources, follow_links=options.follow_links)
    opened = open_sources(specs, _source_context(folder, recipe, options))
    prepare(recipe, options.models)
    benchmarks = named_benchmarks(recipe, options.benchmarks)
    with Executor(options.workers, options.scheduler) as executor, locked(folder, LOCK):
        progress = Progress(folder, options.listener)
        save_recipe(folder, recipe)
        save_sources(folder, specs)
        save_benchmarks(folder, benchmarks, executor, only=True)
        summary = scan_stage(folder, list(opened.values()), recipe, executor, progress, options)
        give_back_memory()
        funnel = decide_stage(folder, recipe, executor)
        give_back_memory()
        ledger = LedgerStream.of_build(folder)
        written = write_stage(folder, recipe, ledger, opened, executor, progress)
        originals, mark = load_download_cache(folder), make_mark(folder, recipe).text
        made = report_made_from(folder, recipe, mark, summary.vanished)
        reported = bool(summary.measured or not made.is_current)
        if reported:
            write_report(folder, ledger, recipe, opened, summary.seconds, originals, progress=progress, mark=mark)
            made.keep()
        progress.finish()
    return Result(funnel, folder.url, summary, written, time.monotonic() - started, reported=reported)


def checked_arguments(
    sources: object, out: object, recipe: object, options: object
) -> tuple[list[str | SourceSpec], str, Recipe]:
    """Return the arguments of `build` in the one form that it works with.

    Raises:
        UsageError: An argument is of another type; the message names it.
        RecipeError: The recipe cannot be loaded.
    """
    named = [sources] if isinstance(sources, str | os.PathLike | SourceSpec) else sources
    if isinstance(named, bytes | bytearray) or not isinstance(named, Iterable):
        raise UsageError(f"sources: {shown(sources)} is neither a path nor a source nor a list of them")
    listed = [one if isinstance(one, SourceSpec) else as_path("sources", one) for one in named]
    folder = as_path("out", out)
    if isinstance(recipe, str | os.PathLike):
        recipe = load(as_path("recipe", recipe))
    if not isinstance(recipe, Recipe):
        raise UsageError(f"recipe: {shown(recipe)} is not a Recipe, a file or a name")
    if not isinstance(options, Options):
        raise UsageError(f"options: {shown(options)} are no Options")
    return listed, folder, recipe


def scan_again(out: str, options: Options | None = None) -> ScanSummary:
    """Run the first stage alone, with the recipe and sources of the earlier build."""
    options = options or Options()
    folder, recipe = open_build(out)
    opened = load_sources(folder, _source_context(folder, recipe, options))
    prepare(recipe, options.models)
    with locked(folder, LOCK), Executor(options.workers, options.scheduler) as executor:
        progress = Progress(folder, options.listener)
        summary = scan_stage(folder, list(opened.values()), recipe, executor, progress, options)
        progress.finish()
    return summary


def decide_again(out: str, recipe: Recipe | None = None, options: Options | None = None) -> Result:
    """Run the second stage alone: new verdicts from the measured numbers, by another recipe if one is given.

    Benchmarks are excluded in addition to those of earlier runs.
    """
    started = time.monotonic()
    options = options or Options(workers=0)
    folder, earlier = open_build(out)
    chosen = recipe or earlier
    benchmarks = named_benchmarks(chosen, options.benchmarks)
    with locked(folder, LOCK), Executor(options.workers, options.scheduler) as executor:
        save_benchmarks(folder, benchmarks, executor, only=False)
        funnel = decide_stage(folder, chosen, executor)
        save_recipe(folder, chosen)
    return Result(funnel, folder.url, seconds=time.monotonic() - started)


def write_again(out: str, options: Options | None = None) -> Result:
    """Run the third stage alone: shards and card from the verdicts in the ledger."""
    started = time.monotonic()
    options = options or Options()
    folder, recipe = open_build(out)
    opened = load_sources(folder, _source_context(folder, recipe, options))
    with locked(folder, LOCK), Executor(options.workers, options.scheduler) as executor:
        find_stages(folder, recipe).require("written", IN_LEDGER)
        progress = Progress(folder, options.listener)
        ledger = LedgerStream.of_build(folder)
        written = write_stage(folder, recipe, ledger, opened, executor, progress)
        progress.finish()
    return Result(count_verdicts(ledger), folder.url, written=written, seconds=time.monotonic() - started)


def report_again(out: str, listener: Listener | None = None) -> str:
    """Write the report alone; return its path."""
    folder, recipe = open_build(out)
    with locked(folder, LOCK):
        find_stages(folder, recipe).require("reported", IN_LEDGER)
        progress = Progress(folder, listener)
        path = report_stage(folder, recipe, progress)
        progress.finish()
    return path


def scan_stage(
    folder: Folder, sources: Sequence[Source], recipe: Recipe, executor: Executor, progress: Progress, options: Options
) -> ScanSummary:
    """Fetch and measure what is new."""
    scan = Scan(
        out=folder, sources=sources, recipe=recipe, models=options.models, limit=options.limit, retry=options.retry
    )
    return scan.run(executor, progress)


def decide_stage(folder: Folder, recipe: Recipe, executor: Executor) -> Funnel:
    """Decide from the measured numbers and write the ledger, unless it was decided in the same way before."""
    rows = load_scan(folder, recipe)
    references = reference_digests(folder)
    rules = [metadata.version("million-ird"), recipe.digest, references]
    decided: dict[str, object] = {"scan": rows.scan, "rules": rules, "uri_parameters": [*recipe.uri_parameters]}
    if rows.scan and folder.read_json(DECIDED) == {**decided, "files": ledgers.versions(folder)}:
        counts = count_verdicts(LedgerStream.of_build(folder))
    else:
        staged = Decision(
            out=folder,
            rows=rows,
            recipe=recipe,
            references=load_reference_fingerprints(folder),
            removed=REMOVED if REMOVED in references else None,
            rules=digest(rules),
        ).run(executor)
        folder.write_json(DECIDED, {})  # a half-replaced ledger must be decided again
        staged.publish()
        keep_ledger_digest(folder, executor.run)
        folder.write_json(DECIDED, {**decided, "files": ledgers.versions(folder)})
        counts = staged.funnel
    clean_decided(folder)  # also what a run left that was killed here
    unmeasured = counts.dropped.get(NOT_MEASURED, 0)
    if unmeasured:
        log.warning(
            "%d candidates pass the gates but were never measured completely; run scan, then decide", unmeasured
        )
    return counts


def write_stage(
    folder: Folder,
    recipe: Recipe,
    ledger: LedgerStream,
    sources: Mapping[str, Source],
    executor: Executor,
    progress: Progress,
) -> WriteSummary:
    """Write shards and card; what is there and was made from the same is not written again."""
    kept = {source for table in ledger.kept(["source"]) for source in table["source"].unique().to_pylist()}
    if ledgers.check_version(ledger.schema, folder.url) != recipe.ledger_entries:
        raise LedgerError(f"{folder.url}: decided by another recipe than {RECIPE}; run build or decide")
    if kept - set(sources):
        raise LedgerError(
            f"{folder.url}: images of {sorted(kept - set(sources))} are kept, but these are not among the sources"
        )
    written = write_shards(folder, ledger, recipe, sources, executor, progress, load_download_cache(folder))
    mark, benchmarks = make_mark(folder, recipe).text, benchmark_names(folder)
    made = card_made_from(folder, recipe, benchmarks, mark)
    if not written.new_shards and made.is_current:
        return written
    progress.stage("card", 1, "files")
    write_card(folder, ledger, recipe, written, benchmarks=benchmarks, mark=mark)
    made.keep()
    progress.advance(1)
    return replace(written, card=True)


def report_stage(folder: Folder, recipe: Recipe, progress: Progress | None = None) -> str:
    """Write the report on the files in the folder; return its path.

    Images of sources that are gone are listed, not shown. The report does not say how long a scan took.
    """
    try:
        opened = load_sources(folder, SourceContext(recipe=recipe, out=folder))
    except (SourceError, LedgerError) as error:
        log.warning("the report shows fewer images: %s", error)
        opened = {}
    originals, mark = load_download_cache(folder), make_mark(folder, recipe).text
    ledger = LedgerStream.of_build(folder)
    return write_report(folder, ledger, recipe, opened, {}, originals, progress=progress, mark=mark)


def _source_context(folder: Folder, recipe: Recipe, options: Options) -> SourceContext:
    return SourceContext(
        recipe=recipe, out=folder, allow_private_hosts=options.allow_private_hosts, refresh=options.refresh
    )
