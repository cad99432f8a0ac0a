"""The commands that restore images: `restore`, and the page of `demo`."""

from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dynet.api.choices import MIN_TILE, MIN_WINDOW
from dynet.cli.options import DEFAULT_WEIGHTS, Device, DeviceOption, SelfEnsembleOption, WeightsOption
from dynet.extras import require

if TYPE_CHECKING:
    import torch

    from dynet.inference.restore import RestoreOptions
    from dynet.model.training_record import TrainingRecord
    from dynet.model.variant_network import VariantNetwork

app = typer.Typer(rich_markup_mode=None)


class Precision(StrEnum):
    """The number format of the computation."""

    auto = "auto"
    fp32 = "fp32"
    bf16 = "bf16"


@app.command()
def restore(
    inputs: Annotated[list[str], typer.Argument(help="Images, folders of images, and patterns such as 'in/*.jpg'.")],
    out: Annotated[Path, typer.Option(help="The folder to write to.")],
    weights: WeightsOption = DEFAULT_WEIGHTS,
    variants: Annotated[
        str | None, typer.Option(help="Variants of the weights, separated by commas; default: the deepest.")
    ] = None,
    tile: Annotated[
        int | None,
        typer.Option(min=MIN_TILE, help="Side in pixels of the tiles to restore in. Default: chosen by memory."),
    ] = None,
    self_ensemble: SelfEnsembleOption = "1",
    compare: Annotated[bool, typer.Option("--compare", help="Also write input and output side by side.")] = False,
    format: Annotated[
        str | None, typer.Option(help="png, jpeg, webp, tiff, bmp or avif; default: that of the input.")
    ] = None,
    quality: Annotated[int | None, typer.Option(help="1 to 100, for JPEG, WebP and AVIF.")] = None,
    precision: Annotated[
        Precision, typer.Option(help="The number format; auto takes bf16 on processors that support it.")
    ] = Precision.auto,
    local_statistics: Annotated[
        int | None,
        typer.Option(
            min=MIN_WINDOW, help="Side in pixels of the windows of attention; use 1.5 times the crop of training."
        ),
    ] = None,
    device: DeviceOption = Device.auto,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing files.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per file.")] = False,
) -> None:
    """Restore images.

    The exit code is 1 if one of them could not be restored.
    """
    require("torch", "safetensors", "tifffile")
    from dynet.inference.encoding import Encoding
    from dynet.inference.plan import check_options_of_dynet, plan_restoring
    from dynet.inference.report import print_failures, restore_and_print
    from dynet.runtime.atomic_files import create_output_folder

    encoding = Encoding.parse(format, quality)
    plan = plan_restoring(
        inputs, out, weights, variants=variants, encoding=encoding, compare=compare, overwrite=overwrite
    )
    check_options_of_dynet(
        plan.weights, bf16=precision is Precision.bf16, local_statistics=local_statistics is not None
    )
    if failures := plan.failures():
        print_failures(failures, as_json=as_json)
        raise typer.Exit(1)
    # What is above loads no torch, which takes seconds: whatever it refuses is refused at once.
    loaded, warning = _loaded_options(plan.weights.file, device, variants, tile, precision, local_statistics)
    options = replace(loaded, self_ensemble=int(self_ensemble), compare=compare, overwrite=overwrite, encoding=encoding)
    create_output_folder(out)
    if warning is not None:
        typer.echo(f"dynet: {warning}", err=True)
    if not restore_and_print(plan.files, options, plan.existing, as_json=as_json):
        raise typer.Exit(1)


@app.command()
def demo(
    weights: WeightsOption = DEFAULT_WEIGHTS,
    host: Annotated[
        str,
        typer.Option(help="The address to listen on; unless it is loopback, other machines can use the page."),
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port; 0 takes a free one.")] = 7860,
    device: DeviceOption = Device.auto,
    max_megapixels: Annotated[float, typer.Option(min=0.01, help="The largest image that the page accepts.")] = 4,
) -> None:
    """Serve a web page to try a network on, until Ctrl-C."""
    require("gradio", "torch", "safetensors")
    from dynet.demo.listener import open_listener
    from dynet.demo.uploads import UploadLimits
    from dynet.model.file_kind import find_any_weights

    limits, found, listener = UploadLimits(max_megapixels), find_any_weights(weights), open_listener(host, port)
    # Those above load no torch, which takes seconds.
    from dynet.demo.restorer import Restorer
    from dynet.demo.serve import serve
    from dynet.inference.precision import choose_dtype
    from dynet.inference.restore import prepare_for_inference
    from dynet.runtime.devices import resolve_device

    where = resolve_device(device.value)
    model, training = _load_for_inference(str(found.file), where)
    prepare_for_inference(model, choose_dtype("auto", where), local_statistics=None)
    name = Path(weights).resolve().name if Path(weights).exists() else weights
    restorer = Restorer(model, where, training, name)
    if not listener.loopback:
        typer.echo(
            f"dynet: --host {host}: everyone who can reach this machine can use the page; it has no password", err=True
        )
    serve(listener, restorer, limits, lambda: typer.echo(f"{listener.address}  (Ctrl-C ends it)"))


def _loaded_options(
    weights: Path,
    device: Device,
    variants: str | None,
    tile: int | None,
    precision: Precision,
    local_statistics: int | None,
) -> "tuple[RestoreOptions, str | None]":
    """Return a network that is ready to restore and how to run it, and a warning if it may harm clean images."""
    from dynet.inference.precision import choose_dtype
    from dynet.inference.restore import RestoreOptions, prepare_for_inference
    from dynet.inference.tiling import round_tile_to_stride
    from dynet.model.clean_input import clean_input_warning
    from dynet.model.variants import choose_variants
    from dynet.runtime.devices import resolve_device

    where = resolve_device(device.value)
    model, training = _load_for_inference(str(weights), where)
    chosen = choose_variants(variants, model.variants)
    prepare_for_inference(model, choose_dtype(precision.value, where), local_statistics)
    options = RestoreOptions(model=model, variants=chosen, device=where, tile=round_tile_to_stride(tile))
    return options, clean_input_warning(training, [variant.name for variant in chosen])


def _load_for_inference(weights: str, device: "torch.device") -> "tuple[VariantNetwork, TrainingRecord | None]":
    """Return the network that `--weights` names, on its device, and how it was trained."""
    from dynet.inference import memory
    from dynet.spandrel.any_weights import load_any_weights, training_record

    if device.type == "cpu":
        memory.keep_small_freed_blocks()
    model, file = load_any_weights(weights)
    return model.to(device), training_record(model, file)
