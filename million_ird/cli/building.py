"""The commands that make a dataset: the whole build, its plan, and its stages one at a time."""

from typing import TYPE_CHECKING, Annotated, Optional

import typer

from million_ird.cli.options import AsJson, Models, Out, Scheduler, Workers
from million_ird.errors import BuildError

if TYPE_CHECKING:
    from million_ird.build_result import Result
    from million_ird.reference_sets import ReferenceSet
    from million_ird.stages import BuildStages

app = typer.Typer(rich_markup_mode=None)

OutOption = Annotated[str, typer.Option("--out", help="The output folder: new, empty, or of an earlier build.")]
Sources = Annotated[
    Optional[list[str]],
    typer.Option(
        "--sources",
        help="A folder, a file, a pattern, any fsspec URL, a table of URLs, a tar, zip or WARC archive, dataset:NAME "
        "or site:URL; can be repeated. Added to the recipe's sources.",
    ),
]
PositionalSources = Annotated[
    Optional[list[str]], typer.Argument(help="Sources, as of --sources.", metavar="SOURCE", show_default=False)
]
RetryFailed = Annotated[bool, typer.Option("--retry-failed", help="Try candidates again that failed in earlier runs.")]
RetryClass = Annotated[
    Optional[list[str]],
    typer.Option("--retry-class", help="Try candidates again that failed with this failure class; can be repeated."),
]
PrivateHosts = Annotated[
    bool,
    typer.Option("--allow-private-hosts", help="Also fetch from private, loopback and link-local addresses."),
]
FollowLinks = Annotated[
    bool,
    typer.Option("--follow-links", help="Also follow links that lead out of a source; kept for later runs."),
]
Refresh = Annotated[bool, typer.Option("--refresh", help="Crawl sites again that an earlier run has crawled.")]
ExcludeBenchmark = Annotated[
    Optional[list[str]],
    typer.Option(
        "--exclude-benchmark",
        help="Drop images that show an image of this test set, whole or in part. A known name (million-ird benchmarks "
        "lists them), several with commas, or all; or NAME=PATH: a folder, a fingerprint file or a build; can be "
        "repeated. Added to the recipe's benchmarks.",
    ),
]
RecipeOption = Annotated[
    str, typer.Option("--recipe", help="A recipe file, or the name of a shipped recipe.", show_default=True)
]
Limit = Annotated[Optional[int], typer.Option("--limit", min=1, help="Process only the first N images of the sources.")]


@app.command("build")
def build_command(
    out: OutOption,
    positional: PositionalSources = None,
    sources: Sources = None,
    recipe: RecipeOption = "million_ird.yaml",
    limit: Limit = None,
    workers: Workers = None,
    scheduler: Scheduler = None,
    models: Models = None,
    patch_scales: Annotated[
        Optional[str],
        typer.Option("--patch-scales", help="Also cut patches from the image at these scales: 1,.75,.5"),
    ] = None,
    exclude_benchmark: ExcludeBenchmark = None,
    retry_failed: RetryFailed = False,
    retry_class: RetryClass = None,
    allow_private_hosts: PrivateHosts = False,
    follow_links: FollowLinks = False,
    refresh: Refresh = False,
    as_json: AsJson = False,
) -> None:
    """Build a dataset: scan, decide, write and report. Run it again to resume."""
    from million_ird.checks import check_models, check_new_build
    from million_ird.config.loading import load, with_patch_scales

    resolved = load(recipe) if patch_scales is None else with_patch_scales(load(recipe), patch_scales)
    named, benchmarks = [*(positional or ()), *(sources or ())], _reference_sets(exclude_benchmark)
    check_new_build(named, out, resolved, benchmarks)
    check_models(models)
    from million_ird.cli import terminal  # after what refuses at once
    from million_ird.stages import read_stages
    from million_ird.workflow import Options, build

    with terminal.ProgressBar() as bar:
        options = Options(
            limit=limit,
            workers=workers,
            scheduler=scheduler,
            models=models,
            benchmarks=benchmarks,
            retry=_classes_to_retry(retry_failed, retry_class),
            refresh=refresh,
            allow_private_hosts=allow_private_hosts,
            follow_links=follow_links,
            listener=bar,
        )
        result = build(named, out, resolved, options)
    _show(result, read_stages(out), as_json=as_json)
    limit_share = resolved.limits.failed_share
    if result.funnel.failed_share > limit_share:
        raise BuildError(
            f"{result.funnel.failed_share:.0%} of the candidates failed, more than the recipe's {limit_share:.0%} "
            "(limits.failed_share)"
        )


def _show(result: "Result", stages: "BuildStages", *, as_json: bool) -> None:
    """Print what a build did, and what is to be run next."""
    from million_ird.cli import terminal

    if as_json:
        typer.echo(terminal.result_json(result, stages))
        return
    terminal.info(terminal.funnel_table(result.funnel))
    if result.did_nothing:
        pages = "and card and report are current" if result.is_current else "but card or report were written again"
        terminal.info(f"Nothing to do: all is written already, {pages}.")
    terminal.info(terminal.written_line(result))
    terminal.info(f"Report: {result.report}")
    terminal.next_line(stages)


@app.command("plan")
def plan_command(
    out: OutOption,
    positional: PositionalSources = None,
    sources: Sources = None,
    recipe: RecipeOption = "million_ird.yaml",
    limit: Limit = None,
    models: Models = None,
    exclude_benchmark: ExcludeBenchmark = None,
    follow_links: FollowLinks = False,
    as_json: AsJson = False,
) -> None:
    """Show what a build would do, without doing it."""
    from million_ird.checks import check_models, check_new_build
    from million_ird.config.loading import load

    resolved, reference_sets = load(recipe), _reference_sets(exclude_benchmark)
    named = [*(positional or ()), *(sources or ())]
    check_new_build(named, out, resolved, reference_sets)
    check_models(models)
    from million_ird.cli import terminal  # after what refuses at once
    from million_ird.maintenance.plan import plan

    build_plan = plan(
        named,
        out,
        resolved,
        limit=limit,
        models=models,
        benchmarks=reference_sets,
        follow_links=follow_links,
    )
    terminal.emit(build_plan, as_json)


@app.command("scan")
def scan_command(
    out: Out,
    workers: Workers = None,
    scheduler: Scheduler = None,
    models: Models = None,
    retry_failed: RetryFailed = False,
    retry_class: RetryClass = None,
    allow_private_hosts: PrivateHosts = False,
    refresh: Refresh = False,
) -> None:
    """Measure images that are new or not fully measured. Recipe and sources are those of the build."""
    from million_ird.checks import check_build, check_models

    check_build(out)
    check_models(models)
    from million_ird.cli import terminal  # after what refuses at once
    from million_ird.reporting.formatting import plural
    from million_ird.stages import read_stages
    from million_ird.workflow import Options, scan_again

    with terminal.ProgressBar() as bar:
        options = Options(
            workers=workers,
            scheduler=scheduler,
            models=models,
            retry=_classes_to_retry(retry_failed, retry_class),
            refresh=refresh,
            allow_private_hosts=allow_private_hosts,
            listener=bar,
        )
        summary = scan_again(out, options)
    candidates = plural(summary.candidates, "candidate")
    terminal.info(f"{candidates}, {summary.measured:,} measured now, {summary.vanished:,} vanished")
    terminal.next_line(read_stages(out))


@app.command("decide")
def decide_command(
    out: Out,
    recipe: Annotated[
        Optional[str],
        typer.Option("--recipe", help="Use this recipe, now and in later runs. Default: that of the build."),
    ] = None,
    exclude_benchmark: ExcludeBenchmark = None,
    as_json: AsJson = False,
) -> None:
    """Apply gates and rules to the measured numbers. No image is read."""
    from million_ird.checks import check_build
    from million_ird.config.loading import load

    check_build(out)
    chosen, benchmarks = load(recipe) if recipe else None, _reference_sets(exclude_benchmark)
    from million_ird.cli import terminal  # after what refuses at once
    from million_ird.stages import read_stages
    from million_ird.workflow import Options, decide_again

    result = decide_again(out, chosen, Options(workers=0, benchmarks=benchmarks))
    stages = read_stages(out)
    if as_json:
        typer.echo(terminal.result_json(result, stages))
    else:
        terminal.info(terminal.funnel_table(result.funnel))
        terminal.next_line(stages)


@app.command("write")
def write_command(out: Out, workers: Workers = None, scheduler: Scheduler = None, as_json: AsJson = False) -> None:
    """Write shards, patches and card from the ledger's verdicts."""
    from million_ird.checks import check_build

    check_build(out)
    from million_ird.cli import terminal
    from million_ird.stages import read_stages
    from million_ird.workflow import Options, write_again

    with terminal.ProgressBar() as bar:
        result = write_again(out, Options(workers=workers, scheduler=scheduler, listener=bar))
    stages = read_stages(out)
    if as_json:
        typer.echo(terminal.result_json(result, stages))
    else:
        terminal.info(terminal.written_line(result))
        terminal.next_line(stages)


@app.command("report")
def report_command(out: Out) -> None:
    """Write the HTML report again."""
    from million_ird.checks import check_build

    check_build(out)
    from million_ird.cli import terminal
    from million_ird.stages import read_stages
    from million_ird.workflow import report_again

    with terminal.ProgressBar() as bar:
        path = report_again(out, bar)
    terminal.info(path)
    terminal.next_line(read_stages(out))


def _classes_to_retry(failed: bool, classes: Optional[list[str]]) -> frozenset[str] | None:
    """Return the failure classes to try again: all if the set is empty, none if it is None."""
    return frozenset(classes or ()) if failed or classes else None


def _reference_sets(texts: Optional[list[str]]) -> "tuple[ReferenceSet, ...]":
    from million_ird.reference_sets import parse_references

    return parse_references(texts or ())
