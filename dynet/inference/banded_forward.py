"""Blocks that process an image in bands of rows: the same results with a fraction of the memory.

A block has ten times as many hidden channels as channels, and only a 3x3 convolution connects their rows. So the hidden
features are computed for one band of rows at a time. Only two tensors exist for the whole image, both as wide as the
block: the features, which are changed in place, and the values of the attention.

The weights are prepared once: hidden channels padded, matrices transposed, everything in the data type of the
computation. Features stay float32 between blocks; with bfloat16 only the computation inside a block is rounded. The
encoder of the first level stays float32 completely: all others build on its features, so its rounding does the most
harm, and it has a twentieth of the arithmetic.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from dynet.model.blocks import TransformerBlock
from dynet.model.network import DyNet

_BAND_PIXELS_CPU, _BAND_PIXELS_GPU = 2**12, 2**18  # hidden features that fit the cache; enough to keep a GPU busy
_ALWAYS_FLOAT32 = ("encoder1",)


class BandedAttention(Protocol):
    """Channel attention over bands of rows: first `add` every band, then `finish`, then `mix` every band."""

    def add(self, top: int, q: Tensor, k: Tensor) -> None:
        """Add the statistics of the rows from `top` on; q, k: (rows, W, C)."""

    def finish(self, temperature: Tensor) -> None:
        """Turn the statistics of all rows into attention weights; temperature: (heads, 1, 1)."""

    def mix(self, top: int, values: Tensor, rows: Tensor) -> None:
        """Add the output for rows from `top` on to the features in place; values, rows (the features): (rows, W, C)."""


MakeAttention = Callable[[Tensor, int, int, int], BandedAttention]
"""(to_out, heads, H, W) -> the attention for one application of a block; to_out: (C, C), its last projection."""


class GlobalAttention:
    """Attention with the statistics of the whole image, as in `dynet.model.blocks`."""

    def __init__(self, to_out: Tensor, heads: int, height: int, width: int) -> None:
        self._to_out = to_out
        self._sums = AttentionSums.zeros(len(to_out), heads, to_out.device)
        self._matrix: Tensor | None = None

    def add(self, top: int, q: Tensor, k: Tensor) -> None:
        """See `BandedAttention.add`."""
        self._sums.add(q.flatten(0, 1), k.flatten(0, 1))

    def finish(self, temperature: Tensor) -> None:
        """See `BandedAttention.finish`."""
        self._matrix = self._sums.matrix(temperature, self._to_out)

    def mix(self, top: int, values: Tensor, rows: Tensor) -> None:
        """See `BandedAttention.mix`."""
        assert self._matrix is not None
        add_product(rows, values, self._matrix.to(values.dtype))


class AttentionSums:
    """The statistics that attention needs: the sums over pixels of q·k products, and of the squares of q and k."""

    def __init__(self, products: Tensor, squares: Tensor) -> None:
        self.products = products  # (heads, C/heads, C/heads) float32
        self.squares = squares  # (2, C) float32

    @classmethod
    def zeros(cls, channels: int, heads: int, device: torch.device) -> "AttentionSums":
        """Return the sums over no pixels."""
        head_dim = channels // heads
        return cls(torch.zeros(heads, head_dim, head_dim, device=device), torch.zeros(2, channels, device=device))

    @classmethod
    def total(cls, parts: "Sequence[AttentionSums]") -> "AttentionSums":
        """Return the sums over the pixels of all parts."""
        return cls(
            torch.stack([part.products for part in parts]).sum(dim=0),
            torch.stack([part.squares for part in parts]).sum(dim=0),
        )

    def add(self, q: Tensor, k: Tensor) -> None:
        """Add pixels; q, k: (pixels, C)."""
        heads, head_dim, _ = self.products.shape
        by_head = [part.reshape(-1, heads, head_dim) for part in (q, k)]
        self.products += (by_head[0].permute(1, 2, 0) @ by_head[1].permute(1, 0, 2)).float()
        for number, part in enumerate((q, k)):
            self.squares[number] += (part * part).sum(dim=0, dtype=torch.float32)

    def matrix(self, temperature: Tensor, to_out: Tensor) -> Tensor:
        """Return the (C, C) matrix that values are multiplied by: attention and the projection after it in one."""
        heads, head_dim, _ = self.products.shape
        inverse_norms = self.squares.clamp_min(1e-24).rsqrt().view(2, heads, head_dim)
        cosine = self.products * inverse_norms[0].unsqueeze(-1) * inverse_norms[1].unsqueeze(-2)
        attention = (cosine * temperature).softmax(dim=-1)  # (heads, C/heads, C/heads)
        joined: Tensor = to_out.view(-1, heads, head_dim).transpose(0, 1) @ attention  # (heads, C, C/heads)
        return joined.transpose(1, 2).flatten(0, 1)


def add_product(rows: Tensor, x: Tensor, matrix: Tensor) -> None:
    """Add x @ matrix to rows in place; rows: (n, W, C) float32, x: (n, W, D) with the dtype of the matrix, (D, C)."""
    flat, x = rows.view(-1, rows.shape[-1]), x.flatten(0, 1)
    if x.dtype == flat.dtype:
        flat.addmm_(x, matrix)
    else:
        flat += x @ matrix


def use_banded_blocks(
    model: DyNet, dtype: torch.dtype, attention_of: Callable[[str], MakeAttention] = lambda _: GlobalAttention
) -> None:
    """Make this network's blocks run in bands, for inference on its present device.

    A block overwrites its input features, which nothing else in DyNet uses.

    Args:
        model: The network; its `block_fn`s are replaced.
        dtype: float32 or bfloat16 for the computation inside the blocks. With float32 the output equals that of the
            plain blocks within rounding.
        attention_of: From the name of a block to its kind of attention.
    """
    for name, module in model.named_modules():
        if isinstance(module, TransformerBlock):
            block_dtype = torch.float32 if name in _ALWAYS_FLOAT32 else dtype
            module.block_fn = BandedBlock(module, block_dtype, attention_of(name))


class BandedBlock:
    """One application of a block in bands; replaces `dynet.model.blocks.apply_block`."""

    def __init__(self, block: TransformerBlock, dtype: torch.dtype, attention: MakeAttention) -> None:
        self._dtype, self._make_attention = dtype, attention
        self._heads = block.attention.heads
        with torch.inference_mode():
            to_hidden, mix_hidden, from_hidden = block.feed_forward.padded_weights()
            self._to_qkv = _matrix(block.attention.to_qkv.weight, dtype)
            self._mix_qkv = _depthwise(block.attention.mix_qkv.weight, dtype)
            self._to_out = block.attention.to_out.weight.flatten(1)
            self._to_hidden = _matrix(to_hidden, dtype)
            self._mix_hidden = _depthwise(mix_hidden, dtype)
            self._from_hidden = _matrix(from_hidden, dtype)

    def __call__(self, block: TransformerBlock, x: Tensor, repeat: Tensor | None) -> Tensor:
        """Apply the block in place; x: (B, C, H, W) float32, channels last, overwritten by the output and returned."""
        if torch.is_grad_enabled():
            raise RuntimeError("blocks in bands are for inference only: use torch.inference_mode()")
        for pixels in x.permute(0, 2, 3, 1):  # (H, W, C): a view of each image
            self._attend(block, pixels, repeat)
            self._feed_forward(block, pixels, repeat)
        return x

    def _attend(self, block: TransformerBlock, pixels: Tensor, repeat: Tensor | None) -> None:
        height, width, _ = pixels.shape
        values = torch.empty(pixels.shape, dtype=self._dtype, device=pixels.device)
        attention = self._make_attention(self._to_out, self._heads, height, width)
        norm = block.norm_attention.parameters_for(repeat)
        for top, qkv in self._iter_hidden_bands(pixels, norm, self._to_qkv, self._mix_qkv):
            q, k, v = qkv.chunk(3, dim=-1)
            attention.add(top, q, k)
            values[top : top + len(v)] = v
        attention.finish(block.attention.temperature_for(repeat))
        band_rows = _rows_per_band(pixels)
        for top in range(0, height, band_rows):
            attention.mix(top, values[top : top + band_rows], pixels[top : top + band_rows])

    def _feed_forward(self, block: TransformerBlock, pixels: Tensor, repeat: Tensor | None) -> None:
        norm = block.norm_feed_forward.parameters_for(repeat)
        # The output of a band ends one row before its input, so no row is overwritten before it is read.
        for top, hidden in self._iter_hidden_bands(pixels, norm, self._to_hidden, self._mix_hidden):
            gate, value = hidden.chunk(2, dim=-1)
            add_product(pixels[top : top + len(hidden)], F.gelu(gate) * value, self._from_hidden)

    def _iter_hidden_bands(
        self, pixels: Tensor, norm: tuple[Tensor, Tensor], matrix: Tensor, mix: Tensor
    ) -> Iterator[tuple[int, Tensor]]:
        """Apply norm, 1x1 and depth-wise 3x3 convolution to pixels, (H, W, C); yield (top, (rows, W, D)) per band."""
        height, width, _ = pixels.shape
        weight, bias = norm
        band_rows = _rows_per_band(pixels)
        # It begins with the two rows before a band, which the convolution needs; rows outside the image are zero.
        buffer = torch.zeros(band_rows + 3, width, matrix.shape[1], dtype=self._dtype, device=pixels.device)
        for top in range(0, height, band_rows):
            band = pixels[top : top + band_rows]
            end = 2 + len(band)
            normed = F.layer_norm(band, weight.shape, weight, bias, eps=1e-5).to(self._dtype)
            torch.mm(normed.flatten(0, 1), matrix, out=buffer[2:end].view(-1, matrix.shape[1]))
            if top + len(band) == height:
                buffer[end] = 0
                end += 1
            first = 1 if top == 0 else 0  # the row above the image is read, but has no output
            if end - first >= 3:
                source = buffer[None, first:end].permute(0, 3, 1, 2)
                mixed = F.conv2d(source, mix, padding=(0, 1), groups=len(mix))
                yield top - 1 + first, mixed[0].permute(1, 2, 0)
            buffer[:2] = buffer[end - 2 : end].clone()


def _rows_per_band(pixels: Tensor) -> int:
    height, width, _ = pixels.shape
    band = _BAND_PIXELS_CPU if pixels.device.type == "cpu" else _BAND_PIXELS_GPU
    return min(height, max(1, band // width))


def _matrix(weight: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the weight of a 1x1 convolution, (D, C, 1, 1), as a (C, D) matrix that pixels are multiplied by."""
    return weight.flatten(1).t().to(dtype).contiguous()


def _depthwise(weight: Tensor, dtype: torch.dtype) -> Tensor:
    return weight.to(dtype).contiguous(memory_format=torch.channels_last)
