"""The commands that measure pictures outside of any build: single files, calibration, fingerprints of benchmarks."""

from typing import Annotated, Optional

import typer

from million_ird.cli.options import AsJson, Models, Workers

app = typer.Typer(rich_markup_mode=None)


@app.command("score")
def score_command(
    files: Annotated[list[str], typer.Argument(help="Pictures.", metavar="FILE...")],
    metrics: Annotated[str, typer.Option("--metrics", help="Names, separated by commas: any measure or score.")],
    models: Models = None,
    as_json: AsJson = False,
) -> None:
    """Measures single files: one line per file, a JSON object with --json."""
    from million_ird.cli import terminal
    from million_ird.score import score_files

    unreadable = 0
    names = [name.strip() for name in metrics.split(",") if name.strip()]
    for scored in score_files(files, names, models):
        if scored.failure is not None:
            unreadable += 1
            terminal.complain(f"million-ird: {scored.path}: {scored.failure}")
        else:
            terminal.tell(scored, as_json)
    if unreadable:
        raise typer.Exit(1)


@app.command("calibrate")
def calibrate_command(
    good: Annotated[list[str], typer.Option("--good", help="Pictures to keep: a folder; may be given several times.")],
    bad: Annotated[list[str], typer.Option("--bad", help="Pictures to drop: a folder; may be given several times.")],
    recall: Annotated[float, typer.Option("--recall", min=0.5, max=1.0, help="Share of the good to keep.")] = 0.97,
    scores: Annotated[str, typer.Option("--scores", help="Quality scores to measure too, by commas.")] = "",
    out: Annotated[Optional[str], typer.Option("--out", help="Write the distributions and a recipe here.")] = None,
    models: Models = None,
    workers: Workers = None,
    as_json: AsJson = False,
) -> None:
    """Measures pictures to keep and pictures to drop, and proposes thresholds."""
    from million_ird.calibrate import calibrate, draw
    from million_ird.cli import terminal

    names = [name.strip() for name in scores.split(",") if name.strip()]
    with terminal.Bar() as bar:
        found = calibrate(good, bad, recall=recall, scores=names, models=models, workers=workers, listener=bar)
    written = draw(found, out) if out else []
    if as_json:
        typer.echo(terminal.calibration_json(found))
    else:
        terminal.say(terminal.calibration_table(found))
        for path in written:
            terminal.say(path)


@app.command("fit-niqe")
def fit_niqe_command(
    pictures: Annotated[list[str], typer.Argument(help="Pristine photographs: files or folders.", metavar="SOURCE...")],
    out: Annotated[str, typer.Option("--out", help="The .npz file; --models finds it as niqe_pris_params.npz.")],
) -> None:
    """Fits the pristine model of NIQE to photographs of one's own choice."""
    from million_ird.calibrate import fit_niqe_file
    from million_ird.cli import terminal

    terminal.say(f"{out}: fitted to {fit_niqe_file(pictures, out):,} pictures")


@app.command("fingerprint")
def fingerprint_command(
    pictures: Annotated[
        str, typer.Argument(help="An evaluation set: a folder of pictures, or a build.", metavar="DIR")
    ],
    out: Annotated[str, typer.Option("--out", help="The file to write: NAME.parquet.")],
    workers: Workers = None,
) -> None:
    """Writes what an evaluation set is known again by, without its pixels, for --exclude-benchmark NAME=FILE."""
    from million_ird.cli import terminal
    from million_ird.fingerprints import Benchmark, fingerprints, save_file
    from million_ird.runtime.executor import Engine

    with Engine(workers) as engine:
        table = fingerprints(Benchmark("fingerprint", pictures), engine)
    save_file(out, table)
    terminal.say(f"{out}: {table.num_rows:,} pictures")
