"""The network in the form that is exported: one variant, for images of any height and width."""

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torch.fx.experimental import _config as symbolic_sizes

from dynet.model.network import STRIDE, DyNet
from dynet.model.variants import Variant

SMALLEST = STRIDE + 1  # side in pixels: below it the deepest features have a side of 1, which torch treats specially
EXAMPLE = (37, 53)  # height and width for tracing: no multiples of 8, and not equal


class OneVariant(nn.Module):
    """One variant of a network; its output equals `model(image, variant)` bit for bit.

    Only the padding is written differently, without an `if` on a size. The network itself then has nothing to pad.
    """

    def __init__(self, model: DyNet, variant: Variant) -> None:
        super().__init__()
        self.network, self.variant = model, variant

    def forward(self, image: Tensor) -> Tensor:
        """Restore images, (B, 3, H, W) float in [0, 1], to the same shape, not clamped."""
        height, width = image.shape[-2:]
        padded = image.index_select(2, padded_indices(height)).index_select(3, padded_indices(width))
        restored: Tensor = self.network(padded, self.variant)
        return restored[..., :height, :width]


def padded_indices(size: int) -> Tensor:
    """Return which of `size` rows is at each row of the padded image.

    It is the rule of `dynet.model.network.pad_to_stride` in tensor arithmetic, since a traced size is a symbol.

    Returns:
        (size rounded up to a multiple of 8,) int64.
    """
    last = size - 1
    indices = torch.arange((size + STRIDE - 1) // STRIDE * STRIDE)
    mirrored = last - (indices - last).abs()
    too_short = mirrored[-1] < 0  # fewer rows than a reflection needs
    return torch.where(too_short, indices.clamp(max=last), mirrored)


def trace(model: DyNet, variant: Variant, *, any_batch: bool) -> ExportedProgram:
    """Trace the variant to a graph of torch operators, for any height and width from SMALLEST.

    Args:
        model: The network.
        variant: The depth to export.
        any_batch: Whether the graph is for any number of images, which torch itself then only runs for more than one;
            otherwise it is for one image.
    """
    sizes = {2: Dim("height", min=SMALLEST), 3: Dim("width", min=SMALLEST)}
    if any_batch:
        sizes[0] = Dim("batch")
    image = torch.zeros(2 if any_batch else 1, 3, *EXAMPLE)
    # Without it torch must prove for every stride that it is not 1, and cannot. torch.onnx sets the same.
    with torch.no_grad(), symbolic_sizes.patch(backed_size_oblivious=True):  # type: ignore[attr-defined]
        program = torch.export.export(OneVariant(model, variant).eval(), (image,), dynamic_shapes={"image": sizes})
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # it contains paths of this machine
    return program
