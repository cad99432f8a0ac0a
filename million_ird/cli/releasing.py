"""The commands for a finished dataset: publish and export it, take images down, list releases, clean up."""

from datetime import date
from typing import Annotated, Optional

import typer

from million_ird.cli.options import AsJson, Out
from million_ird.printable import printable_json

app = typer.Typer(rich_markup_mode=None)


@app.command("publish")
def publish_command(
    out: Out,
    repo_id: Annotated[str, typer.Option("--repo-id", help="The dataset on the Hub: user/name.")],
    private: Annotated[bool, typer.Option("--private", help="Create a new dataset as private.")] = False,
    revision: Annotated[Optional[str], typer.Option("--revision", help="The branch; main by default.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Verify and list what would be sent, without network access.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Verify the dataset and publish it on the Hub. All files are in one commit."""
    from million_ird.checks import check_local_build

    check_local_build(out)
    from million_ird.cli import terminal  # after what refuses at once
    from million_ird.hub.publish import publish

    with terminal.exit_on_signal(), terminal.ProgressBar() as bar:
        result = publish(out, repo_id, private=private, revision=revision, dry_run=dry_run, listener=bar)
    terminal.emit(result, as_json)


@app.command("export")
def export_command(
    out: Out,
    form: Annotated[str, typer.Option("--format", help="folder, webdataset or lmdb.")],
    config: Annotated[str, typer.Option("--config", help="patches or images.")] = "patches",
    to: Annotated[
        Optional[str],
        typer.Option(
            "--out", "--to", help="A new or empty folder, or that of an earlier export. Default: in OUT/export."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Export images as files, tar shards or LMDB. Run it again to resume."""
    from million_ird.checks import check_dataset
    from million_ird.export.destination import plan_export
    from million_ird.runtime.storage import Folder

    check_dataset(out)
    plan_export(Folder(out), form, config, to)
    from million_ird.cli import terminal  # after what refuses at once
    from million_ird.export.export import export

    with terminal.ProgressBar() as bar:
        result = export(out, form, config=config, to=to, listener=bar)
    terminal.emit(result, as_json)


@app.command("remove")
def remove_command(
    out: Out,
    ids: Annotated[
        typer.FileText,
        typer.Option("--ids", metavar="FILE", help="One id, key or uri per line; - is stdin.", encoding="utf-8"),
    ],
    reason: Annotated[
        str, typer.Option("--reason", help="The reason, for the list of changes, which is published.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Remove images permanently. Later builds leave them out, too. Makes the next release."""
    from million_ird.checks import check_build

    check_build(out)
    from million_ird.cli import terminal  # after what refuses at once
    from million_ird.maintenance.takedown import read_names, take_down

    names = read_names(ids)
    with terminal.ProgressBar() as bar:
        result = take_down(out, names, today=date.today(), reason=reason, listener=bar)
    terminal.emit(result, as_json)


@app.command("clean")
def clean_command(
    out: Out,
    everything: Annotated[
        bool,
        typer.Option("--all", help="Also remove the cached originals: a later build has to fetch them again."),
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List what would be removed, and do nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Remove working files that only a resumed build needs. The dataset stays as it is."""
    from million_ird.checks import check_build

    check_build(out)
    from million_ird.cli import terminal  # after what refuses at once
    from million_ird.maintenance.clean import clean

    terminal.emit(clean(out, everything=everything, dry_run=dry_run), as_json)


@app.command("releases")
def releases_command(out: Out, as_json: AsJson = False) -> None:
    """List the releases, oldest first."""
    from million_ird.build_folder import open_build

    folder, _ = open_build(out)
    from million_ird.cli import terminal  # after what refuses at once
    from million_ird.maintenance.releases import list_releases

    releases = list_releases(folder)
    if as_json:
        typer.echo(printable_json([release.as_json() for release in releases]))
    else:
        terminal.info("\n".join(release.text for release in releases) or "No release was made yet.")
