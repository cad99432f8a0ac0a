"""Networks of other architectures (NAFNet, SCUNet, Restormer, …) from files that spandrel loads."""

import importlib
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from torch import Tensor

from dynet.errors import WeightsError, reason_of
from dynet.extras import require
from dynet.inference.memory import ran_out_of_memory
from dynet.model.file_kind import SUFFIXES
from dynet.model.safetensors_header import check_header
from dynet.model.variant_network import VariantNetwork, check_images
from dynet.model.variants import ReuseSchedule, Variant

_EXTRA_ARCHITECTURES = "spandrel_extra_arches"  # Restormer and others whose code is not free for all uses


class ForeignNetwork(VariantNetwork):
    """A network that spandrel has loaded; its one variant has the name of its architecture.

    It pads images by spandrel's rule, and its output is clamped to [0, 1].
    """

    def __init__(self, descriptor: Any) -> None:
        """Take over a descriptor of a restoring network from 3 to 3 channels."""
        super().__init__()
        self.architecture = None
        name = re.sub(r"[^a-zA-Z0-9_-]", "-", str(descriptor.architecture.name)) or "network"
        # A network without reuse applies each part once; reports leave the numbers out.
        self.variants = (Variant(name, ReuseSchedule(1, 1, 1, 1)),)
        self.model = descriptor.model
        self._descriptor = descriptor

    def forward(self, x: Tensor, variant: Variant | str | None = None) -> Tensor:
        """Restore images, (B, 3, H, W) float32 of sRGB in [0, 1], to the same shape, without gradients.

        Raises:
            UsageError: `x` is no such tensor, or the network has no variant of this name.
            WeightsError: The network fails for images of this size, or for all.
        """
        check_images(x, next(self.model.parameters()))
        self.named_variant(variant)
        try:
            restored: Tensor = self._descriptor(x)
        except Exception as error:  # code of others, with whatever sizes a file says
            if ran_out_of_memory(error):
                raise
            name, (height, width) = self.variants[0].name, x.shape[-2:]
            raise WeightsError(f"{name} fails for {width}×{height} pixels: {reason_of(error)}") from error
        return restored


def load_spandrel(path: str | Path) -> ForeignNetwork:
    """Load a network of any architecture that spandrel knows, to be evaluated or tried like a DyNet.

    If the package `spandrel_extra_arches` is installed, its architectures are known, too. Nothing is downloaded.

    Args:
        path: A file that ends in .safetensors, .pth, .pt or .ckpt.

    Returns:
        The network on the CPU, in float32 and in evaluation mode.

    Raises:
        WeightsError: The file is missing or holds no network that spandrel knows, or a network that changes the size of
            images, needs a mask, or does not map 3 channels to 3. The message names the file.
        MissingExtra: spandrel is not installed.
    """
    require("spandrel")
    path = Path(path)
    if not path.is_file():
        raise WeightsError(f"{str(path)!r}: no such file")
    if path.suffix.lower() not in SUFFIXES:
        raise WeightsError(f"{path}: a file for spandrel ends in {', '.join(SUFFIXES)}")
    if path.suffix.lower() == ".safetensors":
        check_header(path)
    descriptor = _load(path)
    _check_use(path, descriptor)
    network = ForeignNetwork(descriptor.float()).eval()
    for name, parameter in network.named_parameters():
        if not parameter.isfinite().all():
            raise WeightsError(f"{path}: tensor {name} has values that are infinite or not a number")
    return network


def _check_use(path: Path, descriptor: Any) -> None:
    from spandrel import ImageModelDescriptor

    what = f"{path} is of {descriptor.architecture.name}"
    if not isinstance(descriptor, ImageModelDescriptor):
        raise WeightsError(f"{what}, which needs a mask beside the image")
    if descriptor.scale != 1:
        raise WeightsError(
            f"{what} and enlarges images {descriptor.scale} times: only networks that keep their size fit"
        )
    channels = descriptor.input_channels, descriptor.output_channels
    if channels != (3, 3):
        raise WeightsError(f"{what} and turns {channels[0]} channels into {channels[1]}: only RGB to RGB fits")


def _load(path: Path) -> Any:
    from spandrel import MAIN_REGISTRY, ModelLoader, UnsupportedModelError

    from dynet.spandrel.architecture import add_dynet

    registry = MAIN_REGISTRY.copy()  # what this process registers elsewhere stays as it is
    if find_spec(_EXTRA_ARCHITECTURES) is not None:
        registry.add(*importlib.import_module(_EXTRA_ARCHITECTURES).EXTRA_REGISTRY, ignore_duplicates=True)
    add_dynet(registry)
    try:
        return ModelLoader(registry=registry).load_from_file(path)
    except WeightsError as error:
        raise WeightsError(f"{path}: {error}") from error
    except UnsupportedModelError as error:
        raise WeightsError(
            f"{path} holds no network that spandrel knows; `dynet convert` turns a released DyNet into one of dynet"
        ) from error
    except MemoryError:
        raise
    except Exception as error:  # detection and loading index into whatever a file has, and fail in any way
        raise WeightsError(f"{path} cannot be loaded by spandrel: {reason_of(error)}") from error
