"""The commands that measure images outside of a build: single files, calibration, fingerprints of evaluation sets."""

from typing import TYPE_CHECKING, Annotated, Optional

import typer

from million_ird.cli.options import AsJson, Models, Workers

if TYPE_CHECKING:
    from million_ird.config.user_measures import UserMeasure

app = typer.Typer(rich_markup_mode=None)
UserMeasures = Annotated[
    Optional[list[str]],
    typer.Option("--measures", help="A measure of your own module, package.module:Class; can be repeated."),
]


@app.command("score")
def score_command(
    files: Annotated[list[str], typer.Argument(help="Image files.", metavar="FILE...")],
    metrics: Annotated[str, typer.Option("--metrics", help="Measures or scores, separated by commas.")],
    measures: UserMeasures = None,
    models: Models = None,
    as_json: AsJson = False,
) -> None:
    """Measure single files. Print one line per file, or one JSON object per line with --json."""
    from million_ird.checks import check_files, check_models
    from million_ird.config.score_names import check_metrics

    unreadable, user = 0, _user_measures(measures)
    names = [name.strip() for name in metrics.split(",") if name.strip()]
    check_metrics(names, [name for measure in user for name in measure.columns])  # before what takes long to import
    check_files(files)
    check_models(models)
    from million_ird.cli import terminal
    from million_ird.scoring import score_files

    for scored in score_files(files, names, models, user):
        if scored.failure is not None:
            unreadable += 1
            terminal.error(f"million-ird: {scored.path}: {scored.failure}")
        else:
            terminal.emit(scored, as_json)
    if unreadable:
        raise typer.Exit(1)


@app.command("calibrate")
def calibrate_command(
    good: Annotated[list[str], typer.Option("--good", help="A folder of images to keep; can be repeated.")],
    bad: Annotated[list[str], typer.Option("--bad", help="A folder of images to drop; can be repeated.")],
    recall: Annotated[
        float, typer.Option("--recall", min=0.5, max=1.0, help="Share of the good images that the gates must keep.")
    ] = 0.97,
    scores: Annotated[str, typer.Option("--scores", help="Quality scores to use as well, separated by commas.")] = "",
    measures: UserMeasures = None,
    out: Annotated[
        Optional[str], typer.Option("--out", help="A folder for the distributions and a recipe with the gates.")
    ] = None,
    models: Models = None,
    workers: Workers = None,
    as_json: AsJson = False,
) -> None:
    """Propose thresholds from images to keep and images to drop."""
    from million_ird.checks import check_image_paths, check_models, check_new_folder
    from million_ird.config.score_names import check_metrics

    names, user = [name.strip() for name in scores.split(",") if name.strip()], _user_measures(measures)
    if names:
        check_metrics(names, option="--scores")
    check_models(models)
    for sources in (good, bad):
        check_image_paths(sources)
    if out is not None:
        check_new_folder(out, ("distributions.png", "recipe.yaml"))
    from million_ird.calibrate import calibrate, write_calibration  # after what refuses at once
    from million_ird.cli import terminal

    with terminal.ProgressBar() as bar:
        calibration = calibrate(
            good,
            bad,
            recall=recall,
            scores=names,
            measures=user,
            models=models,
            workers=workers,
            listener=bar,
        )
    paths = write_calibration(calibration, out) if out else []
    if as_json:
        typer.echo(terminal.calibration_json(calibration))
    else:
        terminal.info(terminal.calibration_table(calibration))
        for path in paths:
            terminal.info(path)


@app.command("fit-niqe")
def fit_niqe_command(
    images: Annotated[list[str], typer.Argument(help="Pristine photographs: files or folders.", metavar="SOURCE...")],
    out: Annotated[
        str, typer.Option("--out", help="The .npz file to write; named niqe_pris_params.npz, --models finds it.")
    ],
) -> None:
    """Fit the pristine model of NIQE to your own photographs."""
    from million_ird.checks import check_image_paths, check_new_file

    check_new_file(out, ".npz")
    check_image_paths(images)
    from million_ird.calibrate import fit_niqe_file  # after what refuses at once
    from million_ird.cli import terminal
    from million_ird.reporting.formatting import plural

    terminal.info(f"{out}: fitted to {plural(fit_niqe_file(images, out), 'image')}")


@app.command("fingerprint")
def fingerprint_command(
    images: Annotated[str, typer.Argument(help="An evaluation set: a folder of images, or a build.", metavar="DIR")],
    out: Annotated[str, typer.Option("--out", help="The file to write: NAME.parquet.")],
    workers: Workers = None,
) -> None:
    """Write the fingerprints of a test set. They contain no pixels; use them with --exclude-benchmark NAME=FILE."""
    from million_ird.checks import check_image_paths, check_new_file

    check_new_file(out, ".parquet")
    check_image_paths([images])
    from million_ird.cli import terminal  # after what refuses at once
    from million_ird.fingerprints import get_fingerprints, save_fingerprints
    from million_ird.reference_sets import ReferenceSet
    from million_ird.reporting.formatting import plural
    from million_ird.runtime.executor import Executor

    with Executor(workers) as executor:
        table = get_fingerprints(ReferenceSet("fingerprint", images), executor)
    save_fingerprints(out, table)
    terminal.info(f"{out}: {plural(table.num_rows, 'image')}")


def _user_measures(references: Optional[list[str]]) -> "tuple[UserMeasure, ...]":
    from million_ird.config.loading import parse

    return parse({"measures": references or []}, origin="--measures").measures
