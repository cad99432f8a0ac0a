"""The one place that decides what `--weights` names: a DyNet, or a network of another kind that spandrel loads."""

from pathlib import Path

from dynet.errors import MissingExtra, WeightsError
from dynet.model.network import DyNet
from dynet.model.safetensors_header import check_header
from dynet.model.training_record import TrainingRecord
from dynet.model.variant_network import VariantNetwork
from dynet.model.weights import METADATA_KEY, locate_weights, read_header
from dynet.spandrel.foreign_network import SUFFIXES, load_spandrel


def load_any_weights(weights: str) -> tuple[VariantNetwork, Path]:
    """Load the network that `--weights` of evaluate, restore and demo names.

    Args:
        weights: What `dynet.model.weights.locate_weights` accepts: a file, a folder, or a repository on the Hub.

    Returns:
        The network on the CPU in evaluation mode, and its file.

    Raises:
        WeightsError: There is no such file, or it holds no network that can restore images.
    """
    file = locate_weights(weights)
    if not _is_foreign(file):
        return DyNet.from_pretrained(file), file
    try:
        return load_spandrel(file), file
    except MissingExtra as error:
        raise WeightsError(
            f"{file} is not a weights file of dynet; `dynet convert` turns a released one into one, and for other "
            f"networks {error}"
        ) from error


def training_record(model: VariantNetwork, file: Path) -> TrainingRecord | None:
    """Return how weights that `load_any_weights` loaded were trained; None if their file does not say so."""
    return None if model.architecture is None else read_header(file).training


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
