"""`export` as a function. torch is imported by the call, not with this module."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from dynet.api.choices import PathLike, optional_count
from dynet.arguments import as_choice, as_flag, as_path, as_texts, naming_arguments
from dynet.extras import require
from dynet.model.weights import locate_weights

if TYPE_CHECKING:
    from dynet.exporting.export import ExportedVariant

Format: TypeAlias = Literal["onnx", "torch-export", "ncnn", "spandrel", "comfyui"]
_COMFYUI = "comfyui"


@naming_arguments
def export(
    weights: PathLike,
    out: PathLike,
    variants: str | Iterable[str] = "L",
    *,
    format: Format = "onnx",
    local_statistics: int | None = None,
    overwrite: bool = False,
) -> "list[ExportedVariant]":
    """Write variants of a network as files for other programs, each kept only if its results equal those of torch.

    Args:
        weights: A weights file, a folder that holds one, the name of shipped weights, or a repository on the Hub.
        out: The file to write; for several variants a folder with a file for each; for `comfyui` its folder.
        variants: Names of variants of the weights.
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
    from dynet.exporting.comfyui_folder import plan_comfyui_files, write_node
    from dynet.exporting.export import FORMATS, describe_weights, plan_files, with_local_statistics
    from dynet.exporting.export import export as run_export
    from dynet.inference.restore import choose_variants
    from dynet.model.network import DyNet

    name = as_choice("format", format, (*FORMATS, _COMFYUI))
    replace = as_flag("overwrite", overwrite)
    target, window = Path(as_path("out", out)), optional_count("local_statistics", local_statistics, at_least=64)
    named = ",".join(as_texts("variants", variants))
    file = locate_weights(as_path("weights", weights))
    model = DyNet.from_pretrained(file)
    chosen = choose_variants(named, model)
    if name == _COMFYUI:
        require("spandrel")
        form, files = FORMATS["spandrel"], plan_comfyui_files(target, chosen, overwrite=replace)
    else:
        form, files = plan_files(name, target, chosen, overwrite=replace)
    if window is not None:
        form = with_local_statistics(name, form, model, window)
    exported = list(run_export(model, describe_weights(file), form, files))
    if name == _COMFYUI:
        write_node(target)
    return exported
