"""The flow of a build on one page: scan → decide → write → report."""

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata

import pyarrow as pa
import pyarrow.compute as pc

from million_ird import ledger as ledgers
from million_ird.build_folder import (
    LOCK,
    RECIPE,
    check_output,
    load_sources,
    open_build,
    save_recipe,
    save_sources,
)
from million_ird.config.recipe import Recipe
from million_ird.config.source_spec import SourceSpec
from million_ird.dataset.shards import WriteSummary, write_shards
from million_ird.decide.verdicts import decide, needed_columns
from million_ird.dedup.search import HashPairSearch
from million_ird.errors import LedgerError, SourceError
from million_ird.fingerprints import (
    ReferenceSet,
    benchmark_names,
    load_reference_fingerprints,
    recipe_benchmarks,
    reference_files,
    save_benchmarks,
)
from million_ird.ledger import Funnel
from million_ird.measures.scores import prepare
from million_ird.reporting.card import write_card
from million_ird.reporting.report import write_report
from million_ird.runtime.executor import Executor
from million_ird.runtime.lock import locked
from million_ird.runtime.memory import give_back_memory
from million_ird.runtime.progress import Listener, Progress
from million_ird.runtime.scratch import scratch
from million_ird.runtime.storage import Folder
from million_ird.scan.scan import Scan, ScanSummary
from million_ird.scan.scan_table import DECIDED, load_scan
from million_ird.scan.source_bytes import streamed
from million_ird.schema import KEPT, NOT_MEASURED
from million_ird.sources.registry import Terms, open_sources
from million_ird.sources.source import Source

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Result:
    """What a build, or the stages of it that ran, did."""

    funnel: Funnel
    out: str
    scan: ScanSummary = field(default_factory=ScanSummary)
    written: WriteSummary = field(default_factory=WriteSummary)
    seconds: float = 0.0

    @property
    def did_nothing(self) -> bool:
        """Whether everything was there already."""
        return self.scan.measured == 0 and self.written.new_shards == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How a build is run: what is no part of the recipe."""

    limit: int | None = None
    """Look at the first so many candidates only."""
    workers: int | None = None
    """Processes; 0 runs inline, None takes one per core."""
    scheduler: str | None = None
    """Address of a dask scheduler to use instead."""
    models: str | None = None
    """Folder of score parameters, for recipes that name scores."""
    retry: frozenset[str] | None = None
    """Failure classes of which the candidates are tried again, all if empty; None for none."""
    refresh: bool = False
    """Whether sites are crawled anew, where an earlier run has done it."""
    allow_private_hosts: bool = False
    """Whether pictures may come from private, loopback and link-local addresses."""
    benchmarks: tuple[ReferenceSet, ...] = ()
    """Evaluation sets whose pictures must not be in the set, beside those of the recipe."""
    listener: Listener | None = None
    """Is told of progress."""


def build(sources: Sequence[str | SourceSpec], out: str, recipe: Recipe, options: Options | None = None) -> Result:
    """Builds the data set `out` from `sources` and those of the recipe; run again, it does what is not done yet.

    Args:
        sources: folders, files, patterns, tables, archives, data sets, sites; see `SourceSpec`.
        out: the output folder; new, empty, or of an earlier build.
        recipe: what to measure, keep and write.
        options: how.

    Raises:
        UsageError: a source, the recipe or the output folder cannot be used; no picture was looked at.
        BuildError: stopped with something wrong; run again to go on.
    """
    started = time.monotonic()
    how = options or Options()
    folder = check_output(out)
    specs = [*recipe.sources, *map(SourceSpec.model_validate, sources)]
    found = open_sources(specs, _terms(folder, recipe, how))
    prepare(recipe, how.models)
    benchmarks = (*recipe_benchmarks(recipe), *how.benchmarks)
    with Executor(how.workers, how.scheduler) as engine, locked(folder, LOCK):
        progress = Progress(folder, how.listener)
        save_recipe(folder, recipe)
        save_sources(folder, specs)
        save_benchmarks(folder, benchmarks, engine, only=True)
        summary = scan_stage(folder, list(found.values()), recipe, engine, progress, how)
        give_back_memory()
        funnel = decide_stage(folder, recipe, engine)
        give_back_memory()
        ledger = ledgers.load(folder)
        written = write_stage(folder, recipe, ledger, found, engine, progress)
        write_report(folder, ledger, recipe, found, summary.seconds, streamed(folder))
        progress.finish()
    return Result(funnel, folder.url, summary, written, time.monotonic() - started)


def scan_again(out: str, options: Options | None = None) -> ScanSummary:
    """The first stage alone, with the recipe and sources of the earlier build."""
    how = options or Options()
    folder, recipe = open_build(out)
    found = load_sources(folder, _terms(folder, recipe, how))
    prepare(recipe, how.models)
    with locked(folder, LOCK), Executor(how.workers, how.scheduler) as engine:
        progress = Progress(folder, how.listener)
        summary = scan_stage(folder, list(found.values()), recipe, engine, progress, how)
        progress.finish()
    return summary


def decide_again(out: str, recipe: Recipe | None = None, options: Options | None = None) -> Result:
    """The second stage alone: new verdicts from the numbers at hand, by another recipe if one is given.

    Benchmarks are excluded beside those of earlier runs.
    """
    started = time.monotonic()
    how = options or Options(workers=0)
    folder, earlier = open_build(out)
    chosen = recipe or earlier
    benchmarks = (*recipe_benchmarks(chosen), *how.benchmarks)
    with locked(folder, LOCK), Executor(how.workers, how.scheduler) as engine:
        save_benchmarks(folder, benchmarks, engine, only=False)
        funnel = decide_stage(folder, chosen, engine)
        save_recipe(folder, chosen)
    return Result(funnel, folder.url, seconds=time.monotonic() - started)


def write_again(out: str, options: Options | None = None) -> Result:
    """The third stage alone: shards and card from the verdicts at hand."""
    started = time.monotonic()
    how = options or Options()
    folder, recipe = open_build(out)
    found = load_sources(folder, _terms(folder, recipe, how))
    with locked(folder, LOCK), Executor(how.workers, how.scheduler) as engine:
        progress = Progress(folder, how.listener)
        ledger = ledgers.load(folder)
        written = write_stage(folder, recipe, ledger, found, engine, progress)
        progress.finish()
    return Result(ledgers.funnel(ledger), folder.url, written=written, seconds=time.monotonic() - started)


def report_again(out: str) -> str:
    """The report alone; returns its path."""
    folder, recipe = open_build(out)
    with locked(folder, LOCK):
        return report_stage(folder, recipe)


def scan_stage(
    folder: Folder, sources: Sequence[Source], recipe: Recipe, engine: Executor, progress: Progress, how: Options
) -> ScanSummary:
    """Fetches and measures what is new."""
    scan = Scan(out=folder, sources=sources, recipe=recipe, models=how.models, limit=how.limit, retry=how.retry)
    return scan.run(engine, progress)


def decide_stage(folder: Folder, recipe: Recipe, engine: Executor) -> Funnel:
    """Decides from the numbers at hand and writes the ledger, unless it was decided so before."""
    rows = load_scan(folder, recipe)
    columns = rows.columns(needed_columns(recipe))
    with scratch(folder) as disk:
        hash_search = HashPairSearch(scratch=disk, run=engine.run)
        verdicts = decide(
            columns,
            recipe,
            rows.vanished,
            batches=rows.some,
            references=load_reference_fingerprints(folder),
            hash_search=hash_search,
        )
    versions = {name: folder.version(name) for name in reference_files(folder)}
    rules = [metadata.version("million-ird"), recipe.digest, versions]
    decided: dict[str, object] = {"scan": rows.scan, "rules": rules}
    if rows.scan == "" or folder.read_json(DECIDED) != {**decided, "files": ledgers.versions(folder)}:
        folder.remove(DECIDED)  # what is half replaced was decided from nothing
        schema = ledgers.ledger_schema(rows.measures)
        ledgers.save(folder, rows.with_verdicts(verdicts), verdicts.num_rows, schema)
        folder.write_json(DECIDED, {**decided, "files": ledgers.versions(folder)})
    counted = ledgers.funnel(verdicts.append_column("failure_class", columns["failure_class"]))
    unmeasured = counted.dropped.get(NOT_MEASURED, 0)
    if unmeasured:
        log.warning("%d candidates pass the gates but were never measured whole; run scan, then decide", unmeasured)
    return counted


def write_stage(
    folder: Folder,
    recipe: Recipe,
    ledger: pa.Table,
    sources: Mapping[str, Source],
    engine: Executor,
    progress: Progress,
) -> WriteSummary:
    """Writes shards and card."""
    kept = set(ledger.filter(pc.equal(ledger["verdict"], KEPT))["source"].unique().to_pylist())
    if ledgers.check_version(ledger.schema, folder.url) != recipe.ledger_entries:
        raise LedgerError(f"{folder.url}: decided by another recipe than {RECIPE}; run build or decide")
    if kept - set(sources):
        raise LedgerError(
            f"{folder.url}: pictures of {sorted(kept - set(sources))} are kept, but not among the sources"
        )
    written = write_shards(folder, ledger, recipe, sources, engine, progress, streamed(folder))
    write_card(folder, ledger, recipe, written, benchmarks=benchmark_names(folder))
    return written


def report_stage(folder: Folder, recipe: Recipe) -> str:
    """Writes the report on what lies in the folder; returns its path.

    Pictures of sources that are gone are told of, not shown. Nothing is said of the time that a scan took.
    """
    try:
        found = load_sources(folder, Terms(recipe=recipe, out=folder))
    except (SourceError, LedgerError) as error:
        log.warning("the report shows fewer pictures: %s", error)
        found = {}
    return write_report(folder, ledgers.load(folder), recipe, found, {}, streamed(folder))


def _terms(folder: Folder, recipe: Recipe, how: Options) -> Terms:
    return Terms(recipe=recipe, out=folder, allow_private_hosts=how.allow_private_hosts, refresh=how.refresh)
