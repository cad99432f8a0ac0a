"""Variants of weights as files of a format, by its name: what `dynet export` and `dynet.export` do."""

from collections.abc import Iterator
from pathlib import Path

from dynet.exporting.comfyui_folder import plan_comfyui_files, write_node
from dynet.exporting.export import (
    FORMATS,
    ExportedVariant,
    describe_weights,
    export,
    plan_files,
    with_local_statistics,
)
from dynet.extras import require
from dynet.inference.restore import choose_variants
from dynet.model.network import DyNet
from dynet.model.weights import locate_weights

COMFYUI = "comfyui"


def export_to_files(
    weights: str, out: Path, variants: str | None, file_format: str, *, local_statistics: int | None, overwrite: bool
) -> Iterator[ExportedVariant]:
    """Write variants of weights as files, for ComfyUI with the folder that makes it know them.

    Args:
        weights: A weights file, a folder that holds one, the name of shipped weights, or a repository on the Hub.
        out: The file to write; for several variants a folder with a file for each; for `comfyui` its folder.
        variants: Names with commas; None is the deepest.
        file_format: A name of `FORMATS`, or `comfyui`.
        local_statistics: The side in pixels of windows of attention, or None.
        overwrite: Whether existing files may be replaced.

    Yields:
        Each written file.

    Raises:
        UsageError: The weights, the variants or `out` cannot be used, or the format lacks a package.
        WriteError: A file cannot be written, or its results differ too much from torch.
    """
    file = locate_weights(weights)
    model = DyNet.from_pretrained(file)
    chosen = choose_variants(variants, model)
    if file_format == COMFYUI:
        require("spandrel")
        form, files = FORMATS["spandrel"], plan_comfyui_files(out, chosen, overwrite=overwrite)
    else:
        form, files = plan_files(file_format, out, chosen, overwrite=overwrite)
    if local_statistics is not None:
        form = with_local_statistics(file_format, form, model, local_statistics)
    yield from export(model, describe_weights(file), form, files)
    if file_format == COMFYUI:
        write_node(out)
