"""The flow of a build on one page: scan → decide → write → report."""

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata

import pyarrow as pa
import pyarrow.compute as pc

from million_ird import ledger as ledgers
from million_ird import storage
from million_ird.decide.verdicts import decide, needed_columns
from million_ird.errors import LedgerError, OutputError, SourceError
from million_ird.execution import Engine
from million_ird.ingest import Source
from million_ird.ingest.files import FilesSource, labels
from million_ird.ingest.tables import TableSource, is_table
from million_ird.ledger import NOT_MEASURED, Funnel
from million_ird.measure.scores import prepare
from million_ird.progress import Listener, Progress
from million_ird.recipe import HEADER_LINE, Recipe, load, parse_text
from million_ird.scan import ScanSummary, scan
from million_ird.scanned import DECIDED, scanned
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


def build(
    sources: Sequence[str],
    out: str,
    recipe: Recipe,
    *,
    limit: int | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
    models: str | None = None,
    listener: Listener | None = None,
) -> Result:
    """Builds the data set `out` from `sources`; run again, it does what is not done yet.

    Args:
        sources: folders or files, any fsspec URL.
        out: the output folder; new, empty, or of an earlier build.
        recipe: what to measure, keep and write.
        limit: look at the first so many candidates only.
        workers: processes; 0 runs inline, None takes one per core.
        scheduler: address of a dask scheduler to use instead.
        models: folder of score parameters, for recipes that name scores.
        listener: is told of progress.

    Raises:
        UsageError: a source, the recipe or the output folder cannot be used; nothing was written.
        BuildError: stopped with something wrong; run again to go on.
    """
    started = time.monotonic()
    folder = check_output(out)
    found = open_sources(sources, recipe, folder)
    prepare(recipe.scores, models)
    with Engine(workers, scheduler) as engine, storage.owned(folder, LOCK):
        progress = Progress(folder, listener)
        _remember(folder, recipe, list(found.values()))
        summary = scan(folder, list(found.values()), recipe, engine, progress, limit, models)
        funnel = decide_stage(folder, recipe)
        ledger = ledgers.load(folder)
        written = write_stage(folder, recipe, ledger, found, engine, progress)
        write_report(folder, ledger, recipe, found, summary.seconds)
        progress.finish()
    return Result(funnel, folder.url, summary, written, time.monotonic() - started)


def scan_again(
    out: str, *, workers: int | None = None, models: str | None = None, listener: Listener | None = None
) -> ScanSummary:
    """The first stage alone, with the recipe and sources of the earlier build."""
    folder, recipe = open_build(out)
    found = remembered_sources(folder, recipe)
    prepare(recipe.scores, models)
    with storage.owned(folder, LOCK), Engine(workers) as engine:
        progress = Progress(folder, listener)
        summary = scan(folder, list(found.values()), recipe, engine, progress, models=models)
        progress.finish()
    return summary


def decide_again(out: str, recipe: Recipe | None = None) -> Result:
    """The second stage alone: new verdicts from the numbers at hand, by another recipe if one is given."""
    started = time.monotonic()
    folder, earlier = open_build(out)
    chosen = recipe or earlier
    with storage.owned(folder, LOCK):
        funnel = decide_stage(folder, chosen)
        folder.write(RECIPE, chosen.dump().encode())
    return Result(funnel, folder.url, seconds=time.monotonic() - started)


def write_again(out: str, *, workers: int | None = None, listener: Listener | None = None) -> Result:
    """The third stage alone: shards, ledger files and card from the verdicts at hand."""
    started = time.monotonic()
    folder, recipe = open_build(out)
    found = remembered_sources(folder, recipe)
    with storage.owned(folder, LOCK), Engine(workers) as engine:
        progress = Progress(folder, listener)
        ledger = ledgers.load(folder)
        written = write_stage(folder, recipe, ledger, found, engine, progress)
        progress.finish()
    return Result(ledgers.funnel(ledger), folder.url, written=written, seconds=time.monotonic() - started)


def report_again(out: str) -> str:
    """The report alone; returns its path."""
    folder, recipe = open_build(out)
    with storage.owned(folder, LOCK):
        return write_report(folder, ledgers.load(folder), recipe, remembered_sources(folder, recipe), {})


def decide_stage(folder: Folder, recipe: Recipe) -> Funnel:
    """Decides from the numbers at hand and writes the ledger, unless it was decided so before."""
    rows = scanned(folder, recipe)
    columns = rows.columns(needed_columns(recipe))
    verdicts = decide(columns, recipe, rows.vanished)
    decided: dict[str, object] = {"scan": rows.scan, "rules": [__version__, recipe.digest]}
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
    written = write(folder, ledger, recipe, sources, engine, progress)
    write_card(folder, ledger, recipe, written)
    return written


def open_sources(roots: Sequence[str], recipe: Recipe, out: Folder | None) -> dict[str, Source]:
    """The sources by label, each looked at so far that a missing or empty one is told before anything is written.

    Raises:
        SourceError: none is given, one is missing, holds no files, or lies in the output folder.
    """
    if not roots:
        raise SourceError("no sources: name at least one with --sources")
    folders = [Folder(root) for root in roots]
    for folder in folders:
        if out is not None and out.holds(folder):
            raise SourceError(f"source {folder.url}: lies in the output folder")
    absolute = [folder.url for folder in folders]
    found: dict[str, Source] = {
        label: _source(label, root, recipe, out) for label, root in zip(labels(absolute), absolute, strict=True)
    }
    for source in found.values():
        next(source.units())
    return found


def _source(label: str, root: str, recipe: Recipe, out: Folder | None) -> Source:
    if is_table(root) and not Folder(root).is_folder:
        return TableSource(label, root, recipe.limits.max_bytes, recipe.columns)
    return FilesSource(label, root, recipe.limits.max_bytes, out.root if out else None)


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


def remembered_sources(folder: Folder, recipe: Recipe) -> dict[str, Source]:
    """The sources of the earlier build.

    Raises:
        LedgerError: what it read from is not known any more.
    """
    roots = folder.read_json(SOURCES)
    if roots is None:
        raise LedgerError(f"{folder.url}: its sources are not known any more; run build with --sources")
    return open_sources(roots, recipe, folder)


def _remember(folder: Folder, recipe: Recipe, sources: Sequence[Source]) -> None:
    folder.write(RECIPE, recipe.dump().encode())
    folder.write_json(SOURCES, [source.root for source in sources])


def _is_recipe(folder: Folder) -> bool:
    return folder.read(RECIPE).startswith(HEADER_LINE.encode())


__all__ = ["Result", "build", "load"]
