"""What was made faster in the blocks gives what the plain formulas give, and keeps its statistics in float32."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from dynet import LARGE, DyNet
from dynet.model.blocks import ALIGNMENT, ChannelAttention, GatedFeedForward, TransformerBlock


def _features(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize(("channels", "heads"), [(6, 1), (8, 4)])
def test_attention_equals_that_of_normalised_queries_and_keys(channels: int, heads: int) -> None:
    torch.manual_seed(0)
    layer = ChannelAttention(channels, heads)
    torch.nn.init.uniform_(layer.temperature, 0.5, 2)
    x = _features(2, channels, 5, 7)
    qkv = layer.mix_qkv(layer.to_qkv(x))
    q, k, v = (part.reshape(2, heads, channels // heads, 35) for part in qkv.chunk(3, dim=1))
    weights = (F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).mT * layer.temperature).softmax(dim=-1)
    expected = layer.to_out((weights @ v).reshape(x.shape))
    torch.testing.assert_close(layer(x), expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("channels", [6, 48])  # 15 and 127 hidden channels
def test_padded_channels_change_neither_output_nor_gradients(channels: int) -> None:
    torch.manual_seed(0)
    layer = GatedFeedForward(channels)
    assert layer.to_out.weight.shape[1] % ALIGNMENT
    x = _features(2, channels, 5, 7)

    def plain(x: Tensor) -> Tensor:
        gate, value = layer.mix_hidden(layer.to_hidden(x)).chunk(2, dim=1)
        return layer.to_out(F.gelu(gate) * value)

    parameters = list(layer.parameters())
    got = torch.autograd.grad(layer(x).square().sum(), parameters)
    expected = torch.autograd.grad(plain(x).square().sum(), parameters)
    torch.testing.assert_close(layer(x), plain(x), atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(got, expected, atol=1e-4, rtol=1e-4)


def test_a_channel_that_is_zero_everywhere_has_finite_gradients() -> None:
    layer = ChannelAttention(4, 2)
    with torch.no_grad():
        layer.mix_qkv.weight[0].zero_()  # one query
    x = _features(1, 4, 3, 3).requires_grad_()
    layer(x).square().sum().backward()
    assert all(gradient is not None and gradient.isfinite().all() for gradient in (x.grad, layer.temperature.grad))


class _Types(TorchDispatchMode):
    """The types of what statistics come out as."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: dict[str, set[torch.dtype]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        if name in ("_softmax", "sum"):
            self.seen.setdefault(name, set()).add(out.dtype)
        if name == "native_layer_norm":
            self.seen.setdefault("mean and deviation", set()).update(statistic.dtype for statistic in out[1:])
        return out


def _autocast(block: TransformerBlock, x: Tensor) -> None:
    with torch.autocast("cpu", torch.bfloat16):
        block(x.bfloat16())


@pytest.mark.parametrize(
    "run", [_autocast, lambda block, x: block.bfloat16()(x.bfloat16())], ids=["autocast", "all bfloat16"]
)
def test_norms_lengths_and_softmax_are_float32_under_bfloat16(run: Callable[[TransformerBlock, Tensor], None]) -> None:
    with torch.no_grad(), _Types() as types:
        run(TransformerBlock(8, 2), _features(1, 8, 4, 4))
    assert types.seen == {name: {torch.float32} for name in ("mean and deviation", "_softmax", "sum")}


@pytest.mark.full
def test_bfloat16_keeps_no_more_than_six_tenths_of_what_float32_keeps_for_the_backward_pass(tiny: DyNet) -> None:
    x = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    _, plain = _learn(tiny, x)
    with torch.autocast("cpu", torch.bfloat16):
        _, mixed = _learn(tiny, x)
    assert mixed < 0.6 * plain


def test_features_stay_channels_last_for_any_input_layout() -> None:
    block = TransformerBlock(8, 2)
    x = _features(2, 8, 6, 4)
    for layout in (torch.contiguous_format, torch.channels_last):
        out = block(x.contiguous(memory_format=layout), 2)
        assert out.is_contiguous(memory_format=torch.channels_last)


def _learn(model: DyNet, x: Tensor) -> tuple[dict[str, Tensor], int]:
    """Gradients of a step, and the bytes that are kept for its backward pass, each tensor's memory once."""
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    model.zero_grad()
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = model(x, LARGE).square().mean()
    loss.backward()
    return {name: p.grad.clone() for name, p in model.named_parameters()}, sum(kept.values())  # type: ignore[union-attr]


def test_gradient_checkpointing_gives_the_same_gradients_bitwise_from_a_fraction_of_the_memory(tiny: DyNet) -> None:
    x = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    plain, much = _learn(tiny, x)
    assert not tiny.gradient_checkpointing
    tiny.gradient_checkpointing = True
    assert tiny.gradient_checkpointing
    saving, little = _learn(tiny, x)
    assert plain.keys() == saving.keys()
    assert all(torch.equal(plain[name], saving[name]) for name in plain)
    assert little < much / 4
