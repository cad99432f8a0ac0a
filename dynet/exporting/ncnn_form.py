"""The network in the form that pnnx translates to ncnn: one image, no tensor of more than four dimensions."""

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dynet.model.blocks import ChannelAttention, ChannelNorm, GatedFeedForward, TransformerBlock
from dynet.model.network import STRIDE, DyNet
from dynet.model.prompts import PromptBlock
from dynet.model.variants import Variant

SMALLEST = STRIDE  # side in pixels: the padding below reflects STRIDE - 1 pixels


class NcnnForm(nn.Module):
    """One variant of a network, with the layers of ncnn in mind; it is equal to the network but for rounding.

    ncnn has no batch, and tensors of at most four dimensions. pnnx removes the batch of PyTorch's tensors, and mistakes
    another dimension for it where an attention has five; so queries, keys and values are separate here.
    """

    def __init__(self, model: DyNet, variant: Variant) -> None:
        super().__init__()
        self.network, self.variant = copy.deepcopy(model).eval(), variant
        for block in self.network.blocks():
            block.block_fn = _apply_block
        for module in self.network.modules():
            if isinstance(module, PromptBlock):
                module.blend = _blend

    def forward(self, image: Tensor) -> Tensor:
        """Restore one image, (1, 3, H, W) float in [0, 1], H and W from 8, to the same shape, not clamped."""
        height, width = image.shape[2], image.shape[3]
        # ncnn pads by constant numbers of pixels only, so this pads as much as any image needs, and then crops.
        padded = F.pad(image, (0, STRIDE - 1, 0, STRIDE - 1), mode="reflect")
        below, right = ((size + STRIDE - 1) // STRIDE * STRIDE for size in (height, width))
        restored: Tensor = self.network(padded[:, :, :below, :right], self.variant)
        return restored[:, :, :height, :width]


def _apply_block(block: TransformerBlock, x: Tensor, repeat: Tensor | None) -> Tensor:
    attended = x + _attend(block.attention, _normalise(block.norm_attention, x, repeat), repeat)
    return attended + _feed_forward(block.feed_forward, _normalise(block.norm_feed_forward, attended, repeat))


def _normalise(norm: ChannelNorm, x: Tensor, repeat: Tensor | None) -> Tensor:
    weight, bias = norm.parameters_for(repeat)
    return F.layer_norm(x.permute(0, 2, 3, 1), weight.shape, weight, bias, eps=1e-5).permute(0, 3, 1, 2)


def _attend(attention: ChannelAttention, x: Tensor, repeat: Tensor | None) -> Tensor:
    height, width, heads = x.shape[2], x.shape[3], attention.heads
    weights = zip(attention.to_qkv.weight.chunk(3), attention.mix_qkv.weight.chunk(3), strict=True)
    q, k, v = (
        F.conv2d(F.conv2d(x, point), mix, padding=1, groups=mix.shape[0]).reshape(
            1, heads, mix.shape[0] // heads, height * width
        )
        for point, mix in weights
    )
    q, k = (part * torch.rsqrt((part * part).sum(3, keepdim=True) + 1e-24) for part in (q, k))
    cosine = torch.matmul(q, k.transpose(2, 3))  # (1, heads, C/heads, C/heads)
    temperature = attention.temperature_for(repeat).unsqueeze(0)
    mixed = torch.matmul((cosine * temperature).softmax(dim=3), v)  # (1, heads, C/heads, H*W)
    return F.conv2d(mixed.reshape(1, attention.to_out.weight.shape[1], height, width), attention.to_out.weight)


def _feed_forward(layer: GatedFeedForward, x: Tensor) -> Tensor:
    weights = zip(layer.to_hidden.weight.chunk(2), layer.mix_hidden.weight.chunk(2), strict=True)
    gate, value = (F.conv2d(F.conv2d(x, point), mix, padding=1, groups=mix.shape[0]) for point, mix in weights)
    return F.conv2d(F.gelu(gate) * value, layer.to_out.weight)


def _blend(block: PromptBlock, x: Tensor) -> Tensor:
    """Mix the prompts as `blend_by_global_mean` does, by a matrix product instead of einsum."""
    _, channels, side, _ = block.prompts.shape
    weights = block.choose(F.adaptive_avg_pool2d(x, 1).flatten(1)).softmax(dim=-1)  # (1, prompts)
    mixed = F.linear(weights, block.prompts.flatten(1).t()).reshape(1, channels, side, side)
    return F.interpolate(mixed, size=(x.shape[2], x.shape[3]), mode="bilinear")
