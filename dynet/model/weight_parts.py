"""Weights in parts, for hosts that do not accept large files: `weights-00001-of-00003.safetensors` and so on.

Each part is a weights file with some of the tensors and the same header as the others, so a folder of parts can be
loaded as it is. Parts are named as on Hugging Face; there is no index file, since every name has the number of parts.
"""

import dataclasses
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from dynet.errors import UsageError
from dynet.model.output_file import check_weights_output
from dynet.model.weights import WeightsHeader, locate_weights, parts_of, read_header, read_tensors, write_weights
from dynet.runtime.atomic_files import check_output_folder, create_output_folder
from dynet.version import __version__

if TYPE_CHECKING:
    from torch import Tensor

MB = 10**6
OVERHEAD = 200
"""The most bytes that the name, shape and offset of a tensor take in a header."""

SAME = "same"
TypeName = Literal["same", "fp32", "bf16"]
SPLIT_FROM, PARTS, TYPE = "split_from", "parts", "type"
"""Notes in the header of a part: the SHA-256 of the file that was split; the number of parts; the type, if changed."""


def split(source: str, folder: Path, max_mb: int, dtype: TypeName) -> list[Path]:
    """Write weights into a folder in parts.

    The notes in the header have the SHA-256 of the file that was split and the number of parts, so parts of two splits
    are never mixed. A split that was killed is continued when it is repeated; one that fails leaves nothing new.

    Args:
        source: The weights, as `locate_weights` takes them.
        folder: Where to write the parts.
        max_mb: The largest size of a part, in MB of 10^6 bytes.
        dtype: The type of the tensors in the parts.

    Returns:
        The parts, in order.

    Raises:
        UsageError: The folder contains other weights, or one tensor is larger than a part.
        WeightsError: The weights are missing or damaged.
        WriteError: A part cannot be written.
    """
    check_output_folder(folder)
    weights = locate_weights(source)
    header, tensors = read_header(weights), _convert(read_tensors(weights), dtype)
    header_bytes = len(str(header.as_object())) * 2
    groups = _group_by_size(tensors, max_mb * MB - header_bytes)
    notes = {SPLIT_FROM: sha256_of(weights), PARTS: str(len(groups))} | ({TYPE: dtype} if dtype != SAME else {})
    header = dataclasses.replace(header, notes={**header.notes, **notes}, version=__version__)
    paths = [folder / f"weights-{number:05d}-of-{len(groups):05d}.safetensors" for number in range(1, len(groups) + 1)]
    _refuse_other_weights(folder, paths, header)
    create_output_folder(folder)
    new = [path for path in paths if not path.exists()]  # the others are whole, of an earlier split of these weights
    try:
        for path, names in zip(paths, groups, strict=True):
            write_weights(path, {name: tensors[name] for name in names}, header)
    except BaseException:
        for path in new:
            path.unlink(missing_ok=True)
        raise
    return paths


def join(source: str, out: Path, *, overwrite: bool) -> None:
    """Write the weights of all parts, or of any other source, as one file.

    If the split did not change the type, the file is the one that was split, byte for byte if this version wrote it.

    Raises:
        UsageError: `out` exists and `overwrite` is false.
        WeightsError: The weights are missing or damaged, or the name of `out` is wrong.
        WriteError: `out` cannot be written.
    """
    check_weights_output(out, overwrite=overwrite)
    weights = locate_weights(source)
    tensors, header = read_tensors(weights), read_header(weights)
    notes = dict(header.notes)
    if notes.pop(PARTS, None) and TYPE not in notes:
        notes.pop(SPLIT_FROM, None)
    write_weights(out, tensors, dataclasses.replace(header, notes=notes))


def sha256_of(weights: Path) -> str:
    """Return the SHA-256 of a weights file; of a part, that of the bytes of all parts in order."""
    digest = hashlib.sha256()
    for part in parts_of(weights):
        with part.open("rb") as opened:
            while chunk := opened.read(1 << 20):
                digest.update(chunk)
    return digest.hexdigest()


def _refuse_other_weights(folder: Path, parts: list[Path], header: WeightsHeader) -> None:
    """Raise UsageError if the folder has weights that an earlier attempt at the same split did not write."""
    for file in sorted(folder.glob("weights*.safetensors")) if folder.is_dir() else []:
        if file not in parts or read_header(file).as_object() != header.as_object():
            raise UsageError(f"{folder} holds other weights already: {file.name}")


def _convert(tensors: "dict[str, Tensor]", dtype: TypeName) -> "dict[str, Tensor]":
    import torch

    types = {"fp32": torch.float32, "bf16": torch.bfloat16}
    return {name: tensor.to(types.get(dtype, tensor.dtype)) for name, tensor in tensors.items()}


def _group_by_size(tensors: "Mapping[str, Tensor]", max_bytes: int) -> list[list[str]]:
    """Return the names, sorted, in groups whose tensors take at most `max_bytes`."""
    groups: list[list[str]] = [[]]
    filled = 0
    for name in sorted(tensors):
        size = tensors[name].nbytes + OVERHEAD
        if size > max_bytes:
            raise UsageError(f"--max-mb: tensor {name} alone is {tensors[name].nbytes / MB:.1f} MB")
        if filled + size > max_bytes:
            groups.append([])
            filled = 0
        groups[-1].append(name)
        filled += size
    return groups
