"""The commands that look at a build and change nothing: its progress, one candidate, and whether it is intact."""

from typing import Annotated

import typer

from million_ird.cli.options import AsJson, Out, Scheduler, Workers

app = typer.Typer(rich_markup_mode=None)


@app.command("status")
def status_command(out: Out, as_json: AsJson = False) -> None:
    """Show the progress of a build. It works from another terminal while the build runs."""
    from million_ird.checks import check_dataset

    check_dataset(out)
    from million_ird.cli import terminal  # after what refuses at once
    from million_ird.maintenance.status import read_status

    terminal.emit(read_status(out), as_json)


@app.command("explain")
def explain_command(
    out: Out,
    candidate: Annotated[str, typer.Argument(help="The id, key or uri of an image, or the beginning of an id or key.")],
    as_json: AsJson = False,
) -> None:
    """Show the numbers of one image, and why it was kept or dropped."""
    from million_ird.maintenance.explain import explain

    explanation = explain(out, candidate)
    from million_ird.cli import terminal  # after what a mistyped name ends

    terminal.emit(explanation, as_json)


@app.command("verify")
def verify_command(out: Out, workers: Workers = None, scheduler: Scheduler = None, as_json: AsJson = False) -> None:
    """Check hashes, counts, boxes and the ledger. Everything is read again; if there are faults, the exit code is 1."""
    from million_ird.checks import check_build

    check_build(out)
    from million_ird.cli import terminal  # after what refuses at once
    from million_ird.maintenance.verify import verify

    with terminal.ProgressBar() as bar:
        report = verify(out, workers, scheduler, bar)
    terminal.emit(report, as_json)
    if not report.is_current:
        raise typer.Exit(1)
