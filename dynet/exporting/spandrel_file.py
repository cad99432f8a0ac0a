"""Files for spandrel, the loader of ComfyUI and chaiNNer: tensors that say themselves what network they are of."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import cast

import torch
from safetensors.torch import save
from torch import Tensor

from dynet.model.network import DyNet
from dynet.model.variants import Variant
from dynet.spandrel.file_settings import SpandrelSettings
from dynet.spandrel.network import state_dict_of


def serialise(
    model: DyNet, variant: Variant, about: Mapping[str, str], *, local_statistics: int | None = None
) -> bytes:
    """Return the variant as a safetensors file that spandrel loads after `dynet.spandrel.register()`.

    Args:
        model: The network.
        variant: The depth to run.
        about: Texts for the file's metadata, which spandrel ignores.
        local_statistics: The side in pixels of the windows of `dynet.inference.tlc`; None for none.
    """
    settings = SpandrelSettings(architecture=model.architecture, variant=variant, local_statistics=local_statistics)
    text = "; ".join(f"{key}: {value}" for key, value in sorted(about.items()))
    # One key: safetensors writes several in an order that changes from run to run.
    return save(state_dict_of(model, settings), metadata={"about": text})


def load(path: Path) -> Callable[[Tensor], Tensor]:
    """Load a file as a function of (B, 3, H, W) float32 whose output is not clamped, unlike that of spandrel's call."""
    from spandrel import ArchRegistry, ModelLoader

    from dynet.spandrel.architecture import add_dynet

    registry = ArchRegistry()
    add_dynet(registry)
    descriptor = ModelLoader(registry=registry).load_from_file(path).eval()

    def run(image: Tensor) -> Tensor:
        with torch.inference_mode():
            return cast(Tensor, descriptor.model(image))

    return run
