"""`export` as a function. torch is imported by the call, not with this module."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from dynet.api.choices import MIN_WINDOW, PathLike, optional_count
from dynet.arguments import as_choice, as_flag, as_path, as_texts, naming_arguments, raising_disk_errors
from dynet.extras import require

if TYPE_CHECKING:
    from dynet.exporting.export import ExportedVariant

Format: TypeAlias = Literal["onnx", "torch-export", "ncnn", "spandrel", "comfyui"]


@naming_arguments
@raising_disk_errors
def export(
    weights: PathLike,
    out: PathLike,
    variants: str | Iterable[str] | None = None,
    *,
    format: Format = "onnx",
    local_statistics: int | None = None,
    overwrite: bool = False,
) -> "list[ExportedVariant]":
    """Write variants of a network as files for other programs, each kept only if its results equal those of torch.

    Args:
        weights: A weights file, a folder that holds one, the name of shipped weights, or a repository on the Hub.
        out: The file to write; for several variants a folder with a file for each; for `comfyui` its folder.
        variants: Names of variants of the weights; None is the deepest.
        format: `onnx`, `torch-export`, `ncnn`, `spandrel` or `comfyui`.
        local_statistics: For `spandrel`: the side in pixels of windows of attention, from 64.
        overwrite: Whether existing files may be replaced.

    Returns:
        The written files, and how much their results differ from torch.

    Raises:
        UsageError: An argument cannot be used, or the format lacks a package (`MissingExtra`).
        WriteError: A file cannot be written, or its results differ too much.
    """
    require("torch", "safetensors")
    from dynet.exporting.files import FILE_FORMATS
    from dynet.exporting.to_files import COMFYUI, export_to_files

    return list(
        export_to_files(
            as_path("weights", weights),
            Path(as_path("out", out)),
            None if variants is None else ",".join(as_texts("variants", variants)),
            as_choice("format", format, (*FILE_FORMATS, COMFYUI)),
            local_statistics=optional_count("local_statistics", local_statistics, at_least=MIN_WINDOW),
            overwrite=as_flag("overwrite", overwrite),
        )
    )
