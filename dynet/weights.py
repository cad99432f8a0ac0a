"""The weights file: safetensors with the network's configuration in its metadata.

A file is complete or absent: it is written under a temporary name and renamed.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, astuple, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dynet.errors import WeightsError, WriteError, reason_of
from dynet.variants import ReuseSchedule, Variant

if TYPE_CHECKING:
    from torch import Tensor

FILE_NAME = "weights.safetensors"
KEY = "dynet"
FORMAT = 1


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
        for level, heads in enumerate(self.heads):
            if self.dim * 2**level % heads:
                raise ValueError(f"heads: {heads} heads do not divide the channels of level {level + 1}")
        for channels, prompt in zip((2, 4, 8), self.prompt_channels, strict=True):
            if (self.dim * channels + prompt) % 4:
                raise ValueError(f"prompt_channels: {self.dim * channels} + {prompt} is not a multiple of 4 heads")

    def described(self) -> dict[str, object]:
        """The fields for a file's header; without `per_repeat` where it is 0, as in files from before it existed."""
        return {name: value for name, value in asdict(self).items() if name != "per_repeat" or value}

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
class Header:
    """What a weights file says of its tensors."""

    architecture: Architecture
    variants: tuple[Variant, ...]
    notes: Mapping[str, str]


def write_weights(
    path: Path,
    tensors: "Mapping[str, Tensor]",
    architecture: Architecture,
    variants: tuple[Variant, ...],
    notes: Mapping[str, str],
) -> None:
    """Write the file whole, or leave what was there before as it was."""
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    about = {
        "format": FORMAT,
        "architecture": architecture.described(),
        "variants": {variant.name: astuple(variant.schedule) for variant in variants},
        "notes": dict(notes),
    }
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


def read_header(path: Path) -> Header:
    """Read what a file of `write_weights` says of itself, without its tensors; anything else is refused."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            metadata = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path} cannot be read as safetensors: {error}") from error
    if KEY not in metadata:
        raise WeightsError(f"{path} is not a weights file of dynet; `dynet convert` turns a released one into one")
    try:
        about = json.loads(metadata[KEY])
        if about["format"] != FORMAT:
            raise ValueError(f"format {about['format']} instead of {FORMAT}")
        return Header(
            architecture=Architecture(**about["architecture"]),
            variants=tuple(Variant(name, ReuseSchedule(*times)) for name, times in about["variants"].items()),
            notes=about["notes"],
        )
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsError(f"{path}: the configuration inside is unusable: {error}") from error


def read_tensors(path: Path) -> "dict[str, Tensor]":
    """Read the tensors of a file whose header has been read."""
    from safetensors.torch import load_file

    return load_file(path)


def locate_weights(source: str | Path, revision: str | None = None) -> Path:
    """The weights file that `source` names: a file, a folder that holds one, or a repository on the Hub."""
    path = Path(source)
    if path.is_file():
        return path
    if path.is_dir():
        if (path / FILE_NAME).is_file():
            return path / FILE_NAME
        raise WeightsError(f"{path} holds no {FILE_NAME}: is its training finished?")
    # A repository is user/name or name; of what else looks like a path the Hub need not be asked.
    if str(source) == "" or path.suffix == ".safetensors" or (path.parent != Path() and path.parent.exists()):
        raise WeightsError(f"{str(source)!r}: no such file or folder")
    return _download(str(source), revision)


def _download(repo_id: str, revision: str | None) -> Path:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(hf_hub_download(repo_id, FILE_NAME, revision=revision))
    except HFValidationError as error:
        raise WeightsError(f"{repo_id}: no such file or folder") from error
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise WeightsError(
            f"{repo_id}: no such file or folder, and no {FILE_NAME} to be had under that name from the Hub "
            f"({type(error).__name__})"
        ) from error
