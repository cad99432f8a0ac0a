"""Checks of a weights file that is to be written, before what takes seconds is loaded or computed."""

from pathlib import Path

from dynet.errors import UsageError, WeightsError
from dynet.runtime.atomic_files import check_output_folder


def check_weights_output(out: Path, *, overwrite: bool) -> None:
    """Check that a weights file of this name can be written; nothing is written.

    Args:
        out: The file.
        overwrite: Whether an existing one may be replaced.

    Raises:
        WeightsError: The name does not end in .safetensors.
        UsageError: It is a folder, or its folder cannot be written to, or it exists and may not be replaced.
    """
    if out.suffix != ".safetensors":
        raise WeightsError(f"{out}: the weights file's name must end in .safetensors")
    if out.is_dir():
        raise UsageError(f"{out}: is a folder, not a file to write")
    check_output_folder(out.parent, name=str(out))
    if out.exists() and not overwrite:
        raise UsageError(f"{out} exists already; --overwrite replaces it")
