"""The weights file: safetensors with the network's configuration, and how it was trained, in its metadata.

A file is complete or absent: it is written under a temporary name and renamed. What is inside is all that is needed to
load it; a `config.json` beside it is for people and for the Hub, and is never read.
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
from dynet.model.training_record import TrainingRecord
from dynet.model.variants import ReuseSchedule, Variant
from dynet.version import __version__

if TYPE_CHECKING:
    from torch import Tensor

FILE_NAME = "weights.safetensors"
_PART = re.compile(r"weights-(\d{5})-of-(\d{5})\.safetensors")
KEY = "dynet"
FORMAT = 1
PromptsAt = Literal["skips", "decoder", "latent", "none"]
"""Where a network has prompts; `skips` is the paper's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """What decides the shape of a DyNet; saved with its weights."""

    dim: int
    heads: tuple[int, int, int, int]
    prompts: int
    prompt_channels: tuple[int, int, int]
    prompt_sizes: tuple[int, int, int]
    refinement_blocks: int
    per_repeat: int = 0  # so many repeats of each level's block have a norm and a temperature of their own
    prompts_at: PromptsAt = "skips"

    def __post_init__(self) -> None:
        # Lists come from YAML and JSON; tuples compare and hash.
        for name, length in (("heads", 4), ("prompt_channels", 3), ("prompt_sizes", 3)):
            value = tuple(getattr(self, name))
            if len(value) != length or min(value) < 1:
                raise ValueError(f"{name} takes {length} whole numbers from 1, not {list(value)}")
            object.__setattr__(self, name, value)
        if self.dim < 2 or self.dim % 2:
            raise ValueError(f"dim must be an even number from 2, not {self.dim}")
        if self.per_repeat < 0:
            raise ValueError(f"per_repeat must be a whole number from 0, not {self.per_repeat}")
        if self.prompts_at not in get_args(PromptsAt):
            raise ValueError(f"prompts_at is one of {', '.join(get_args(PromptsAt))}, not {self.prompts_at!r}")
        for level, heads in enumerate(self.heads):
            if self.dim * 2**level % heads:
                raise ValueError(f"heads: {heads} heads do not divide the channels of level {level + 1}")
        for channels, prompt in zip((2, 4, 8), self.prompt_channels, strict=True):
            if (self.dim * channels + prompt) % 4:
                raise ValueError(f"prompt_channels: {self.dim * channels} + {prompt} is not a multiple of 4 heads")

    def header_fields(self) -> dict[str, object]:
        """The fields for a file's header; without those that are as in all files from before they existed."""
        later = {"per_repeat": 0, "prompts_at": "skips"}
        return {name: value for name, value in asdict(self).items() if name not in later or value != later[name]}

    def difference(self, other: "Architecture") -> str | None:
        """Names the first field in which `other` differs, or None when they are the same."""
        theirs = asdict(other)
        for name, mine in asdict(self).items():
            if mine != theirs[name]:
                return f"{name} {_plain(mine)} instead of {_plain(theirs[name])}"
        return None


def _plain(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightsHeader:
    """What a weights file says of its tensors."""

    architecture: Architecture
    variants: tuple[Variant, ...]
    notes: Mapping[str, str]
    training: TrainingRecord | None = None
    """None of weights that were not trained by `dynet train`, or by one before it kept this."""
    version: str | None = None
    """Of the dynet that wrote the file; None in files from before it was kept."""

    def as_object(self) -> dict[str, Any]:
        """What stands in the file, as JSON."""
        told = {
            "format": FORMAT,
            "dynet": self.version,
            "architecture": self.architecture.header_fields(),
            "variants": {variant.name: astuple(variant.schedule) for variant in self.variants},
            "notes": dict(self.notes),
            "training": self.training.as_object() if self.training else None,
        }
        return {name: value for name, value in told.items() if value is not None}


def write_weights(path: Path, tensors: "Mapping[str, Tensor]", header: WeightsHeader) -> None:
    """Write the file whole, or leave what was there before as it was; the version in it is this one's."""
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    about = replace(header, version=__version__).as_object()
    # One key, since safetensors writes several in an order that changes from run to run.
    metadata = {KEY: json.dumps(about)}
    # safetensors keeps no strides, so a channels_last network is stored, and read, in the plain layout.
    plain = {
        name: tensor.detach().to("cpu").contiguous(memory_format=torch.contiguous_format)
        for name, tensor in tensors.items()
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.touch()  # tells what is wrong with the place in the system's own words
        save_file(plain, temporary, metadata)
        # safetensors makes files that only their owner can read.
        temporary.chmod(0o666 & ~_umask())
        os.replace(temporary, path)
    except (OSError, SafetensorError) as error:
        raise WriteError(f"{path} cannot be written: {reason_of(error)}") from error
    finally:
        temporary.unlink(missing_ok=True)


def _umask() -> int:
    """The process's; it can only be read by setting it."""
    umask = os.umask(0o077)
    os.umask(umask)
    return umask


def read_header(path: Path) -> WeightsHeader:
    """Read what a file of `write_weights` says of itself, without its tensors; anything else is refused."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            metadata = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path} {_what_it_is(path)}: {reason_of(error)}") from error
    if KEY not in metadata:
        raise WeightsError(f"{path} is not a weights file of dynet; `dynet convert` turns a released one into one")
    try:
        about = json.loads(metadata[KEY])
        if about["format"] != FORMAT:
            raise ValueError(f"format {about['format']} instead of {FORMAT}: another version of dynet wrote it")
        return WeightsHeader(
            architecture=Architecture(**about["architecture"]),
            variants=_variants(about["variants"]),
            notes=dict(about["notes"]),
            training=TrainingRecord.from_object(about["training"]) if "training" in about else None,
            version=about.get("dynet"),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise WeightsError(f"{path}: the configuration inside is unusable: {error}") from error


def _variants(told: Mapping[str, Any]) -> tuple[Variant, ...]:
    if not told:
        raise ValueError("it names no variant")
    return tuple(Variant(name, ReuseSchedule(*times)) for name, times in told.items())


_OTHER_FILES = {
    b"PK": "is a checkpoint of torch, not safetensors; `dynet convert` turns a released one into a weights file",
    b"\x80": "is a checkpoint of torch, not safetensors; `dynet convert` turns a released one into a weights file",
    b"version https://git-lfs": "is a pointer of git-lfs, not the file itself; `git lfs pull` fetches it",
    b"<": "is a page of the web, not the file itself; download it anew",
}


def _what_it_is(path: Path) -> str:
    """In words, by the first bytes of a file that safetensors cannot read."""
    try:
        with path.open("rb") as file:
            begins = file.read(32).lstrip()
    except OSError:
        return "cannot be read"
    found = (words for first, words in _OTHER_FILES.items() if begins.startswith(first))
    return next(found, "is no safetensors file, or one that is cut short")


def parts_of(path: Path) -> list[Path]:
    """All parts, in order, of weights in parts (`dynet.model.weight_parts`) of which `path` is one; else the file itself.

    Raises WeightsError that names the first part that is missing.
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
    """Read the tensors of a file whose header has been read, or of all parts of one.

    Raises WeightsError for values that are no numbers, and for parts that are not of the same weights.
    """
    first, *others = parts_of(path)
    tensors = _read_part(first)
    about = read_header(first).as_object() if others else {}
    for part in others:
        if read_header(part).as_object() != about:
            raise WeightsError(f"{part} and {first.name} are not parts of the same weights")
        tensors |= _read_part(part)
    return tensors


def _read_part(path: Path) -> "dict[str, Tensor]":
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors: dict[str, Tensor] = load_file(path)
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path} cannot be read: {reason_of(error)}") from error
    for name, tensor in tensors.items():
        if not tensor.is_floating_point():
            raise WeightsError(f"{path}: tensor {name} is of {tensor.dtype}, not of floating-point numbers")
        # The sum tells in a thirtieth of the time, unless it is out of range itself.
        if not tensor.sum(dtype=torch.float32).isfinite() and not tensor.isfinite().all():
            raise WeightsError(f"{path}: tensor {name} has values that are infinite or no number")
    return tensors


def check_tensors_fit(path: Path, expected: "Mapping[str, Tensor]", found: "Mapping[str, Tensor]") -> None:
    """Raise WeightsError, in one line, unless names and shapes are the same to the last one."""
    if missing := sorted(expected.keys() - found.keys()):
        raise WeightsError(f"{path} does not fit: {len(missing)} missing, first {missing[0]}")
    if unknown := sorted(found.keys() - expected.keys()):
        raise WeightsError(f"{path} does not fit: {len(unknown)} unknown, first {unknown[0]}")
    for name, tensor in expected.items():
        if found[name].shape != tensor.shape:
            shapes = f"{tuple(found[name].shape)} instead of {tuple(tensor.shape)}"
            raise WeightsError(f"{path} does not fit: {name} is {shapes}")


def locate_weights(source: str | Path, revision: str | None = None, access: HubAccess | None = None) -> Path:
    """The weights file that `source` names: a file, a folder that holds one, or a repository user/name on the Hub.

    Of weights in parts it is one of them; `read_tensors` finds the others.

    Only for what has the form user/name, and is neither a file nor in a folder that is there, is the Hub asked.
    Raises WeightsError.
    """
    name, path = str(source), Path(source)
    if path.is_file():
        return path
    if name and path.is_dir():
        return _weights_in(path)
    if path.suffix != ".safetensors" and name.count("/") == 1 and not path.parent.exists():
        return download(name, FILE_NAME, revision, access or HubAccess())
    hint = "; a model on the Hub is named user/name" if name and "/" not in name else ""
    raise WeightsError(f"{name!r}: no such file or folder{hint}")


def _weights_in(folder: Path) -> Path:
    """The one file, or the first part, that a folder holds."""
    parts = sorted(file for file in folder.iterdir() if _PART.fullmatch(file.name))
    counts = {file.stem.rpartition("-")[2] for file in parts}
    whole = [folder / FILE_NAME] if (folder / FILE_NAME).is_file() else []
    if len(whole) + len(counts) > 1:
        raise WeightsError(f"{folder} holds several weights: {', '.join(file.name for file in [*whole, *parts])}")
    if not whole and not parts:
        raise WeightsError(f"{folder} holds no {FILE_NAME}: is its training finished?")
    return whole[0] if whole else parts[0]
