"""What evaluating, the demo page and restoring need of a network: named variants, and images of any size."""

from collections.abc import Iterator

from torch import Tensor, nn

from dynet.model.blocks import TransformerBlock
from dynet.model.variants import Variant
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

    def forward(self, x: Tensor, variant: Variant) -> Tensor:
        """Restore images, (B, 3, H, W) float of sRGB in [0, 1], to the same shape."""
        raise NotImplementedError
