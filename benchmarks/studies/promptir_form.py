"""The four networks of `against_promptir.py`: DyNet at two depths, and two networks whose blocks share no weights.

PromptIR (arXiv 2306.13090) has as many blocks of their own as DyNet-L applies its shared ones, and its prompts in the
decoder. It is written here from the description in the papers; at full width it has the 35.59 M parameters and, at
224 x 224, the 132.2 GMACs that ../shared/reference gives for it (`check_published_size`).
"""

from dataclasses import astuple
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from dynet import DyNet
from dynet.model.blocks import TransformerBlock
from dynet.model.variants import LARGE, SMALL, Variant

LEVELS = ("encoder1", "encoder2", "encoder3", "latent", "decoder3", "decoder2", "decoder1")
_REPEATS_OF_LEVEL = (0, 1, 2, 3, 2, 1, 0)
PUBLISHED_PARAMETERS, PUBLISHED_GMACS = 35.59e6, 132.2
_UNUSED = 112_896 + 102_400
"""Parameters of two times three 1x1 convolutions that the published network has and never calls."""


class OwnBlocks(nn.Module):
    """As many transformer blocks as a level repeats its shared one, each with its own weights."""

    def __init__(self, block: TransformerBlock, count: int) -> None:
        """Build blocks of the shape of another one.

        Args:
            block: The shared block.
            count: The number of blocks.
        """
        super().__init__()
        channels = block.norm_attention.weight.numel()
        self.blocks = nn.ModuleList(TransformerBlock(channels, block.attention.heads) for _ in range(count))

    def forward(self, x: Tensor, repeats: int) -> Tensor:
        """Apply all blocks to x (B, C, H, W), of the same shape; `repeats` must be their number."""
        if repeats != len(self.blocks):
            raise ValueError(f"{len(self.blocks)} blocks cannot be applied {repeats} times")
        for block in self.blocks:
            x = block(x)
        return x


def build(form: str, shape: dict[str, Any]) -> tuple[DyNet, Variant]:
    """Return a network with random weights, and the depth that it is run at.

    Args:
        form: `DyNet-S`, `DyNet-L`, `DyNet-L, not shared` or `PromptIR`.
        shape: Arguments of DyNet besides where its prompts are.
    """
    model = DyNet(**shape, prompts_at="decoder" if form == "PromptIR" else "skips")
    variant = SMALL if form == "DyNet-S" else LARGE
    if form in ("DyNet-L, not shared", "PromptIR"):
        counts = astuple(variant.schedule)
        for name, level in zip(LEVELS, _REPEATS_OF_LEVEL, strict=True):
            setattr(model, name, OwnBlocks(getattr(model, name), counts[level]))
    return model, variant


def size_of(form: str, shape: dict[str, Any], side: int = 224) -> tuple[int, float]:
    """Return the parameters of a network, and the billions of multiply-adds for an image of side x side pixels."""
    with torch.device("meta"):
        model, variant = build(form, shape)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(torch.empty(1, 3, side, side, device="meta"), variant)
    return sum(parameter.numel() for parameter in model.parameters()), float(counter.get_total_flops()) / 2e9


def check_published_size() -> None:
    """Stop if PromptIR's form at full width has not the published number of parameters and of multiply-adds."""
    parameters, gmacs = size_of("PromptIR", {})
    if abs(parameters + _UNUSED - PUBLISHED_PARAMETERS) > 0.005e6 or abs(gmacs - PUBLISHED_GMACS) > 0.05:
        raise SystemExit(f"PromptIR's form has {parameters + _UNUSED:,} parameters and {gmacs:.1f} GMACs at 224 x 224")


if __name__ == "__main__":
    check_published_size()
    print("parameters and GMACs at 224 x 224: {:,} and {:.1f}".format(*size_of("PromptIR", {})))
