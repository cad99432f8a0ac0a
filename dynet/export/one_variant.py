"""The network as an exporter sees it: one variant, for pictures whose height and width are not known yet."""

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torch.fx.experimental import _config as symbolic_sizes

from dynet.model.network import STRIDE, DyNet
from dynet.model.variants import Variant

SMALLEST = STRIDE + 1  # pixels a side: at up to 8 the deepest features have a side of 1, which torch treats apart
EXAMPLE = (37, 53)  # height and width that are traced: of no multiple of 8, and not equal


class OneVariant(nn.Module):
    """A variant of a network, the same function as `model(image, variant)` to the last bit.

    Only the padding is written in another way, one that needs no `if` on a size. The network then finds nothing left
    to pad.
    """

    def __init__(self, model: DyNet, variant: Variant) -> None:
        super().__init__()
        self.network, self.variant = model, variant

    def forward(self, image: Tensor) -> Tensor:
        """image: (B, 3, H, W) float in [0, 1] to the restored pictures, same shape, not clamped."""
        height, width = image.shape[-2:]
        padded = image.index_select(2, padded_places(height)).index_select(3, padded_places(width))
        restored: Tensor = self.network(padded, self.variant)
        return restored[..., :height, :width]


def padded_places(size: int) -> Tensor:
    """Which of `size` rows stands at each place of the padded picture: (size rounded up to a multiple of 8,) int64.

    The rule of `dynet.model.network.pad_to_stride`, in arithmetic on tensors: a size that is traced is a symbol.
    """
    last = size - 1
    places = torch.arange((size + STRIDE - 1) // STRIDE * STRIDE)
    mirrored = last - (places - last).abs()
    too_short = mirrored[-1] < 0  # fewer rows than a reflection takes
    return torch.where(too_short, places.clamp(max=last), mirrored)


def trace(model: DyNet, variant: Variant, *, any_batch: bool) -> ExportedProgram:
    """The variant as a graph of torch's operators, for any height and width from SMALLEST.

    `any_batch`: for any number of pictures, which torch itself then only runs for more than one; else for one.
    """
    sizes = {2: Dim("height", min=SMALLEST), 3: Dim("width", min=SMALLEST)}
    if any_batch:
        sizes[0] = Dim("batch")
    image = torch.zeros(2 if any_batch else 1, 3, *EXAMPLE)
    # Else torch asks of every stride whether it is 1, and cannot prove that it is not. torch.onnx sets the same.
    with torch.no_grad(), symbolic_sizes.patch(backed_size_oblivious=True):  # type: ignore[attr-defined]
        program = torch.export.export(OneVariant(model, variant).eval(), (image,), dynamic_shapes={"image": sizes})
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # it names the folders of this machine
    return program
