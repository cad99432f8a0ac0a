"""Weights in parts, for places that take no large files: `weights-00001-of-00003.safetensors` and so on.

Each part is a weights file with some of the tensors and the same header as the others, so a folder of parts loads as it
is. Named as Hugging Face names parts; no index file is needed, since every part says how many there are.
"""

import dataclasses
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from dynet.errors import UsageError, WeightsError
from dynet.model.weights import WeightsHeader, locate_weights, parts_of, read_header, read_tensors, write_weights
from dynet.runtime.atomic_files import create_output_folder
from dynet.version import __version__

if TYPE_CHECKING:
    from torch import Tensor

MB = 10**6
OVERHEAD = 200
"""Bytes that a tensor's name, shape and place take in a header, at most."""

SAME = "same"
TypeName = Literal["same", "fp32", "bf16"]
SPLIT_FROM, PARTS, TYPE = "split_from", "parts", "type"
"""Notes of parts: the SHA-256 of what was split; how many there are; the type, where it was changed."""


def split(source: str, folder: Path, max_mb: int, kind: TypeName) -> list[Path]:
    """Write weights into a folder in parts of at most so many MB (of 10^6 bytes), in another type if asked.

    The header keeps the SHA-256 of what was split, and into what, as notes, so parts of two splits are never mixed.
    A split that was killed goes on when it is repeated; one that ends otherwise leaves nothing.

    Raises UsageError where the folder holds other weights or one tensor is larger than a part, WeightsError, and
    WriteError.
    """
    weights = locate_weights(source)
    header, tensors = read_header(weights), _as_kind(read_tensors(weights), kind)
    fixed = len(str(header.as_object())) * 2
    groups = _groups(tensors, max_mb * MB - fixed)
    notes = {SPLIT_FROM: sha256_of(weights), PARTS: str(len(groups))} | ({TYPE: kind} if kind != SAME else {})
    header = dataclasses.replace(header, notes={**header.notes, **notes}, version=__version__)
    paths = [folder / f"weights-{number:05d}-of-{len(groups):05d}.safetensors" for number in range(1, len(groups) + 1)]
    _refuse_others_in(folder, paths, header)
    create_output_folder(folder)
    try:
        for path, names in zip(paths, groups, strict=True):
            write_weights(path, {name: tensors[name] for name in names}, header)
    except BaseException:
        for path in paths:
            path.unlink(missing_ok=True)
        raise
    return paths


def join(source: str, out: Path, *, overwrite: bool) -> None:
    """Write the weights of all parts, or of any other source, as one file.

    Of parts in the type that they were split in, it is the file that was split, to the byte if this version wrote it.
    Raises WeightsError, WriteError, and UsageError where `out` exists and `overwrite` does not allow to replace it.
    """
    if out.suffix != ".safetensors":
        raise WeightsError(f"{out}: the weights file's name must end in .safetensors")
    if out.exists() and not overwrite:
        raise UsageError(f"{out} exists already; --overwrite replaces it")
    weights = locate_weights(source)
    tensors, header = read_tensors(weights), read_header(weights)
    notes = dict(header.notes)
    if notes.pop(PARTS, None) and TYPE not in notes:
        del notes[SPLIT_FROM]
    write_weights(out, tensors, dataclasses.replace(header, notes=notes))


def sha256_of(weights: Path) -> str:
    """SHA-256 of a weights file; of one in parts, of all their bytes in order."""
    digest = hashlib.sha256()
    for part in parts_of(weights):
        with part.open("rb") as opened:
            while chunk := opened.read(1 << 20):
                digest.update(chunk)
    return digest.hexdigest()


def _refuse_others_in(folder: Path, parts: list[Path], header: WeightsHeader) -> None:
    """Any weights but what an earlier try at the same split left."""
    for there in sorted(folder.glob("weights*.safetensors")) if folder.is_dir() else []:
        if there not in parts or read_header(there).as_object() != header.as_object():
            raise UsageError(f"{folder} holds other weights already: {there.name}")


def _as_kind(tensors: "dict[str, Tensor]", kind: TypeName) -> "dict[str, Tensor]":
    import torch

    types = {"fp32": torch.float32, "bf16": torch.bfloat16}
    return {name: tensor.to(types.get(kind, tensor.dtype)) for name, tensor in tensors.items()}


def _groups(tensors: "Mapping[str, Tensor]", most: int) -> list[list[str]]:
    """Names in order, so many in a group as go into `most` bytes."""
    groups: list[list[str]] = [[]]
    filled = 0
    for name in sorted(tensors):
        size = tensors[name].nbytes + OVERHEAD
        if size > most:
            raise UsageError(f"--max-mb: tensor {name} alone is {tensors[name].nbytes / MB:.1f} MB")
        if filled + size > most:
            groups.append([])
            filled = 0
        groups[-1].append(name)
        filled += size
    return groups
