"""The commands that bring weights in and hand them on: from the released code, to other runtimes, to the Hub."""

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

app = typer.Typer()


@app.command()
def convert(
    released: Annotated[Path, typer.Argument(help="A checkpoint of the released code, plain or Lightning.")],
    out: Annotated[Path, typer.Argument(help="The weights file to write, W.safetensors.")],
) -> None:
    """Turn weights of the released network into a weights file of dynet."""
    from dynet.model.convert import convert as run_conversion

    left_out = run_conversion(released, out)
    for name in left_out:
        typer.echo(f"left out (never used by the network): {name}")
    typer.echo(out)


@app.command()
def split(
    weights: Annotated[str, typer.Argument(help="A weights file, a folder that holds one, or a Hub repository.")],
    out: Annotated[Path, typer.Option(help="The folder to write the parts to.")],
    max_mb: Annotated[int, typer.Option(min=1, help="The largest part, in MB of 10^6 bytes.")] = 15,
    dtype: Annotated[Literal["same", "fp32", "bf16"], typer.Option(help="The type to keep them in.")] = "same",
) -> None:
    """Write weights in parts, for places that take no large files; the folder loads as one file does."""
    from dynet.model.weight_parts import split as run_split

    for path in run_split(weights, out, max_mb, dtype):
        typer.echo(path)


@app.command()
def join(
    weights: Annotated[str, typer.Argument(help="A folder of parts, or any other weights.")],
    out: Annotated[Path, typer.Argument(help="The weights file to write, W.safetensors.")],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file that is there.")] = False,
) -> None:
    """Write weights that are in parts as one file."""
    from dynet.model.weight_parts import join as run_join

    run_join(weights, out, overwrite=overwrite)
    typer.echo(out)


@app.command()
def export(
    weights: Annotated[str, typer.Option(help="A weights file, a folder that holds one, or a Hub repository.")],
    out: Annotated[Path, typer.Option(help="The file to write; for several variants a folder of one file each.")],
    variants: Annotated[str, typer.Option(help="Variants of the weights, with commas between.")] = "L",
    file_format: Annotated[
        Literal["onnx", "torch-export"], typer.Option("--format", help="ONNX, or a program of torch.export.")
    ] = "onnx",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that are there.")] = False,
) -> None:
    """Write a variant as a file that runs without dynet; kept only if it does what torch does."""
    from dynet.export.export import describe, prepare
    from dynet.export.export import export as run_export
    from dynet.inference.restore import choose_variants
    from dynet.model.network import DyNet
    from dynet.model.weights import locate_weights

    found = locate_weights(weights)
    model = DyNet.from_pretrained(found)
    form, files = prepare(file_format, out, choose_variants(variants, model), overwrite=overwrite)
    for exported in run_export(model, describe(found), form, files):
        for (count, height, width), largest in exported.differences.items():
            typer.echo(f"{exported.path}: at most {largest:.1e} from torch for {count} of {width}x{height} pixels")
        typer.echo(exported.path)


@app.command()
def publish(
    run: Annotated[Path, typer.Argument(help="A finished RUN folder, or a weights file.")],
    repo_id: Annotated[str, typer.Option(help="The model on the Hub, user/name; made if it is not there.")],
    licence: Annotated[str, typer.Option(help="Of the weights: an identifier of the Hub's, or other.")],
    evaluation: Annotated[
        list[Path] | None, typer.Option(help="What `dynet evaluate --out` wrote of these weights; for each protocol.")
    ] = None,
    private: Annotated[bool, typer.Option("--private", help="Make a new model private.")] = False,
    revision: Annotated[str | None, typer.Option(help="The branch to publish to, instead of main.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show files and card, and ask no network.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="End with one JSON object.")] = False,
) -> None:
    """Put weights on the Hugging Face Hub, with a card that tells how they were trained and measured."""
    from dynet.hub.publish import publish as run_publication

    published = run_publication(
        run,
        repo_id,
        licence=licence,
        evaluations=evaluation or (),
        private=private,
        revision=revision,
        dry_run=dry_run,
    )
    typer.echo(json.dumps(published.as_object()) if as_json else published.text)


@app.command()
def demo(
    weights: Annotated[str, typer.Option(help="A weights file, a folder that holds one, or a Hub repository.")],
    host: Annotated[str, typer.Option(help="The address to serve; another than this machine's own opens the page.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port; 0 takes any that is free.")] = 7860,
    device: Annotated[Literal["auto", "cpu", "cuda", "mps"], typer.Option(help="Where to compute.")] = "auto",
    max_megapixels: Annotated[float, typer.Option(min=0.01, help="The largest picture that the page takes.")] = 4,
) -> None:
    """Serve a page to try a network on, until Ctrl-C."""
    from dynet.demo.restorer import Restorer
    from dynet.demo.serve import listen, require_gradio, serve
    from dynet.demo.uploads import Limits
    from dynet.inference import memory
    from dynet.inference.precision import choose_kind
    from dynet.inference.restore import prepare
    from dynet.model.network import DyNet
    from dynet.runtime.devices import resolve_device

    require_gradio()
    listener = listen(host, port)
    where = resolve_device(device)
    if where.type == "cpu":
        memory.reuse_small_blocks()
    model = DyNet.from_pretrained(weights).to(where)
    prepare(model, choose_kind("auto", where), local_statistics=None)
    restorer = Restorer(model, where)
    if not listener.loopback:
        typer.echo(
            f"dynet: --host {host}: whoever can reach this machine can use the page; it has no password", err=True
        )
    serve(listener, restorer, Limits(max_megapixels), lambda: typer.echo(f"{listener.address}  (Ctrl-C ends it)"))
