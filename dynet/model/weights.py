"""The weights file: safetensors whose metadata has the network's shape, its variants, and how it was trained.

A file is complete or absent: it is written under a temporary name and renamed. Loading needs nothing but the file; a
`config.json` next to it is for people and for the Hub, and is never read.
"""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, astuple, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from dynet.errors import WeightsError, WriteError, reason_of
from dynet.model.hub_download import HubAccess, download
from dynet.model.safetensors_header import check_header
from dynet.model.shipped_weights import find_shipped, naming_hint
from dynet.model.training_record import TrainingRecord
from dynet.model.variants import ReuseSchedule, Variant
from dynet.runtime.atomic_files import make_folder, replacing
from dynet.version import __version__

if TYPE_CHECKING:
    from torch import Tensor

FILE_NAME = "weights.safetensors"
_PART = re.compile(r"weights-(\d{5})-of-(\d{5})\.safetensors")
METADATA_KEY = "dynet"
FORMAT = 1
PromptsAt = Literal["skips", "decoder", "latent", "none"]
"""Where a network has prompts; `skips` is the network of the paper."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """The shape of a DyNet; saved with its weights.

    Raises:
        ValueError: No network has this shape; the message names the field.
    """

    dim: int
    heads: tuple[int, int, int, int]
    prompts: int
    prompt_channels: tuple[int, int, int]
    prompt_sizes: tuple[int, int, int]
    refinement_blocks: int
    per_repeat: int = 0  # how many repeats of each level's block have their own norms and temperature
    prompts_at: PromptsAt = "skips"

    def __post_init__(self) -> None:
        # YAML and JSON give lists, but only tuples are hashable.
        for name, length in (("heads", 4), ("prompt_channels", 3), ("prompt_sizes", 3)):
            value = tuple(getattr(self, name))
            if len(value) != length or any(type(one) is not int or one < 1 for one in value):
                raise ValueError(f"{name} takes {length} whole numbers from 1, not {list(value)}")
            object.__setattr__(self, name, value)
        for name in ("dim", "prompts", "refinement_blocks", "per_repeat"):
            if type(value := getattr(self, name)) is not int or value < 0:
                raise ValueError(f"{name} must be a whole number from 0, not {value!r}")
        if self.dim < 2 or self.dim % 2:
            raise ValueError(f"dim must be an even number from 2, not {self.dim}")
        if self.prompts_at not in get_args(PromptsAt):
            raise ValueError(f"prompts_at is one of {', '.join(get_args(PromptsAt))}, not {self.prompts_at!r}")
        for level, heads in enumerate(self.heads):
            if self.dim * 2**level % heads:
                raise ValueError(f"heads: {heads} heads do not divide the channels of level {level + 1}")
        for channels, prompt in zip((2, 4, 8), self.prompt_channels, strict=True):
            if (self.dim * channels + prompt) % 4:
                raise ValueError(f"prompt_channels: {self.dim * channels} + {prompt} is not a multiple of 4 heads")

    def header_fields(self) -> dict[str, object]:
        """Return the fields for the header of a file; newer fields only where they differ from older files."""
        newer = {"per_repeat": 0, "prompts_at": "skips"}
        return {name: value for name, value in asdict(self).items() if name not in newer or value != newer[name]}

    def difference(self, other: "Architecture") -> str | None:
        """Return a description of the first field in which `other` differs, or None if all are the same."""
        other_fields = asdict(other)
        for name, value in asdict(self).items():
            if value != other_fields[name]:
                return f"{name} {_format(value)} instead of {_format(other_fields[name])}"
        return None


def _format(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightsHeader:
    """The header of a weights file: what its metadata says about the tensors."""

    architecture: Architecture
    variants: tuple[Variant, ...]
    notes: Mapping[str, str]
    training: TrainingRecord | None = None
    """None for weights that `dynet train` did not train, or that it trained before it recorded this."""
    version: str | None = None
    """The version of dynet that wrote the file; None in older files."""

    def as_object(self) -> dict[str, Any]:
        """Return the header as JSON, without the fields that are None."""
        fields = {
            "format": FORMAT,
            "dynet": self.version,
            "architecture": self.architecture.header_fields(),
            "variants": {variant.name: astuple(variant.schedule) for variant in self.variants},
            "notes": dict(self.notes),
            "training": self.training.as_object() if self.training else None,
        }
        return {name: value for name, value in fields.items() if value is not None}


def write_weights(path: Path, tensors: "Mapping[str, Tensor]", header: WeightsHeader) -> None:
    """Write the file, with the version of this package in its header.

    Raises:
        WriteError: It cannot be written; an older file of that name is unchanged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    fields = replace(header, version=__version__).as_object()
    # One key, since safetensors writes several keys in an order that changes from run to run.
    metadata = {METADATA_KEY: json.dumps(fields)}
    try:
        make_folder(path.parent)
        with replacing(path) as temporary:
            temporary.touch()  # its error says more about the folder than that of safetensors
            save_file(as_contiguous(tensors), temporary, metadata)
            # safetensors creates files that only their owner can read.
            temporary.chmod(0o666 & ~_umask())
    except (OSError, SafetensorError) as error:
        raise WriteError(f"{path} cannot be written: {reason_of(error)}") from error


def as_contiguous(tensors: "Mapping[str, Tensor]") -> "dict[str, Tensor]":
    """Return the tensors on the CPU in the contiguous layout: safetensors stores no strides, as of channels_last."""
    import torch

    return {
        name: tensor.detach().to("cpu").contiguous(memory_format=torch.contiguous_format)
        for name, tensor in tensors.items()
    }


def _umask() -> int:
    """Return the umask of the process, which can be read only by setting it."""
    umask = os.umask(0o077)
    os.umask(umask)
    return umask


def read_header(path: Path) -> WeightsHeader:
    """Read the header of a weights file, without its tensors.

    Raises:
        WeightsError: The file is missing or damaged, or `write_weights` did not write it.
    """
    from safetensors import SafetensorError, safe_open

    try:
        _check_before_parsing(path)
        with safe_open(path, framework="np") as file:
            metadata = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path} {_describe_file(path)}: {reason_of(error)}") from error
    if METADATA_KEY not in metadata:
        raise WeightsError(f"{path} is not a weights file of dynet; `dynet convert` turns a released one into one")
    try:
        fields = json.loads(metadata[METADATA_KEY])
        if fields["format"] != FORMAT:
            raise ValueError(f"format {fields['format']} instead of {FORMAT}: another version of dynet wrote it")
        return WeightsHeader(
            architecture=Architecture(**fields["architecture"]),
            variants=_variants(fields["variants"]),
            notes=dict(fields["notes"]),
            training=TrainingRecord.from_object(fields["training"]) if "training" in fields else None,
            version=fields.get("dynet"),
        )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
        raise WeightsError(f"{path}: the configuration inside is unusable: {reason_of(error)}") from error


def _variants(schedules: Mapping[str, Any]) -> tuple[Variant, ...]:
    if not schedules:
        raise ValueError("it names no variant")
    return tuple(Variant(name, ReuseSchedule(*repeats)) for name, repeats in schedules.items())


_OTHER_FILES = {
    b"PK": "is a checkpoint of torch, not safetensors; `dynet convert` turns a released one into a weights file",
    b"\x80": "is a checkpoint of torch, not safetensors; `dynet convert` turns a released one into a weights file",
    b"version https://git-lfs": "is a pointer of git-lfs, not the file itself; `git lfs pull` fetches it",
    b"<": "is a web page, not the file itself; download it again",
}


def _check_before_parsing(path: Path) -> None:
    """Check the header; a file of another kind is left to its readers, which say of what kind it is."""
    with path.open("rb") as file:
        first_bytes = file.read(32).lstrip()
    if not first_bytes.startswith(tuple(_OTHER_FILES)):
        check_header(path)


def _describe_file(path: Path) -> str:
    """Say what a file that safetensors cannot read is, by its first bytes."""
    try:
        with path.open("rb") as file:
            first_bytes = file.read(32).lstrip()
    except OSError:
        return "cannot be read"
    descriptions = (words for signature, words in _OTHER_FILES.items() if first_bytes.startswith(signature))
    return next(descriptions, "is not a safetensors file, or is truncated")


def parts_of(path: Path) -> list[Path]:
    """Return all parts, in order, if `path` is a part of weights (`dynet.model.weight_parts`); else the file itself.

    Raises:
        WeightsError: A part is missing; the message names the first one.
    """
    part = _PART.fullmatch(path.name)
    if part is None:
        return [path]
    count = int(part[2])
    parts = [path.with_name(f"weights-{number:05d}-of-{part[2]}.safetensors") for number in range(1, count + 1)]
    for file in parts:
        if not file.is_file():
            raise WeightsError(f"{file} is missing: the weights beside it are in {count} parts")
    return parts


def read_tensors(path: Path) -> "dict[str, Tensor]":
    """Read the tensors of a file whose header has been read, or of all parts if it is one of several.

    Raises:
        WeightsError: A value is infinite or not a number, or the parts are not of the same weights.
    """
    first, *others = parts_of(path)
    tensors = _read_part(first)
    header = read_header(first).as_object() if others else {}
    for part in others:
        if read_header(part).as_object() != header:
            raise WeightsError(f"{part} and {first.name} are not parts of the same weights")
        tensors |= _read_part(part)
    return tensors


def _read_part(path: Path) -> "dict[str, Tensor]":
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        _check_before_parsing(path)
        tensors: dict[str, Tensor] = load_file(path)
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path} cannot be read: {reason_of(error)}") from error
    for name, tensor in tensors.items():
        if not tensor.is_floating_point():
            raise WeightsError(f"{path}: tensor {name} is of {tensor.dtype}, not of floating-point numbers")
        # The sum shows it in a thirtieth of the time, unless the sum itself overflows.
        if not tensor.sum(dtype=torch.float32).isfinite() and not tensor.isfinite().all():
            raise WeightsError(f"{path}: tensor {name} has values that are infinite or not a number")
    return tensors


def check_tensors_fit(path: Path, expected: "Mapping[str, Tensor]", actual: "Mapping[str, Tensor]") -> None:
    """Check that all names and shapes are as expected.

    Raises:
        WeightsError: One is not; the message names the first.
    """
    if missing := sorted(expected.keys() - actual.keys()):
        raise WeightsError(f"{path} does not fit: {len(missing)} missing, first {missing[0]}")
    if unknown := sorted(actual.keys() - expected.keys()):
        raise WeightsError(f"{path} does not fit: {len(unknown)} unknown, first {unknown[0]}")
    for name, tensor in expected.items():
        if actual[name].shape != tensor.shape:
            shapes = f"{tuple(actual[name].shape)} instead of {tuple(tensor.shape)}"
            raise WeightsError(f"{path} does not fit: {name} is {shapes}")


def locate_weights(source: str | Path, revision: str | None = None, access: HubAccess | None = None) -> Path:
    """Return the path of the weights file that `source` names.

    What exists at this path comes first, then shipped weights of this name. The Hub is asked only for a name of the
    form user/name that is no file, and whose first part is no folder here.

    Args:
        source: A file, a folder that contains one, the name of shipped weights, or a repository user/name on the Hub.
        revision: A branch, a tag or a commit of the repository.
        access: How to download from the Hub.

    Returns:
        The file; of weights in parts one of them, from which `read_tensors` finds the others.

    Raises:
        WeightsError: There is no such file, or the Hub does not give it.
    """
    name, path = str(source), Path(source)
    if path.is_file():
        return path
    if name and path.is_dir():
        return _weights_in(path)
    if shipped := find_shipped(name):
        return _weights_in(shipped)
    if path.suffix != ".safetensors" and name.count("/") == 1 and not path.parent.exists():
        return download(name, FILE_NAME, revision, access or HubAccess())
    raise WeightsError(f"{name!r}: no such file or folder{naming_hint(name) if name and '/' not in name else ''}")


def _weights_in(folder: Path) -> Path:
    """Return the one weights file in a folder, or its first part."""
    parts = sorted(file for file in folder.iterdir() if _PART.fullmatch(file.name))
    counts = {file.stem.rpartition("-")[2] for file in parts}
    whole = [folder / FILE_NAME] if (folder / FILE_NAME).is_file() else []
    if len(whole) + len(counts) > 1:
        raise WeightsError(f"{folder} holds several weights: {', '.join(file.name for file in [*whole, *parts])}")
    if not whole and not parts:
        raise WeightsError(f"{folder} holds no {FILE_NAME}: is its training finished?")
    return whole[0] if whole else parts[0]
