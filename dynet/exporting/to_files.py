"""Variants of weights as files of a format, by its name: what `dynet export` and `dynet.export` do."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from dynet.errors import UsageError
from dynet.exporting.comfyui_folder import plan_comfyui_files, write_node
from dynet.exporting.files import FILE_FORMATS, FileFormat, check_local_statistics, plan_files
from dynet.extras import require
from dynet.model.variants import choose_variants
from dynet.model.weights import locate_weights, parts_of, read_header

if TYPE_CHECKING:
    from dynet.exporting.export import ExportedVariant

COMFYUI, _SPANDREL = "comfyui", "spandrel"


def export_to_files(
    weights: str, out: Path, variants: str | None, file_format: str, *, local_statistics: int | None, overwrite: bool
) -> "Iterator[ExportedVariant]":
    """Write variants of weights as files, for ComfyUI with the folder that makes it know them.

    Args:
        weights: A weights file, a folder that holds one, the name of shipped weights, or a repository on the Hub.
        out: The file to write; for several variants a folder with a file for each; for `comfyui` its folder.
        variants: Names with commas; None is the deepest.
        file_format: A name of `FILE_FORMATS`, or `comfyui`.
        local_statistics: The side in pixels of windows of attention, or None.
        overwrite: Whether existing files may be replaced.

    Yields:
        Each written file.

    Raises:
        UsageError: The weights, the variants or `out` cannot be used, or the format lacks a package.
        WriteError: A file cannot be written, or its results differ too much from torch.
    """
    if local_statistics is not None:
        check_local_statistics(file_format)
    file = locate_weights(weights)
    chosen = choose_variants(variants, read_header(file).variants)
    if file_format == COMFYUI:
        require(*_file_format(file_format).packages)
        files = plan_comfyui_files(out, chosen, overwrite=overwrite)
    else:
        files = plan_files(file_format, out, chosen, overwrite=overwrite)
    written = [path for first in files.values() for path in _file_format(file_format).paths(first)]
    if any(path.exists() and part.samefile(path) for path in written for part in parts_of(file)):
        raise UsageError(f"--out {out}: would replace the weights that it is made of")
    # What is refused above is refused at once: torch, which takes seconds, is loaded here.
    from dynet.exporting.export import FORMATS, describe_weights, export, with_local_statistics
    from dynet.model.network import DyNet

    model = DyNet.from_pretrained(file)
    form = FORMATS[_SPANDREL if file_format == COMFYUI else file_format]
    if local_statistics is not None:
        form = with_local_statistics(form, model, local_statistics)
    yield from export(model, describe_weights(file), form, files)
    if file_format == COMFYUI:
        write_node(out)


def _file_format(name: str) -> FileFormat:
    return FILE_FORMATS[_SPANDREL if name == COMFYUI else name]
