"""What evaluating, the demo page and restoring need of a network: named variants, and images of any size."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from dynet.arguments import shown
from dynet.errors import UsageError
from dynet.model.blocks import TransformerBlock
from dynet.model.variants import Variant, deepest
from dynet.model.weights import Architecture


class VariantNetwork(nn.Module):
    """A network that restores images by one or more variants: a DyNet, or one of another kind with a single variant.

    Attributes:
        architecture: The shape of a DyNet; None for a network of another kind, which has no reuse schedules, cannot run
            in bands, and takes an unknown amount of memory.
        variants: What `forward` accepts as its second argument.
    """

    architecture: Architecture | None
    variants: tuple[Variant, ...]

    def blocks(self) -> Iterator[TransformerBlock]:
        """Return the transformer blocks, used to report progress within an image; networks of other kinds have none."""
        return iter(())

    def forward(self, x: Tensor, variant: Variant | str) -> Tensor:
        """Restore images, (B, 3, H, W) float of sRGB in [0, 1], to the same shape."""
        raise NotImplementedError

    def named_variant(self, variant: Variant | str | None) -> Variant:
        """Return the variant of this name; a `Variant` stays as it is, and None is the deepest.

        Raises:
            UsageError: The weights have no variant of this name.
        """
        if isinstance(variant, Variant):
            return variant
        if variant is None:
            return deepest(self.variants)
        for known in self.variants:
            if known.name == variant:
                return known
        names = ", ".join(known.name for known in self.variants)
        raise UsageError(f"variant: these weights have no variant {shown(variant)}, but {names}")


def check_images(x: object, parameter: Tensor) -> None:
    """Check the argument of `forward`, which torch would only refuse somewhere inside the network.

    Args:
        x: What the network was called with.
        parameter: One of the network, for its type and device.

    Raises:
        UsageError: It is no tensor of images; the message names the shape, the type or the device.
    """
    if torch.compiler.is_compiling() or torch._C._get_tracing_state() is not None:
        return  # sizes are symbols there
    if not isinstance(x, Tensor):
        raise UsageError(f"x: {shown(x)} is not a tensor; dynet.restore takes images and arrays")
    if x.ndim != 4 or x.shape[1] != 3 or 0 in x.shape:
        batch = "; x[None] makes a batch of one image" if x.ndim == 3 and x.shape[0] == 3 else ""
        raise UsageError(f"x: has the shape {tuple(x.shape)}, and (B, 3, H, W) is expected{batch}")
    if not x.is_floating_point():
        raise UsageError(f"x: is of {x.dtype}, and floating-point values in [0, 1] are expected")
    if x.device != parameter.device:
        raise UsageError(f"x: is on {x.device}, and the network on {parameter.device}")
    if x.dtype != parameter.dtype and not torch.is_autocast_enabled(x.device.type):
        raise UsageError(f"x: is of {x.dtype}, and the network of {parameter.dtype}")
