"""The network in its published form, as a reference for ours: eager, float32, plain layout.

Reimplemented from the paper's description (`../shared/reference/dynet-paper.md`), including what slows the released
network: a norm of single operations on (B, H·W, C), queries and keys that are normalised as whole tensors, a prompt of
five dimensions, three convolutions that are never called. Parameters have the released names, so that
`dynet.model.convert.converted_name` maps each of them to ours.
"""

from dataclasses import astuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dynet.model.convert import UNUSED_PARAMETERS, converted_name
from dynet.model.network import DyNet
from dynet.model.variants import Variant
from dynet.model.weights import Architecture


class _PixelNorm(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, H*W, C) to the same shape."""
        mean = x.mean(-1, keepdim=True)
        variance = x.var(-1, keepdim=True, unbiased=False)
        return (x - mean) / torch.sqrt(variance + 1e-5) * self.weight + self.bias


class _Norm(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = _PixelNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same shape."""
        rows = self.body(x.flatten(2).transpose(1, 2))  # (B, H*W, C)
        return rows.transpose(1, 2).reshape(x.shape)


class _Attention(nn.Module):
    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.temperature = nn.Parameter(torch.ones(heads, 1, 1))
        self.qkv = nn.Conv2d(channels, channels * 3, 1, bias=False)
        self.qkv_dwconv = nn.Conv2d(channels * 3, channels * 3, 3, padding=1, groups=channels * 3, bias=False)
        self.project_out = nn.Conv2d(channels, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same shape."""
        batch, channels, height, width = x.shape
        parts = self.qkv_dwconv(self.qkv(x)).chunk(3, dim=1)
        q, k, v = (part.reshape(batch, self.heads, channels // self.heads, height * width) for part in parts)
        q, k = F.normalize(q, dim=-1), F.normalize(k, dim=-1)
        weights = (q @ k.transpose(-2, -1) * self.temperature).softmax(dim=-1)
        return self.project_out((weights @ v).reshape(x.shape))


class _FeedForward(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = int(channels * 2.66)
        self.project_in = nn.Conv2d(channels, hidden * 2, 1, bias=False)
        self.dwconv = nn.Conv2d(hidden * 2, hidden * 2, 3, padding=1, groups=hidden * 2, bias=False)
        self.project_out = nn.Conv2d(hidden, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same shape."""
        first, second = self.dwconv(self.project_in(x)).chunk(2, dim=1)
        return self.project_out(F.gelu(first) * second)


class _Block(nn.Module):
    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = _Norm(channels), _Norm(channels)
        self.attn = _Attention(channels, heads)
        self.ffn = _FeedForward(channels)

    def forward(self, x: Tensor, times: int = 1) -> Tensor:
        """Map (B, C, H, W) to the same shape."""
        for _ in range(times):
            x = x + self.attn(self.norm1(x))
            x = x + self.ffn(self.norm2(x))
        return x


class _Prompt(nn.Module):
    def __init__(self, channels: int, prompts: int, prompt_channels: int, size: int) -> None:
        super().__init__()
        self.prompt_param = nn.Parameter(torch.rand(1, prompts, prompt_channels, size, size))
        self.linear_layer = nn.Linear(channels, prompts)
        self.conv3x3 = nn.Conv2d(prompt_channels, prompt_channels, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, prompt_channels, H, W)."""
        batch, _, height, width = x.shape
        weights = self.linear_layer(x.mean(dim=(-2, -1))).softmax(dim=1)
        every = self.prompt_param.repeat(batch, 1, 1, 1, 1)  # (B, prompts, prompt_channels, size, size)
        mixed = (weights[..., None, None, None] * every).sum(dim=1)
        return self.conv3x3(F.interpolate(mixed, (height, width), mode="bilinear"))


def _scale(channels: int, out: int, change: nn.Module) -> nn.Module:
    holder = nn.Module()
    holder.body = nn.Sequential(nn.Conv2d(channels, out, 3, padding=1, bias=False), change)
    return holder


def _pointwise(channels: int, out: int) -> nn.Conv2d:
    return nn.Conv2d(channels, out, 1, bias=False)


class Published(nn.Module):
    """The released network; `forward(x, variant)` as in ours, but without padding of odd sizes."""

    def __init__(self, shape: Architecture) -> None:
        super().__init__()
        c, heads = shape.dim, shape.heads
        widths = (2 * c, 4 * c, 8 * c)  # of the features that weight the prompts
        self.patch_embed = nn.Module()
        self.patch_embed.proj = nn.Conv2d(3, c, 3, padding=1, bias=False)
        for level, width in enumerate((c, 2 * c, 4 * c)):
            setattr(self, f"encoder_level{level + 1}", _Block(width, heads[level]))
        self.latent = _Block(8 * c, heads[3])
        self.down1_2 = _scale(c, c // 2, nn.PixelUnshuffle(2))
        self.down2_3 = _scale(2 * c, c, nn.PixelUnshuffle(2))
        self.down3_4 = _scale(4 * c, 2 * c, nn.PixelUnshuffle(2))
        for number, (width, own, size) in enumerate(
            zip(widths, shape.prompt_channels, shape.prompt_sizes, strict=True)
        ):
            out = min(width, 4 * c)
            setattr(self, f"prompt{number + 1}", _Prompt(width, shape.prompts, own, size))
            setattr(self, f"noise_level{number + 1}", _Block(width + own, 4))
            setattr(self, f"reduce_noise_level{number + 1}", _pointwise(width + own, out))
            setattr(self, f"reduce_noise_channel_{number + 1}", _pointwise(width // 2 + (64 << number), width // 2))
        self.up4_3 = _scale(4 * c, 8 * c, nn.PixelShuffle(2))
        self.up3_2 = _scale(4 * c, 8 * c, nn.PixelShuffle(2))
        self.up2_1 = _scale(2 * c, 4 * c, nn.PixelShuffle(2))
        self.reduce_chan_level3 = _pointwise(6 * c, 4 * c)
        self.reduce_chan_level2 = _pointwise(4 * c, 2 * c)
        self.decoder_level3 = _Block(4 * c, heads[2])
        self.decoder_level2 = _Block(2 * c, heads[1])
        self.decoder_level1 = _Block(2 * c, heads[0])
        self.refinement = nn.Sequential(*(_Block(2 * c, heads[0]) for _ in range(shape.refinement_blocks)))
        self.output = nn.Conv2d(2 * c, 3, 3, padding=1, bias=False)

    def forward(self, image: Tensor, variant: Variant) -> Tensor:
        """Restore `image` (B, 3, H, W), H and W multiples of 8."""
        r1, r2, r3, r4 = astuple(variant.schedule)
        one = self.encoder_level1(self.patch_embed.proj(image), r1)
        two = self.encoder_level2(self.down1_2.body(one), r2)
        three = self.encoder_level3(self.down2_3.body(two), r3)
        x = self.latent(self.down3_4.body(three), r4)
        x = self.reduce_noise_level3(self.noise_level3(torch.cat([x, self.prompt3(x)], 1)))
        three = self.reduce_noise_level2(self.noise_level2(torch.cat([three, self.prompt2(three)], 1)))
        two = self.reduce_noise_level1(self.noise_level1(torch.cat([two, self.prompt1(two)], 1)))
        x = self.decoder_level3(self.reduce_chan_level3(torch.cat([self.up4_3.body(x), three], 1)), r3)
        x = self.decoder_level2(self.reduce_chan_level2(torch.cat([self.up3_2.body(x), two], 1)), r2)
        x = self.decoder_level1(torch.cat([self.up2_1.body(x), one], 1), r1)
        return self.output(self.refinement(x)) + image


def published_form(model: DyNet) -> Published:
    """Return the published form of a network with copies of its weights; unused parameters keep initial values."""
    ours = model.state_dict()
    published = Published(model.architecture)
    state = published.state_dict()
    for name, tensor in state.items():
        if name not in UNUSED_PARAMETERS:
            state[name] = ours[converted_name(name)].clone().reshape(tensor.shape)
    published.load_state_dict(state)
    return published.train(model.training)
