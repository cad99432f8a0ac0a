"""The command line: arguments in, one call of the library, results out. No logic lives here."""

import io
import logging
import os
import signal
import sys
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Optional

import typer
from typer.exceptions import TyperException

from million_ird.cli import measuring as cli_measure
from million_ird.cli import release as cli_release
from million_ird.cli.options import AsJson, Models, Out, Workers
from million_ird.errors import BuildError, MillionIRDError, UsageError

if TYPE_CHECKING:
    from million_ird.fingerprints import Benchmark

app = typer.Typer(
    name="million-ird",
    help="Builds image-restoration data sets: the sharp, textured photographs stay, a reason stands by all others.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(cli_measure.app)
app.add_typer(cli_release.app)


def _version(asked: bool) -> None:
    if asked:
        from million_ird import __version__

        typer.echo(f"million-ird {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """Take what comes before the command."""


OutOption = Annotated[str, typer.Option("--out", help="The output folder: new, empty, or of an earlier build.")]
Sources = Annotated[
    Optional[list[str]],
    typer.Option(
        "--sources",
        help="A folder, file or pattern, any fsspec URL, a table of URLs, a tar or zip, dataset:NAME, site:URL; "
        "may be given several times. Beside those of the recipe.",
    ),
]
RetryFailed = Annotated[bool, typer.Option("--retry-failed", help="Try again what failed in earlier runs.")]
RetryClass = Annotated[
    Optional[list[str]],
    typer.Option("--retry-class", help="Try again what failed as this class; may be given several times."),
]
PrivateHosts = Annotated[
    bool, typer.Option("--allow-private-hosts", help="Fetch from private, loopback and link-local addresses, too.")
]
Refresh = Annotated[bool, typer.Option("--refresh", help="Crawl sites anew that an earlier run has crawled.")]
ExcludeBenchmark = Annotated[
    Optional[list[str]],
    typer.Option(
        "--exclude-benchmark",
        help="Drop what shows a picture of this evaluation set, NAME=DIR: a folder, a file of fingerprints, or a "
        "build; may be given several times. Beside those of the recipe.",
    ),
]
RecipeOption = Annotated[
    str, typer.Option("--recipe", help="A recipe file, or the name of one that is shipped.", show_default=True)
]
Limit = Annotated[Optional[int], typer.Option("--limit", min=1, help="Look at the first N candidates only.")]
Scheduler = Annotated[Optional[str], typer.Option("--scheduler", help="Address of a dask scheduler to run on.")]


@app.command("build")
def build_command(
    out: OutOption,
    sources: Sources = None,
    recipe: RecipeOption = "million_ird.yaml",
    limit: Limit = None,
    workers: Workers = None,
    scheduler: Scheduler = None,
    models: Models = None,
    patch_scales: Annotated[
        Optional[str],
        typer.Option("--patch-scales", help="Cut shrunk pictures too: 1,.75,.5"),
    ] = None,
    exclude_benchmark: ExcludeBenchmark = None,
    retry_failed: RetryFailed = False,
    retry_class: RetryClass = None,
    allow_private_hosts: PrivateHosts = False,
    refresh: Refresh = False,
    as_json: AsJson = False,
) -> None:
    """Scans, decides, writes and reports; run again, it does what is not done yet."""
    from million_ird.cli import terminal
    from million_ird.config.recipe import load, with_patch_scales
    from million_ird.workflow import Options, build

    chosen = load(recipe) if patch_scales is None else with_patch_scales(load(recipe), patch_scales)
    with terminal.Bar() as bar:
        how = Options(
            limit=limit,
            workers=workers,
            scheduler=scheduler,
            models=models,
            benchmarks=_benchmarks(exclude_benchmark),
            retry=_retry(retry_failed, retry_class),
            refresh=refresh,
            allow_private_hosts=allow_private_hosts,
            listener=bar,
        )
        result = build(sources or [], out, chosen, how)
    if as_json:
        typer.echo(terminal.result_json(result))
    else:
        terminal.say(terminal.funnel_table(result.funnel))
        if result.did_nothing:
            terminal.say("Nothing to do: every candidate was measured and written before.")
        terminal.say(f"{result.written.images:,} images and {result.written.patches:,} patches in {result.out}")
        terminal.say(f"Report: {result.out}/report/index.html")
    share, most = result.funnel.failed_share, chosen.limits.failed_share
    if share > most:
        raise BuildError(f"{share:.0%} of the candidates failed, more than the recipe's {most:.0%}")


@app.command("plan")
def plan_command(
    out: OutOption,
    sources: Sources = None,
    recipe: RecipeOption = "million_ird.yaml",
    limit: Limit = None,
    models: Models = None,
    exclude_benchmark: ExcludeBenchmark = None,
    as_json: AsJson = False,
) -> None:
    """Says what a build would read, fetch, measure and write, and does nothing."""
    from million_ird.cli import terminal
    from million_ird.config.recipe import load
    from million_ird.maintenance.plan import plan

    named = _benchmarks(exclude_benchmark)
    found = plan(sources or [], out, load(recipe), limit=limit, models=models, benchmarks=named)
    terminal.tell(found, as_json)


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
    """Measures what is new or was never measured whole, with the sources and recipe of the earlier build."""
    from million_ird.cli import terminal
    from million_ird.workflow import Options, scan_again

    with terminal.Bar() as bar:
        how = Options(
            workers=workers,
            scheduler=scheduler,
            models=models,
            retry=_retry(retry_failed, retry_class),
            refresh=refresh,
            allow_private_hosts=allow_private_hosts,
            listener=bar,
        )
        summary = scan_again(out, how)
    terminal.say(f"{summary.candidates:,} candidates, {summary.measured:,} measured now, {summary.vanished:,} vanished")


@app.command("decide")
def decide_command(
    out: Out,
    recipe: Annotated[Optional[str], typer.Option("--recipe", help="Decide by this recipe from now on.")] = None,
    exclude_benchmark: ExcludeBenchmark = None,
    as_json: AsJson = False,
) -> None:
    """Applies gates, benchmarks and duplicate rules to the numbers at hand; reads no candidate."""
    from million_ird.cli import terminal
    from million_ird.config.recipe import load
    from million_ird.workflow import Options, decide_again

    how = Options(workers=0, benchmarks=_benchmarks(exclude_benchmark))
    result = decide_again(out, load(recipe) if recipe else None, how)
    if as_json:
        typer.echo(terminal.result_json(result))
    else:
        terminal.say(terminal.funnel_table(result.funnel))


@app.command("write")
def write_command(out: Out, workers: Workers = None, scheduler: Scheduler = None, as_json: AsJson = False) -> None:
    """Writes shards, patches and card from the verdicts at hand."""
    from million_ird.cli import terminal
    from million_ird.workflow import Options, write_again

    with terminal.Bar() as bar:
        result = write_again(out, Options(workers=workers, scheduler=scheduler, listener=bar))
    if as_json:
        typer.echo(terminal.result_json(result))
    else:
        terminal.say(f"{result.written.images:,} images and {result.written.patches:,} patches in {result.out}")


@app.command("report")
def report_command(out: Out) -> None:
    """Writes the HTML report anew."""
    from million_ird.cli import terminal
    from million_ird.workflow import report_again

    terminal.say(report_again(out))


@app.command("status")
def status_command(out: Out, as_json: AsJson = False) -> None:
    """Says how far a build is; works from another terminal while it runs."""
    from million_ird.cli import terminal
    from million_ird.maintenance.status import status

    terminal.tell(status(out), as_json)


@app.command("explain")
def explain_command(
    out: Out,
    candidate: Annotated[str, typer.Argument(help="An id, a key, a uri, or the beginning of an id or key.")],
    as_json: AsJson = False,
) -> None:
    """Tells one candidate's whole story: its numbers, and why it was kept or dropped."""
    from million_ird.cli import terminal
    from million_ird.maintenance.explain import explain

    terminal.tell(explain(out, candidate), as_json)


@app.command("verify")
def verify_command(out: Out, as_json: AsJson = False) -> None:
    """Reads everything again: hashes, counts, boxes, ledger against data. Exit code 1 and a list when not."""
    from million_ird.cli import terminal
    from million_ird.maintenance.verify import verify

    found = verify(out)
    terminal.tell(found, as_json)
    if found.faults:
        raise typer.Exit(1)


def main() -> None:
    """Runs the command line and turns errors into one line and an exit code."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    signal.signal(signal.SIGTERM, _stop)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names of files need not be text
    sys.exit(_run())


def _retry(failed: bool, classes: Optional[list[str]]) -> frozenset[str] | None:
    return frozenset(classes or ()) if failed or classes else None


def _benchmarks(named: Optional[list[str]]) -> "tuple[Benchmark, ...]":
    from million_ird.fingerprints import Benchmark

    return tuple(map(Benchmark.parse, named or ()))


def _run() -> int:
    try:
        code = app(standalone_mode=False)
        return code if isinstance(code, int) else 0
    except UsageError as error:
        return _fail(str(error), 2)
    except MillionIRDError as error:
        return _fail(str(error), 1)
    except TyperException as error:
        return _fail(error.format_message() if hasattr(error, "format_message") else str(error), 2)
    except (KeyboardInterrupt, typer.Abort):
        return _fail("interrupted; the same command goes on from here", 130)
    except BrokenPipeError:  # whoever read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        return _fail(f"{error.filename or 'file'}: {error.strerror or error}", 1)


def _fail(text: str, code: int) -> int:
    sys.stderr.write(f"million-ird: {' '.join(text.split())}\n")
    return code


def _stop(signum: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
