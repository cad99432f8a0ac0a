"""Checkpoints of other programs: which networks a file of torch or safetensors holds, and which one is taken.

A checkpoint is a nest of dictionaries, and its keys a path to each tensor: `state_dict.net._orig_mod.output.weight`.
The network is found by the end of one path, that of its first convolution; what comes before is its wrapper, whatever
program wrote it:

- `params`, `params_ema` of BasicSR; `state_dict` of Lightning, with the name of the module's attribute (`net.`,
  `model.`); `model`, `ema` of others; any of them in any other;
- `module.` of DistributedDataParallel and AveragedModel, `_orig_mod.` of torch.compile, also inside the network.

Of several networks in one file the averaged one is taken; two others are refused, unless they are equal.
"""

import contextlib
import re
import warnings
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dynet.errors import WeightsError, reason_of
from dynet.model.safetensors_header import check_header

if TYPE_CHECKING:
    from torch import Tensor

_TAR_AT, _TAR = 257, b"ustar"  # how the first versions of torch saved
MAX_BYTES = 64 * 66_000_000
"""The largest checkpoint: 64 times the parameters of the network at full width in float32.

One with an average of the weights and the state of an optimizer has four times as much.
"""
_MAX_DEPTH = 16
"""Of dictionaries in dictionaries."""
_INSIDE = frozenset({"module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"})
"""Parts of a name that wrappers of torch put into it; no module of the network has such a name."""
_LATEST = "current_model_state"
"""Where Lightning's WeightAveraging keeps what it averages; the average is in `state_dict`."""
_UNKNOWN_CLASS = re.compile(r"GLOBAL ([^\s]+) was not an allowed global")
_ADVICE = re.compile(r"weights_only|torch\.load|\x1b")
"""What shows that a message of torch is advice to its user, not a reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundNetwork:
    """A network in a checkpoint."""

    wrapper: str
    """The keys that lead to it, joined by points; empty for a bare state dict."""
    tensors: "Mapping[str, Tensor]"
    """By their names inside the network."""
    others: tuple[str, ...] = ()
    """The wrappers of the networks that were not taken."""

    @property
    def is_averaged(self) -> bool:
        """Whether its wrapper says that it is a moving average of weights."""
        return any("ema" in key.lower().split("_") for key in self.wrapper.split("."))

    @property
    def is_being_averaged(self) -> bool:
        """Whether it is the latest step of a network whose average is in the same file, by Lightning's callback."""
        return self.wrapper.startswith(_LATEST)


def read_network(path: Path, marker: str) -> FoundNetwork:
    """Read the network of a checkpoint, without running any code that is in it.

    Args:
        path: A file of `torch.save`, or of safetensors.
        marker: The full name of one tensor of the network.

    Raises:
        WeightsError: The file is missing, too large or damaged, holds other objects than tensors and plain values, or
            holds no network with the marker, or several.
    """
    loaded = _load(path)
    if not isinstance(loaded, dict):
        raise WeightsError(f"{path} holds no state dict")
    tensors = list(_tensors(loaded))
    found = _networks(tensors, marker.split("."))
    if not found:
        message = f"it has no parameter '{marker}'" if tensors else "it holds no tensors"
        raise WeightsError(f"{path} is not a released DyNet: {message}")
    chosen, *rivals = _preferred(found)
    if not all(_are_equal(chosen, rival) for rival in rivals):
        names = ", ".join(network.wrapper or "the file itself" for network in [chosen, *rivals])
        raise WeightsError(f"{path} contains several networks, and it is not clear which to take: {names}")
    others = tuple(network.wrapper for network in found if network is not chosen)
    return FoundNetwork(wrapper=chosen.wrapper, tensors=chosen.tensors, others=others)


def _preferred(found: list[FoundNetwork]) -> list[FoundNetwork]:
    averaged = [network for network in found if network.is_averaged]
    return averaged or [network for network in found if not network.is_being_averaged] or found


def _are_equal(one: FoundNetwork, other: FoundNetwork) -> bool:
    """Return whether two networks have the same weights, such as a module and its compiled form."""
    import torch

    if one.tensors.keys() != other.tensors.keys():
        return False
    return all(torch.equal(tensor, other.tensors[name]) for name, tensor in one.tensors.items())


def _load(path: Path) -> Any:
    import torch

    check_is_checkpoint(path)
    _check_size(path)
    if _is_safetensors(path):
        from safetensors.torch import load_file

        check_header(path)
        try:
            return load_file(path)
        except Exception as error:  # of several libraries, for a type that one of them does not know
            raise WeightsError(f"{path} cannot be read: {reason_of(error)}") from error
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals(_plain_classes()):
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except (Exception, MemoryError) as error:
        # Any Exception: for broken pickles torch raises what its interpreter of them meets, such as TypeError.
        raise WeightsError(f"{path} {_why_unreadable(path, error)}") from error


def check_is_checkpoint(path: Path) -> None:
    """Check the kind of a file by its first bytes, without torch, which takes seconds to load.

    Raises:
        WeightsError: There is no such file, or it is neither of safetensors nor of torch.
    """
    if not path.is_file():
        raise WeightsError(f"{path}: {'is a folder' if path.is_dir() else 'no such file'}")
    with path.open("rb") as file:
        first = file.read(_TAR_AT + len(_TAR))
    if not (first.startswith((b"PK", b"\x80")) or first[8:9] == b"{" or first[_TAR_AT:] == _TAR):
        raise WeightsError(f"{path} is not a checkpoint of tensors, or is damaged")


def _check_size(path: Path) -> None:
    """Refuse a file that would take more memory than a checkpoint of the network can, before torch allocates it."""
    size = path.stat().st_size
    with contextlib.suppress(zipfile.BadZipFile, OSError), zipfile.ZipFile(path) as archive:
        size = max(size, sum(entry.file_size for entry in archive.infolist()))
    if size > MAX_BYTES:
        limit = f"{MAX_BYTES / 1e9:.1f} GB"
        raise WeightsError(f"{path}: {size / 1e9:.1f} GB of content; a checkpoint of a DyNet has less than {limit}")


def _is_safetensors(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(9)[8:] == b"{"


def _plain_classes() -> list[Any]:
    """Return what Lightning stores beside tensors, for torch to allow: values without behaviour of their own."""
    import argparse
    import pathlib

    import numpy as np

    scalar = type(np.float64(0)).__reduce__(np.float64(0))[0]  # numpy's function that makes a number from its bytes
    attribute_dict = ("lightning.fabric.utilities.data", "lightning_fabric.utilities.data")
    return [
        argparse.Namespace,
        np.dtype,
        *(type(np.dtype(code)) for code in "?bBhHiIlLqQefd"),
        *((scalar, f"numpy.{module}.multiarray.scalar") for module in ("core", "_core")),
        *((pathlib.PurePosixPath, f"{module}.PosixPath") for module in ("pathlib", "pathlib._local")),
        *((pathlib.PureWindowsPath, f"{module}.WindowsPath") for module in ("pathlib", "pathlib._local")),
        *((dict, f"{module}.AttributeDict") for module in attribute_dict),
    ]


def _why_unreadable(path: Path, error: BaseException) -> str:
    """Return what a file is that torch does not read, without its advice, which is about running code of strangers."""
    if match := _UNKNOWN_CLASS.search(str(error)):
        return (
            f"holds objects of Python, such as {match[1][:100]}, whose code is not run; save its state_dict() instead"
        )
    with contextlib.suppress(zipfile.BadZipFile, OSError), zipfile.ZipFile(path) as archive:
        if any(name.endswith("/constants.pkl") for name in archive.namelist()):
            return "is a TorchScript program, whose code is not run; save its state_dict() instead"
    reason = "" if _ADVICE.search(str(error)) else f": {reason_of(error)}"
    return f"is not a checkpoint of tensors, or is damaged{reason}"


def _tensors(
    loaded: Mapping[Any, Any], path: tuple[str, ...] = (), parents: tuple[int, ...] = ()
) -> "Iterator[tuple[list[str], Tensor]]":
    """Yield each tensor in a nest of dictionaries with the parts of its name."""
    import torch

    for key, value in loaded.items():
        if isinstance(value, torch.Tensor):
            yield ".".join((*path, str(key))).split("."), value
        elif isinstance(value, dict) and id(value) not in parents and len(path) < _MAX_DEPTH:
            yield from _tensors(value, (*path, str(key)), (*parents, id(value)))


def _networks(tensors: "Iterable[tuple[list[str], Tensor]]", marker: list[str]) -> list[FoundNetwork]:
    """Return the networks in tensors: what is before the marker in its name is before all names of its network."""
    tensors = list(tensors)
    wrappers = {tuple(parts[: _start(parts, marker)]) for parts, _ in tensors if _ends_with(parts, marker)}
    networks: dict[tuple[str, ...], dict[str, Tensor]] = {wrapper: {} for wrapper in sorted(wrappers)}
    for parts, tensor in tensors:
        own = max((wrapper for wrapper in wrappers if parts[: len(wrapper)] == list(wrapper)), key=len, default=None)
        if own is not None:
            networks[own][".".join(part for part in parts[len(own) :] if part not in _INSIDE)] = tensor
    return [FoundNetwork(wrapper=".".join(wrapper), tensors=found) for wrapper, found in networks.items()]


def _ends_with(parts: list[str], marker: list[str]) -> bool:
    return [part for part in parts if part not in _INSIDE][-len(marker) :] == marker


def _start(parts: list[str], marker: list[str]) -> int:
    """Return where the marker begins in a name that ends with it."""
    return len(parts) - 1 - parts[::-1].index(marker[0])
