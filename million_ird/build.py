"""The flow of a build on one page: scan → decide → write → report."""

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata

import pyarrow as pa
import pyarrow.compute as pc

from million_ird import ledger as ledgers
from million_ird.decide.copies import Index
from million_ird.decide.verdicts import Against, decide, needed_columns
from million_ird.errors import LedgerError, OutputError, SourceError
from million_ird.execution import Engine
from million_ird.fingerprints import FOLDER as BENCHMARKS
from million_ird.fingerprints import REMOVED, Benchmark, load_all, load_removed, remember
from million_ird.ingest import Source
from million_ird.ingest.opening import Terms, absolute, open_sources
from million_ird.ledger import NOT_MEASURED, Funnel
from million_ird.lock import owned
from million_ird.measure.scores import prepare
from million_ird.memory import give_back_memory
from million_ird.originals import Originals
from million_ird.progress import Listener, Progress
from million_ird.recipe import HEADER_LINE, Recipe, load, parse_text
from million_ird.scan import INDEX, Scan, ScanSummary
from million_ird.scanned import DECIDED, scanned
from million_ird.scratch import scratch
from million_ird.sources import SourceSpec
from million_ird.storage import Folder
from million_ird.write.card import write_card
from million_ird.write.report import write_report
from million_ird.write.shards import Written, write

log = logging.getLogger(__name__)

__version__ = metadata.version("million-ird")
RECIPE = "recipe.yaml"
SOURCES = ".work/sources.json"
LOCK = ".work/lock"


@dataclass(slots=True)
class Result:
    """What a build, or the stages of it that ran, did."""

    funnel: Funnel
    out: str
    scan: ScanSummary = field(default_factory=ScanSummary)
    written: Written = field(default_factory=Written)
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
    benchmarks: tuple[Benchmark, ...] = ()
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
    terms = Terms(recipe=recipe, out=folder, allow_private_hosts=how.allow_private_hosts, refresh=how.refresh)
    found = open_sources(specs, terms)
    prepare(recipe.scores, how.models)
    benchmarks = (*map(Benchmark.parse, recipe.benchmarks), *how.benchmarks)
    with Engine(how.workers, how.scheduler) as engine, owned(folder, LOCK):
        progress = Progress(folder, how.listener)
        _remember(folder, recipe, specs)
        remember(folder, benchmarks, engine, only=True)
        summary = scan_stage(folder, list(found.values()), recipe, engine, progress, how)
        give_back_memory()
        funnel = decide_stage(folder, recipe, engine)
        give_back_memory()
        ledger = ledgers.load(folder)
        written = write_stage(folder, recipe, ledger, found, engine, progress)
        write_report(folder, ledger, recipe, found, summary.seconds, originals(folder))
        progress.finish()
    return Result(funnel, folder.url, summary, written, time.monotonic() - started)


def scan_again(out: str, options: Options | None = None) -> ScanSummary:
    """The first stage alone, with the recipe and sources of the earlier build."""
    how = options or Options()
    folder, recipe = open_build(out)
    found = remembered_sources(folder, recipe, how)
    prepare(recipe.scores, how.models)
    with owned(folder, LOCK), Engine(how.workers, how.scheduler) as engine:
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
    benchmarks = (*map(Benchmark.parse, chosen.benchmarks), *how.benchmarks)
    with owned(folder, LOCK), Engine(how.workers, how.scheduler) as engine:
        remember(folder, benchmarks, engine, only=False)
        funnel = decide_stage(folder, chosen, engine)
        folder.write(RECIPE, chosen.dump().encode())
    return Result(funnel, folder.url, seconds=time.monotonic() - started)


def write_again(out: str, options: Options | None = None) -> Result:
    """The third stage alone: shards, ledger files and card from the verdicts at hand."""
    started = time.monotonic()
    how = options or Options()
    folder, recipe = open_build(out)
    found = remembered_sources(folder, recipe, how)
    with owned(folder, LOCK), Engine(how.workers, how.scheduler) as engine:
        progress = Progress(folder, how.listener)
        ledger = ledgers.load(folder)
        written = write_stage(folder, recipe, ledger, found, engine, progress)
        progress.finish()
    return Result(ledgers.funnel(ledger), folder.url, written=written, seconds=time.monotonic() - started)


def report_again(out: str) -> str:
    """The report alone; returns its path. Pictures of sources that are gone are told of, not shown."""
    folder, recipe = open_build(out)
    with owned(folder, LOCK):
        try:
            found = remembered_sources(folder, recipe, Options())
        except (SourceError, LedgerError) as error:
            log.warning("the report shows fewer pictures: %s", error)
            found = {}
        return write_report(folder, ledgers.load(folder), recipe, found, {}, originals(folder))


def scan_stage(
    folder: Folder, sources: Sequence[Source], recipe: Recipe, engine: Engine, progress: Progress, how: Options
) -> ScanSummary:
    """Fetches and measures what is new."""
    scan = Scan(out=folder, sources=sources, recipe=recipe, models=how.models, limit=how.limit, retry=how.retry)
    return scan.run(engine, progress)


def originals(folder: Folder) -> Originals:
    """What the present scan has streamed."""
    index = folder.read_json(INDEX) or {}
    return Originals(folder, tuple(index.get("originals", ())))


def against(folder: Folder) -> Against:
    """What a build's candidates are held against beside each other."""
    return Against(benchmarks=load_all(folder), removed=load_removed(folder))


def decide_stage(folder: Folder, recipe: Recipe, engine: Engine) -> Funnel:
    """Decides from the numbers at hand and writes the ledger, unless it was decided so before."""
    rows = scanned(folder, recipe)
    columns = rows.columns(needed_columns(recipe))
    with scratch(folder) as disk:
        index = Index(scratch=disk, run=engine.run)
        verdicts = decide(columns, recipe, rows.vanished, batches=rows.some, against=against(folder), index=index)
    rules = [__version__, recipe.digest, {name: folder.version(name) for name in _held_against(folder)}]
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


def _held_against(folder: Folder) -> list[str]:
    names = [f"{BENCHMARKS}/{name}" for name in folder.names(BENCHMARKS)]
    return [name for name in (*names, REMOVED) if folder.exists(name)]


def write_stage(
    folder: Folder,
    recipe: Recipe,
    ledger: pa.Table,
    sources: Mapping[str, Source],
    engine: Engine,
    progress: Progress,
) -> Written:
    """Writes shards and card."""
    kept = set(ledger.filter(pc.equal(ledger["verdict"], ledgers.KEPT))["source"].unique().to_pylist())
    if ledgers.check_version(ledger.schema, folder.url) != recipe.measured:
        raise LedgerError(f"{folder.url}: decided by another recipe than {RECIPE}; run build or decide")
    if kept - set(sources):
        raise LedgerError(
            f"{folder.url}: pictures of {sorted(kept - set(sources))} are kept, but not among the sources"
        )
    written = write(folder, ledger, recipe, sources, engine, progress, originals(folder))
    write_card(folder, ledger, recipe, written, benchmarks=sorted(load_all(folder)))
    return written


def check_output(out: str) -> Folder:
    """The output folder: new, empty, or made by an earlier build.

    Raises:
        OutputError: it is a file, or holds something else.
    """
    folder = Folder(out)
    if folder.exists() and not folder.is_folder:
        raise OutputError(f"{out}: is a file, not a folder")
    try:
        names = folder.names()
        ours = folder.exists(LOCK) or (RECIPE in names and _is_recipe(folder))
    except OSError as error:
        raise OutputError(f"{out}: cannot be read: {error.strerror or error}") from error
    if names and not ours:
        raise OutputError(f"{out}: holds something else ({names[0]}, …); choose a new or empty folder")
    return folder


def open_build(out: str) -> tuple[Folder, Recipe]:
    """The output folder of an earlier build and its recipe.

    Raises:
        OutputError: there is no build in it.
    """
    folder = Folder(out)
    if not folder.exists(RECIPE) or not _is_recipe(folder):
        raise OutputError(f"{out}: no build is here (it has no {RECIPE} of million-ird)")
    return folder, load_from(folder)


def load_from(folder: Folder) -> Recipe:
    """The recipe that a build left."""
    return parse_text(folder.read(RECIPE), origin=f"{folder.url}/{RECIPE}")


def remembered_sources(folder: Folder, recipe: Recipe, how: Options) -> dict[str, Source]:
    """The sources of the earlier build.

    Raises:
        LedgerError: what it read from is not known any more.
    """
    kept = folder.read_json(SOURCES)
    if kept is None:
        raise LedgerError(f"{folder.url}: its sources are not known any more; run build with --sources")
    terms = Terms(recipe=recipe, out=folder, allow_private_hosts=how.allow_private_hosts, refresh=how.refresh)
    return open_sources([SourceSpec.model_validate(spec) for spec in kept], terms)


def _remember(folder: Folder, recipe: Recipe, specs: Sequence[SourceSpec]) -> None:
    folder.write(RECIPE, recipe.dump().encode())
    folder.write_json(SOURCES, [absolute(spec).model_dump(exclude_unset=True) for spec in specs])


def _is_recipe(folder: Folder) -> bool:
    return folder.read(RECIPE).startswith(HEADER_LINE.encode())


__all__ = ["Options", "Result", "build", "load"]
