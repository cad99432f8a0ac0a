"""What `--weights` names, found and told apart by headers alone: no network is loaded, and neither is torch."""

from dataclasses import dataclass
from pathlib import Path

from dynet.errors import MissingExtra, WeightsError
from dynet.extras import require
from dynet.model.safetensors_header import check_header
from dynet.model.variants import Variant, choose_variants
from dynet.model.weights import METADATA_KEY, WeightsHeader, locate_weights, read_header

SUFFIXES = (".safetensors", ".pth", ".pt", ".ckpt")
"""What spandrel reads: safetensors, checkpoints of torch (by a reader that only makes tensors), and TorchScript."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundWeights:
    """A weights file, and what its header says."""

    file: Path
    header: WeightsHeader | None
    """None for a network of another kind than DyNet: only the loaded network says what it is."""

    def check_variants(self, names: str | None) -> tuple[Variant, ...] | None:
        """Return the variants that `--variants` names, the deepest for None; None where only the network knows them.

        Raises:
            UsageError: The weights have no such variant, or one is named twice.
        """
        return None if self.header is None else choose_variants(names, self.header.variants)


def find_any_weights(weights: str) -> FoundWeights:
    """Find the file that `--weights` of evaluate, restore and demo names, and read its header.

    Args:
        weights: What `dynet.model.weights.locate_weights` accepts: a file, a folder, or a repository on the Hub.

    Raises:
        WeightsError: There is no such file, it is damaged, or it needs spandrel, which is not installed.
    """
    file = locate_weights(weights)
    if not _is_foreign(file):
        return FoundWeights(file=file, header=read_header(file))
    try:
        require("spandrel")
    except MissingExtra as error:
        raise WeightsError(
            f"{file} is not a weights file of dynet; `dynet convert` turns a released one into one, and for other "
            f"networks {error}"
        ) from error
    return FoundWeights(file=file, header=None)


def _is_foreign(file: Path) -> bool:
    """Return whether to ask spandrel: a checkpoint of torch, or tensors without the header of a weights file."""
    from safetensors import SafetensorError, safe_open

    if file.suffix.lower() not in SUFFIXES:
        return False
    if file.suffix.lower() != ".safetensors":
        return True
    try:
        check_header(file)
        with safe_open(file, framework="np") as tensors:
            return METADATA_KEY not in (tensors.metadata() or {})
    except (SafetensorError, OSError, WeightsError):
        return False  # damaged: the reader of weights says in what way
