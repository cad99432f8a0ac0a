"""The parts that DyNet is made of: norm, channel attention, gated feed-forward, and the changes of scale.

All take and return (B, C, H, W). Statistics (mean and variance of the norm, lengths and softmax of the attention)
are computed in float32 whatever the features' type, since bfloat16 keeps only 8 bits of them.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

FEED_FORWARD_EXPANSION = 2.66


class ChannelNorm(nn.Module):
    """Layer norm over the channels of each pixel, with weight and bias."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, C, H, W) to the same shape and type."""
        pixels = x.permute(0, 2, 3, 1)  # (B, H, W, C): a view, layer_norm wants the channels last
        normed = F.layer_norm(pixels.float(), self.weight.shape, self.weight.float(), self.bias.float(), eps=1e-5)
        return normed.to(x.dtype).permute(0, 3, 1, 2)


class ChannelAttention(nn.Module):
    """Attention across channels (MDTA): each head relates its channels over all pixels, so cost is linear in H·W."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.temperature = nn.Parameter(torch.ones(heads, 1, 1))
        self.to_qkv = nn.Conv2d(channels, 3 * channels, 1, bias=False)
        self.mix_qkv = nn.Conv2d(3 * channels, 3 * channels, 3, padding=1, groups=3 * channels, bias=False)
        self.to_out = nn.Conv2d(channels, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, C, H, W) to the same shape."""
        height, width = x.shape[-2:]
        qkv = self.mix_qkv(self.to_qkv(x))  # (B, 3C, H, W)
        q, k, v = qkv.flatten(2).unflatten(1, (3, self.heads, -1)).unbind(1)  # each (B, heads, C/heads, H*W)
        similarity = _unit_length(q) @ _unit_length(k).transpose(-2, -1)  # (B, heads, C/heads, C/heads)
        attention = (similarity.float() * self.temperature.float()).softmax(dim=-1)
        mixed = attention.to(v.dtype) @ v  # (B, heads, C/heads, H*W)
        out: Tensor = self.to_out(mixed.flatten(1, 2).unflatten(-1, (height, width)))
        return out


def _unit_length(x: Tensor) -> Tensor:
    """Each channel scaled to length 1 along its pixels: (..., H*W) to the same shape and type."""
    length: Tensor = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=torch.float32)
    return x / length.clamp_min(1e-12).to(x.dtype)


class GatedFeedForward(nn.Module):
    """Feed-forward layer in which one half of the hidden channels gates the other (GDFN)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = int(channels * FEED_FORWARD_EXPANSION)
        self.to_hidden = nn.Conv2d(channels, 2 * hidden, 1, bias=False)
        self.mix_hidden = nn.Conv2d(2 * hidden, 2 * hidden, 3, padding=1, groups=2 * hidden, bias=False)
        self.to_out = nn.Conv2d(hidden, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, C, H, W) to the same shape."""
        gate, value = self.mix_hidden(self.to_hidden(x)).chunk(2, dim=1)  # each (B, hidden, H, W)
        out: Tensor = self.to_out(F.gelu(gate) * value)
        return out


class TransformerBlock(nn.Module):
    """Norm and attention, then norm and feed-forward, each added to what came in."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.norm_attention = ChannelNorm(channels)
        self.attention = ChannelAttention(channels, heads)
        self.norm_feed_forward = ChannelNorm(channels)
        self.feed_forward = GatedFeedForward(channels)

    def forward(self, x: Tensor, times: int = 1) -> Tensor:
        """x: (B, C, H, W) to the same shape, going `times` times through the same weights."""
        for _ in range(times):
            x = x + self.attention(self.norm_attention(x))
            x = x + self.feed_forward(self.norm_feed_forward(x))
        return x


class Downsample(nn.Module):
    """Half the height and width, twice the channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels // 2, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, C, H, W) to (B, 2C, H/2, W/2)."""
        return F.pixel_unshuffle(self.conv(x), 2)


class Upsample(nn.Module):
    """Twice the height and width, half the channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels * 2, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, C, H, W) to (B, C/2, 2H, 2W)."""
        return F.pixel_shuffle(self.conv(x), 2)
