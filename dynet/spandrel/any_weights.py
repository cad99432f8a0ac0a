"""The one place that loads what `--weights` names: a DyNet, or a network of another kind that spandrel loads."""

from pathlib import Path

from dynet.model.file_kind import find_any_weights
from dynet.model.network import DyNet
from dynet.model.training_record import TrainingRecord
from dynet.model.variant_network import VariantNetwork
from dynet.model.weights import read_header
from dynet.spandrel.foreign_network import load_spandrel


def load_any_weights(weights: str) -> tuple[VariantNetwork, Path]:
    """Load the network that `--weights` of evaluate, restore and demo names.

    Args:
        weights: What `dynet.model.weights.locate_weights` accepts: a file, a folder, or a repository on the Hub.

    Returns:
        The network on the CPU in evaluation mode, and its file.

    Raises:
        WeightsError: There is no such file, or it holds no network that can restore images.
    """
    found = find_any_weights(weights)
    return load_spandrel(found.file) if found.header is None else DyNet.from_pretrained(found.file), found.file


def training_record(model: VariantNetwork, file: Path) -> TrainingRecord | None:
    """Return how weights that `load_any_weights` loaded were trained; None if their file does not say so."""
    return None if model.architecture is None else read_header(file).training
