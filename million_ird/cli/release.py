"""The commands that hand a built data set on and keep it: the Hub, other programs' layouts, take-down, releases."""

import json
from datetime import date
from typing import Annotated, Optional

import typer

from million_ird.cli.options import AsJson, Out

app = typer.Typer(rich_markup_mode=None)


@app.command("publish")
def publish_command(
    out: Out,
    repo_id: Annotated[str, typer.Option("--repo-id", help="The data set on the Hub: user/name.")],
    private: Annotated[bool, typer.Option("--private", help="Make it private when it is new.")] = False,
    revision: Annotated[Optional[str], typer.Option("--revision", help="The branch; main by default.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Verify, list what would be sent, and ask nothing of the network.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Verifies the data set and publishes it on the Hugging Face Hub, in one commit."""
    from million_ird.cli import terminal
    from million_ird.hub.publish import publish

    with terminal.ended_at_once(), terminal.Bar() as bar:
        done = publish(out, repo_id, private=private, revision=revision, dry_run=dry_run, listener=bar)
    terminal.tell(done, as_json)


@app.command("export")
def export_command(
    out: Out,
    form: Annotated[str, typer.Option("--format", help="folder, webdataset or lmdb.")],
    config: Annotated[str, typer.Option("--config", help="patches or images.")] = "patches",
    to: Annotated[
        Optional[str],
        typer.Option("--to", help="A new or empty folder, or one of an earlier export. Default: in OUT/export."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Writes the pictures as files, tar shards or LMDB for other programs; run again, it does what is not done yet."""
    from million_ird.cli import terminal
    from million_ird.export.export import export

    with terminal.Bar() as bar:
        done = export(out, form, config=config, to=to, listener=bar)
    terminal.tell(done, as_json)


@app.command("remove")
def remove_command(
    out: Out,
    ids: Annotated[
        typer.FileText,
        typer.Option("--ids", help="A file with an id, key or uri a line; - is stdin.", encoding="utf-8"),
    ],
    reason: Annotated[str, typer.Option("--reason", help="Stands in the change list, which is published.")] = "",
    as_json: AsJson = False,
) -> None:
    """Takes pictures down for good: a rebuild cannot bring them back. Makes the next release."""
    from million_ird.cli import terminal
    from million_ird.maintenance.takedown import read_names, remove

    names = read_names(ids)
    with terminal.Bar() as bar:
        done = remove(out, names, today=date.today(), reason=reason, listener=bar)
    terminal.tell(done, as_json)


@app.command("clean")
def clean_command(
    out: Out,
    everything: Annotated[
        bool, typer.Option("--all", help="Remove streamed originals too: they would have to be fetched again.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be removed, and do nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Removes what only a build needs to go on; the data set stays as it is."""
    from million_ird.cli import terminal
    from million_ird.maintenance.clean import clean

    terminal.tell(clean(out, everything=everything, dry_run=dry_run), as_json)


@app.command("releases")
def releases_command(out: Out, as_json: AsJson = False) -> None:
    """Lists the releases, the oldest first."""
    from million_ird.build_folder import open_build
    from million_ird.cli import terminal
    from million_ird.maintenance.releases import list_releases

    found = list_releases(open_build(out)[0])
    if as_json:
        typer.echo(json.dumps([one.as_json() for one in found], ensure_ascii=False))
    else:
        terminal.say("\n".join(one.text for one in found) or "No release was made yet.")
