"""The commands that convert, split, join, export and publish weights."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import typer

from dynet.api.choices import MIN_WINDOW
from dynet.cli.options import WeightsOption
from dynet.errors import UsageError
from dynet.runtime.printable import printable, printable_lines

app = typer.Typer(rich_markup_mode=None)


@app.command()
def convert(
    released: Annotated[Path, typer.Argument(help="A checkpoint of the released code, with any wrappers.")],
    out: Annotated[Path, typer.Argument(help="The weights file to write, W.safetensors.")],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing file.")] = False,
) -> None:
    """Convert weights of the released network to a file of dynet."""
    from dynet.model.convert import convert as run_conversion

    conversion = run_conversion(released, out, overwrite=overwrite)
    for name in conversion.not_taken:
        typer.echo(f"not taken: {printable(name or 'the network without a wrapper')}")
    if conversion.taken:
        typer.echo(f"taken: {printable(conversion.taken)}")
    for name in conversion.left_out:
        typer.echo(f"left out (never used by the network): {printable(name)}")
    typer.echo(printable(out))


@app.command()
def split(
    weights: Annotated[str, typer.Argument(help="A weights file, a folder that holds one, or a Hub repository.")],
    out: Annotated[Path, typer.Option(help="The folder to write the parts to.")],
    max_mb: Annotated[int, typer.Option(min=1, help="The size of the largest part, in MB of 10^6 bytes.")] = 15,
    dtype: Annotated[Literal["same", "fp32", "bf16"], typer.Option(help="The number format of the parts.")] = "same",
) -> None:
    """Write weights in parts, for hosts that accept no large files.

    The folder loads like a single file.
    """
    from dynet.model.weight_parts import split as run_split

    for path in run_split(weights, out, max_mb, dtype):
        typer.echo(printable(path))


@app.command()
def join(
    weights: Annotated[str, typer.Argument(help="A folder of parts, or other weights.")],
    out: Annotated[Path, typer.Argument(help="The weights file to write, W.safetensors.")],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing file.")] = False,
) -> None:
    """Write weights in parts as one file."""
    from dynet.model.weight_parts import join as run_join

    run_join(weights, out, overwrite=overwrite)
    typer.echo(printable(out))


@app.command()
def export(
    weights: WeightsOption,
    out: Annotated[
        Path,
        typer.Option(
            help="The file to write; for several variants a folder with a file for each; or ComfyUI's folder."
        ),
    ],
    variants: Annotated[
        str | None, typer.Option(help="Variants of the weights, separated by commas; default: the deepest.")
    ] = None,
    file_format: Annotated[
        Literal["onnx", "torch-export", "ncnn", "spandrel", "comfyui"],
        typer.Option("--format", help="ONNX, a program of torch.export, ncnn, or for programs that load by spandrel."),
    ] = "onnx",
    local_statistics: Annotated[
        int | None,
        typer.Option(
            min=MIN_WINDOW, help="For spandrel: side in pixels of the windows of attention, as in `dynet restore`."
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing files.")] = False,
) -> None:
    """Write a variant as a file for other programs.

    The file is kept only if its results equal those of torch.
    """
    from dynet.exporting.comfyui_folder import NODE_FOLDER
    from dynet.exporting.to_files import COMFYUI, export_to_files

    for exported in export_to_files(
        weights, out, variants, file_format, local_statistics=local_statistics, overwrite=overwrite
    ):
        for (count, height, width), largest in exported.differences.items():
            typer.echo(
                f"{printable(exported.path)}: at most {largest:.1e} from torch for {count} of {width}x{height} pixels"
            )
        typer.echo(printable(exported.path))
    if file_format == COMFYUI:
        typer.echo(printable(out / NODE_FOLDER))


@app.command()
def publish(
    run: Annotated[Path, typer.Argument(help="A finished RUN folder, or a weights file.")],
    licence: Annotated[
        str,
        typer.Option(
            "--licence",
            "--license",
            help="The licence of the weights: of the Hub, or other; with --openmodeldb of SPDX.",
        ),
    ],
    repo_id: Annotated[
        str | None, typer.Option(help="The model on the Hub, user/name; created if it does not exist.")
    ] = None,
    evaluation: Annotated[
        list[Path] | None,
        typer.Option(help="A folder of `dynet evaluate --out` for these weights; once for each protocol."),
    ] = None,
    private: Annotated[bool, typer.Option("--private", help="Create the model as a private one.")] = False,
    revision: Annotated[str | None, typer.Option(help="The branch to publish to, instead of main.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show files and card, without network access.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object at the end.")] = False,
    openmodeldb: Annotated[
        Path | None, typer.Option(help="Only write 1x-NAME.json for OpenModelDB, without network access.")
    ] = None,
    author: Annotated[list[str] | None, typer.Option(help="For OpenModelDB: the id of an author.")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="For OpenModelDB: denoise, photo, jpeg, …")] = None,
    description: Annotated[str, typer.Option(help="For OpenModelDB: what the model is for, in Markdown.")] = "",
    resource: Annotated[list[str] | None, typer.Option(help="For OpenModelDB: an exported file, as FILE=URL.")] = None,
    image: Annotated[list[str] | None, typer.Option(help="For OpenModelDB: URL-OF-INPUT,URL-OF-RESULT.")] = None,
    date: Annotated[str | None, typer.Option(help="For OpenModelDB: yyyy-mm-dd; default: today.")] = None,
) -> None:
    """Upload weights with a card to the Hugging Face Hub.

    The card describes their training. Or write an entry for OpenModelDB.
    """
    hub_options = {"--repo-id": repo_id, "--evaluation": evaluation, "--private": private, "--revision": revision}
    hub_options |= {"--dry-run": dry_run, "--json": as_json}
    entry_options = {"--author": author, "--tag": tag, "--description": description, "--resource": resource}
    entry_options |= {"--image": image, "--date": date}
    if openmodeldb is not None:
        _refuse(hub_options, "is for the Hub, and not with --openmodeldb")
        from dynet.hub.openmodeldb import OpenModelDBEntry, write_entry

        entry = OpenModelDBEntry.parse(
            author, tag, resource, image, licence=licence, description=description, date=date
        )
        write_entry(run, openmodeldb, entry)
        typer.echo(printable(openmodeldb))
        return
    _refuse(entry_options, "only with --openmodeldb")
    if repo_id is None:
        raise UsageError("--repo-id user/name is missing, or --openmodeldb FILE")
    from dynet.hub.publish import publish as run_publication

    published = run_publication(
        run, repo_id, licence=licence, evaluations=evaluation or (), private=private, revision=revision, dry_run=dry_run
    )
    typer.echo(json.dumps(published.as_object()) if as_json else printable_lines(published.text))


def _refuse(options: Mapping[str, object], why: str) -> None:
    """Raise UsageError if an option is given; `why` says what it is for."""
    if given := [name for name, value in options.items() if value]:
        raise UsageError(f"{given[0]}: {why}")
