"""The layers of DyNet: norm, channel attention, gated feed-forward, and the changes of scale.

All take and return (B, C, H, W), with channels last in memory: then a norm reads and writes each pixel once, in order,
and a 1x1 convolution is one matrix product (`docs/speed.md` has the measurements). Statistics (mean and variance of the
norm, lengths and softmax of the attention) are computed in float32 for features of any type, since bfloat16 keeps only
8 bits of them.
"""

from collections.abc import Callable
from contextlib import nullcontext

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

FEED_FORWARD_EXPANSION = 2.66
ALIGNMENT = 16  # hidden channels are padded to a multiple of this: 127 numbers in a row are slower than 128


def _pointwise(x: Tensor, weight: Tensor) -> Tensor:
    """Return the 1x1 convolution of x (B, C, H, W) with the weight (D, C, 1, 1), as (B, D, H, W)."""
    return F.linear(x.permute(0, 2, 3, 1), weight.flatten(1)).permute(0, 3, 1, 2)


def _add_delta(shared: Tensor, deltas: Tensor | None, repeat: Tensor | None) -> Tensor:
    """Return `shared` plus the row of `deltas` for this repeat; all rows get a gradient, which is zero if not used."""
    if deltas is None or repeat is None:
        return shared
    return shared + deltas.index_select(0, repeat).view_as(shared)


class ChannelNorm(nn.Module):
    """Layer norm over the channels of each pixel; weight and bias differ in the first `untied_repeats` repeats."""

    def __init__(self, channels: int, untied_repeats: int = 0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.repeat_weight = nn.Parameter(torch.zeros(untied_repeats, channels)) if untied_repeats else None
        self.repeat_bias = nn.Parameter(torch.zeros(untied_repeats, channels)) if untied_repeats else None

    def forward(self, x: Tensor, repeat: Tensor | None = None) -> Tensor:
        """Normalise x (B, C, H, W), of the same type and shape; `repeat` is (1,) int64, the untied repeat."""
        # The type that each device's kernel accepts with bfloat16 features while mean and deviation stay float32.
        dtype = torch.float32 if x.device.type == "cpu" else x.dtype
        weight, bias = (parameter.to(dtype) for parameter in self.parameters_for(repeat))
        pixels = x.permute(0, 2, 3, 1)  # (B, H, W, C): a view
        # Autocast would make a float32 copy of all pixels, and keep it for the backward pass.
        with nullcontext() if x.dtype == torch.float32 else torch.autocast(x.device.type, enabled=False):
            return F.layer_norm(pixels, weight.shape, weight, bias, eps=1e-5).permute(0, 3, 1, 2)

    def parameters_for(self, repeat: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return weight and bias of this repeat, each (C,)."""
        weight = _add_delta(self.weight, self.repeat_weight, repeat)
        return weight, _add_delta(self.bias, self.repeat_bias, repeat)


class ChannelAttention(nn.Module):
    """Attention across channels (MDTA): each head relates its channels over all pixels, so cost is linear in H·W."""

    def __init__(self, channels: int, heads: int, untied_repeats: int = 0) -> None:
        super().__init__()
        self.heads = heads
        self.temperature = nn.Parameter(torch.ones(heads, 1, 1))
        self.repeat_temperature = nn.Parameter(torch.zeros(untied_repeats, heads)) if untied_repeats else None
        self.to_qkv = nn.Conv2d(channels, 3 * channels, 1, bias=False)
        self.mix_qkv = nn.Conv2d(3 * channels, 3 * channels, 3, padding=1, groups=3 * channels, bias=False)
        self.to_out = nn.Conv2d(channels, channels, 1, bias=False)

    def forward(self, x: Tensor, repeat: Tensor | None = None) -> Tensor:
        """Return the attention of x (B, C, H, W), of the same shape; `repeat` is (1,) int64, the untied repeat."""
        height, width = x.shape[-2:]
        qkv = self.mix_qkv(_pointwise(x, self.to_qkv.weight)).permute(0, 2, 3, 1).flatten(1, 2)  # (B, H*W, 3C)
        parts = qkv.unflatten(-1, (3, self.heads, -1))  # (B, H*W, 3, heads, C/heads)
        q, k, v = parts.permute(2, 0, 3, 1, 4)  # each (B, heads, H*W, C/heads)
        similarity = (q.transpose(-2, -1) @ k).float()  # (B, heads, C/heads, C/heads)
        # Dividing the products by both lengths equals normalising q and k, and takes far fewer operations.
        scale_q, scale_k = _inverse_lengths(parts[:, :, :2]).unbind(1)  # each (B, heads, C/heads)
        cosine = similarity * scale_q.unsqueeze(-1) * scale_k.unsqueeze(-2)
        attention = (cosine * self.temperature_for(repeat)).softmax(dim=-1).to(v.dtype)
        mixed = v @ attention.transpose(-2, -1)  # (B, heads, H*W, C/heads)
        joined = mixed.transpose(1, 2).flatten(2).unflatten(1, (height, width))  # (B, H, W, C)
        return _pointwise(joined.permute(0, 3, 1, 2), self.to_out.weight)

    def temperature_for(self, repeat: Tensor | None) -> Tensor:
        """Return the temperature of this repeat, (heads, 1, 1) in float32."""
        return _add_delta(self.temperature, self.repeat_temperature, repeat).float()


def _inverse_lengths(x: Tensor) -> Tensor:
    """Return 1 / (length of each channel of x (B, H*W, ...) along the pixels), (B, ...) in float32, at most 1e12."""
    # Squares have the features' type, so that no float32 copy is kept; they are summed in float32.
    return (x * x).sum(dim=1, dtype=torch.float32).clamp_min(1e-24).rsqrt()


class GatedFeedForward(nn.Module):
    """A feed-forward layer in which one half of the hidden channels gates the other half (GDFN)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = int(channels * FEED_FORWARD_EXPANSION)
        self.to_hidden = nn.Conv2d(channels, 2 * hidden, 1, bias=False)
        self.mix_hidden = nn.Conv2d(2 * hidden, 2 * hidden, 3, padding=1, groups=2 * hidden, bias=False)
        self.to_out = nn.Conv2d(hidden, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return the layer's output for x (B, C, H, W), of the same shape."""
        to_hidden, mix_hidden, to_out = self.padded_weights()
        hidden = F.conv2d(_pointwise(x, to_hidden), mix_hidden, padding=1, groups=mix_hidden.shape[0])
        gate, value = hidden.chunk(2, dim=1)  # each (B, hidden, H, W)
        return _pointwise(F.gelu(gate) * value, to_out)

    def padded_weights(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return the weights of all three convolutions, with hidden channels zero-padded to a multiple of 16."""
        to_hidden, mix_hidden, to_out = self.to_hidden.weight, self.mix_hidden.weight, self.to_out.weight
        # On `meta`, where operations are counted and nothing runs, the channels are those of the paper.
        if to_out.device.type != "meta" and (padding := -to_out.shape[1] % ALIGNMENT):
            to_hidden, mix_hidden = (_pad_halves(weight, padding) for weight in (to_hidden, mix_hidden))
            to_out = F.pad(to_out, (0, 0, 0, 0, 0, padding))
        return to_hidden, mix_hidden, to_out


def _pad_halves(weight: Tensor, padding: int) -> Tensor:
    """Zero-pad both halves of a weight (2·hidden, D, K, K) to (2·(hidden + padding), D, K, K)."""
    halves = weight.reshape(2, -1, *weight.shape[1:])
    return F.pad(halves, (0, 0, 0, 0, 0, 0, 0, padding)).flatten(0, 1)


class TransformerBlock(nn.Module):
    """Norm and attention, then norm and feed-forward, each with a residual connection; repeated with shared weights.

    Attributes:
        block_fn: The function that applies the block once; `dynet.training.compiling` replaces it by a compiled one.
        gradient_checkpointing: Whether a backward pass recomputes each repeat instead of keeping its features: the same
            gradients, about a third more arithmetic, a fraction of the memory.
    """

    repeat_indices: Tensor

    def __init__(self, channels: int, heads: int, untied_repeats: int = 0) -> None:
        """Build the block.

        Args:
            channels: Channels of its input and output.
            heads: Heads of the attention.
            untied_repeats: The number of repeats that learn their own norms and temperature; later repeats use the last
                of them. 0: all repeats are the same.
        """
        super().__init__()
        self.norm_attention = ChannelNorm(channels, untied_repeats)
        self.attention = ChannelAttention(channels, heads, untied_repeats)
        self.norm_feed_forward = ChannelNorm(channels, untied_repeats)
        self.feed_forward = GatedFeedForward(channels)
        self.register_buffer("repeat_indices", torch.arange(untied_repeats), persistent=False)
        self.block_fn: BlockFunction = apply_block
        self.gradient_checkpointing = False

    def forward(self, x: Tensor, repeats: int = 1) -> Tensor:
        """Apply the block to x (B, C, H, W) as often as `repeats` says, with the same weights; same shape."""
        x = x.contiguous(memory_format=torch.channels_last)
        for number in range(repeats):
            repeat = self._untied_repeat(number)
            if self.gradient_checkpointing and torch.is_grad_enabled():
                x = checkpoint(self.block_fn, self, x, repeat, use_reentrant=False, preserve_rng_state=False)
            else:
                x = self.block_fn(self, x, repeat)
        return x

    def _untied_repeat(self, number: int) -> Tensor | None:
        """Return (1,) int64, a tensor so that one compiled form fits all repeats; None if all repeats are the same."""
        count = len(self.repeat_indices)
        return self.repeat_indices[min(number, count - 1)].view(1) if count else None


def apply_block(block: TransformerBlock, x: Tensor, repeat: Tensor | None) -> Tensor:
    """Apply the block once to x (B, C, H, W); `repeat` is (1,) int64, or None where all repeats are the same."""
    attended = x + block.attention(block.norm_attention(x, repeat), repeat)
    out: Tensor = attended + block.feed_forward(block.norm_feed_forward(attended, repeat))
    return out


BlockFunction = Callable[[TransformerBlock, Tensor, Tensor | None], Tensor]


class Downsample(nn.Module):
    """A layer that halves height and width and doubles the channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels // 2, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Turn x (B, C, H, W) into (B, 2C, H/2, W/2)."""
        return F.pixel_unshuffle(self.conv(x), 2)


class Upsample(nn.Module):
    """A layer that doubles height and width and halves the channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels * 2, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Turn x (B, C, H, W) into (B, C/2, 2H, 2W)."""
        return F.pixel_shuffle(self.conv(x), 2)
