"""Blocks that restore in bands of rows: the same results from a fraction of the memory.

A block's hidden features are ten times as many as its channels, and nothing but a 3x3 convolution joins their rows. So
they are made for a band of rows at a time, and only what is as wide as the block itself exists for the whole picture:
the features, which are changed in place, and the values of the attention.

The weights are prepared once: hidden channels filled up, matrices transposed, all of the type that is computed in.
Features stay float32 from block to block; with bfloat16 only what is inside a block is rounded to it. The encoder of
the first level stays float32 altogether: all others build on its features, so that its rounding does the most harm, and
it has a twentieth of the arithmetic.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from dynet.model.blocks import TransformerBlock
from dynet.model.network import DyNet

_BAND_PIXELS_CPU, _BAND_PIXELS_GPU = 2**12, 2**18  # hidden features that the cache holds; enough to keep a GPU busy


_ALWAYS_FLOAT32 = ("encoder1",)


class Attention(Protocol):
    """Channel attention over rows that come in bands: first all are added, then what they attend to is mixed in."""

    def add(self, top: int, q: Tensor, k: Tensor) -> None:
        """Take the statistics of rows from `top` on; q, k: (rows, W, C)."""

    def finish(self, temperature: Tensor) -> None:
        """From statistics to weights, when all rows have been added; temperature: (heads, 1, 1)."""

    def mix(self, top: int, values: Tensor, rows: Tensor) -> None:
        """Add the attention's output to the features in place; values, rows: (rows, W, C) from `top` on."""


MakeAttention = Callable[[Tensor, int, int, int], Attention]
"""(to_out, heads, H, W) to the attention of one application; to_out: (C, C), its last projection."""


class WholeAttention:
    """Attention with the statistics of all pixels, as in `dynet.model.blocks`."""

    def __init__(self, to_out: Tensor, heads: int, height: int, width: int) -> None:
        self._to_out = to_out
        self._sums = Sums.zeros(len(to_out), heads, to_out.device)
        self._matrix: Tensor | None = None

    def add(self, top: int, q: Tensor, k: Tensor) -> None:
        """As `Attention.add`."""
        self._sums.add(q.flatten(0, 1), k.flatten(0, 1))

    def finish(self, temperature: Tensor) -> None:
        """As `Attention.finish`."""
        self._matrix = self._sums.matrix(temperature, self._to_out)

    def mix(self, top: int, values: Tensor, rows: Tensor) -> None:
        """As `Attention.mix`."""
        assert self._matrix is not None
        add_product(rows, values, self._matrix.to(values.dtype))


class Sums:
    """What attention needs to know of pixels: products of queries and keys, and squares of both, added up."""

    def __init__(self, products: Tensor, squares: Tensor) -> None:
        self.products = products  # (heads, C/heads, C/heads) float32
        self.squares = squares  # (2, C) float32

    @classmethod
    def zeros(cls, channels: int, heads: int, device: torch.device) -> "Sums":
        """Of no pixels."""
        each = channels // heads
        return cls(torch.zeros(heads, each, each, device=device), torch.zeros(2, channels, device=device))

    @classmethod
    def total(cls, parts: "Sequence[Sums]") -> "Sums":
        """Of all of them together."""
        return cls(
            torch.stack([part.products for part in parts]).sum(dim=0),
            torch.stack([part.squares for part in parts]).sum(dim=0),
        )

    def add(self, q: Tensor, k: Tensor) -> None:
        """q, k: (pixels, C)."""
        heads, each, _ = self.products.shape
        by_head = [part.reshape(-1, heads, each) for part in (q, k)]
        self.products += (by_head[0].permute(1, 2, 0) @ by_head[1].permute(1, 0, 2)).float()
        for number, part in enumerate((q, k)):
            self.squares[number] += (part * part).sum(dim=0, dtype=torch.float32)

    def matrix(self, temperature: Tensor, to_out: Tensor) -> Tensor:
        """(C, C): what values, as rows, are multiplied by: attention and the projection after it, in one."""
        heads, each, _ = self.products.shape
        shrink = self.squares.clamp_min(1e-24).rsqrt().view(2, heads, each)
        cosine = self.products * shrink[0].unsqueeze(-1) * shrink[1].unsqueeze(-2)
        attention = (cosine * temperature).softmax(dim=-1)  # (heads, C/heads, C/heads)
        joined: Tensor = to_out.view(-1, heads, each).transpose(0, 1) @ attention  # (heads, C, C/heads)
        return joined.transpose(1, 2).flatten(0, 1)


def add_product(rows: Tensor, x: Tensor, matrix: Tensor) -> None:
    """Add x @ matrix to rows in place; rows: (n, W, C) float32, x: (n, W, D) of the matrix's type."""
    flat, x = rows.view(-1, rows.shape[-1]), x.flatten(0, 1)
    if x.dtype == flat.dtype:
        flat.addmm_(x, matrix)
    else:
        flat += x @ matrix


def run_in_bands(
    model: DyNet, kind: torch.dtype, attention_of: Callable[[str], MakeAttention] = lambda _: WholeAttention
) -> None:
    """Have this network's blocks run in bands, for inference on the device where it is now.

    `kind`: float32 or bfloat16, what is computed in. With float32 the output is that of the plain blocks within
    rounding. An application overwrites the features that it is given, which nothing in DyNet uses after it.
    `attention_of`: from the name of a block to its attention.
    """
    for name, module in model.named_modules():
        if isinstance(module, TransformerBlock):
            own_kind = torch.float32 if name in _ALWAYS_FLOAT32 else kind
            module.application = BandedBlock(module, own_kind, attention_of(name))


class BandedBlock:
    """One application of a block, in bands; takes the place of `dynet.model.blocks.apply_block`."""

    def __init__(self, block: TransformerBlock, kind: torch.dtype, attention: MakeAttention) -> None:
        self._kind, self._make_attention = kind, attention
        self._heads = block.attention.heads
        with torch.inference_mode():
            to_hidden, mix_hidden, from_hidden = block.feed_forward.filled_weights()
            self._to_qkv = _matrix(block.attention.to_qkv.weight, kind)
            self._mix_qkv = _depthwise(block.attention.mix_qkv.weight, kind)
            self._to_out = block.attention.to_out.weight.flatten(1)
            self._to_hidden = _matrix(to_hidden, kind)
            self._mix_hidden = _depthwise(mix_hidden, kind)
            self._from_hidden = _matrix(from_hidden, kind)

    def __call__(self, block: TransformerBlock, x: Tensor, repeat: Tensor | None) -> Tensor:
        """x: (B, C, H, W) float32, channels last, overwritten by the block's output and returned."""
        if torch.is_grad_enabled():
            raise RuntimeError("blocks in bands are for inference, under torch.inference_mode()")
        for pixels in x.permute(0, 2, 3, 1):  # (H, W, C): a view of each picture
            self._attend(block, pixels, repeat)
            self._feed_forward(block, pixels, repeat)
        return x

    def _attend(self, block: TransformerBlock, pixels: Tensor, repeat: Tensor | None) -> None:
        height, width, _ = pixels.shape
        values = torch.empty(pixels.shape, dtype=self._kind, device=pixels.device)
        attention = self._make_attention(self._to_out, self._heads, height, width)
        norm = block.norm_attention.parameters_of(repeat)
        for top, qkv in self._mixed(pixels, norm, self._to_qkv, self._mix_qkv):
            q, k, v = qkv.chunk(3, dim=-1)
            attention.add(top, q, k)
            values[top : top + len(v)] = v
        attention.finish(block.attention.temperature_of(repeat))
        rows = _rows_of_band(pixels)
        for top in range(0, height, rows):
            attention.mix(top, values[top : top + rows], pixels[top : top + rows])

    def _feed_forward(self, block: TransformerBlock, pixels: Tensor, repeat: Tensor | None) -> None:
        norm = block.norm_feed_forward.parameters_of(repeat)
        # What comes out of a band ends a row before what went into it, so no row is overwritten before it is read.
        for top, hidden in self._mixed(pixels, norm, self._to_hidden, self._mix_hidden):
            gate, value = hidden.chunk(2, dim=-1)
            add_product(pixels[top : top + len(hidden)], F.gelu(gate) * value, self._from_hidden)

    def _mixed(
        self, pixels: Tensor, norm: tuple[Tensor, Tensor], matrix: Tensor, mix: Tensor
    ) -> Iterator[tuple[int, Tensor]]:
        """(H, W, C) through norm, 1x1 and depth-wise 3x3 convolution: bands, as (top, (rows, W, D))."""
        height, width, _ = pixels.shape
        weight, bias = norm
        rows = _rows_of_band(pixels)
        # First the two rows before a band, which the convolution needs again; above and below the picture is zero.
        buffer = torch.zeros(rows + 3, width, matrix.shape[1], dtype=self._kind, device=pixels.device)
        for top in range(0, height, rows):
            band = pixels[top : top + rows]
            end = 2 + len(band)
            normed = F.layer_norm(band, weight.shape, weight, bias, eps=1e-5).to(self._kind)
            torch.mm(normed.flatten(0, 1), matrix, out=buffer[2:end].view(-1, matrix.shape[1]))
            if top + len(band) == height:
                buffer[end] = 0
                end += 1
            first = 1 if top == 0 else 0  # the row above the picture is read, but has no output
            if end - first >= 3:
                source = buffer[None, first:end].permute(0, 3, 1, 2)
                mixed = F.conv2d(source, mix, padding=(0, 1), groups=len(mix))
                yield top - 1 + first, mixed[0].permute(1, 2, 0)
            buffer[:2] = buffer[end - 2 : end].clone()


def _rows_of_band(pixels: Tensor) -> int:
    height, width, _ = pixels.shape
    band = _BAND_PIXELS_CPU if pixels.device.type == "cpu" else _BAND_PIXELS_GPU
    return min(height, max(1, band // width))


def _matrix(weight: Tensor, kind: torch.dtype) -> Tensor:
    """weight: (D, C, 1, 1) of a 1x1 convolution to what pixels, as rows, are multiplied by: (C, D)."""
    return weight.flatten(1).t().to(kind).contiguous()


def _depthwise(weight: Tensor, kind: torch.dtype) -> Tensor:
    return weight.to(kind).contiguous(memory_format=torch.channels_last)
