"""The prompt block: learnt features, mixed according to the image, that tell the decoder what to restore."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dynet.model.blocks import TransformerBlock

HEADS = 4


class PromptBlock(nn.Module):
    """A block that mixes learnt prompts by the global mean of the features, appends them, and reduces the channels.

    The prompts are one 4-D parameter (prompts, channels, size, size). The released code has a 5-D one, for
    which `.to(memory_format=torch.channels_last)` fails.

    Attributes:
        blend: The function that mixes the prompts; `dynet.inference.tlc` replaces it by one that uses local means.
    """

    def __init__(
        self, channels: int, out_channels: int, *, prompts: int, prompt_channels: int, prompt_size: int
    ) -> None:
        super().__init__()
        joined = channels + prompt_channels
        self.prompts = nn.Parameter(torch.rand(prompts, prompt_channels, prompt_size, prompt_size))
        self.choose = nn.Linear(channels, prompts)
        self.smooth = nn.Conv2d(prompt_channels, prompt_channels, 3, padding=1, bias=False)
        self.block = TransformerBlock(joined, HEADS)
        self.reduce = nn.Conv2d(joined, out_channels, 1, bias=False)
        self.blend: BlendFunction = blend_by_global_mean

    def forward(self, x: Tensor) -> Tensor:
        """Turn x (B, C, H, W) into (B, out_channels, H, W)."""
        joined = torch.cat([x, self.smooth(self.blend(self, x)).to(x.dtype)], dim=1)  # features first, prompt second
        out: Tensor = self.reduce(self.block(joined))
        return out

    def weights_for(self, mean: Tensor) -> Tensor:
        """Return the weight of each prompt, (..., prompts) in float32, for a mean (..., C) of the features."""
        scores: Tensor = self.choose(mean.to(self.choose.weight.dtype))
        return scores.float().softmax(dim=-1)


def blend_by_global_mean(block: PromptBlock, x: Tensor) -> Tensor:
    """Mix the prompts by the mean of all of x (B, C, H, W), and return (B, prompt_channels, H, W)."""
    weights = block.weights_for(x.mean(dim=(2, 3), dtype=torch.float32)).to(block.prompts.dtype)  # (B, prompts)
    mixed = torch.einsum("bp,pchw->bchw", weights, block.prompts)  # (B, prompt_channels, size, size)
    return F.interpolate(mixed, x.shape[-2:], mode="bilinear")


BlendFunction = Callable[[PromptBlock, Tensor], Tensor]
