"""The network is the paper's: its size, its cost, its variants, and that no mode of running changes its answer."""

import itertools
import shutil

import pytest
import torch
import torch._dynamo.testing
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.published_form import published_form
from dynet import LARGE, SMALL, DyNet, ReuseSchedule, Variant
from dynet.model.blocks import ChannelNorm, TransformerBlock
from dynet.model.convert import UNUSED_PARAMETERS, converted_name
from dynet.model.network import pad_to_stride

ODD = Variant("odd", ReuseSchedule(1, 4, 2, 1))


def _picture(height: int = 32, width: int = 24, batch: int = 2) -> torch.Tensor:
    return torch.rand(batch, 3, height, width, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def full_width() -> DyNet:
    """The default network without memory for its weights."""
    with torch.device("meta"):
        return DyNet()


def test_the_default_network_has_16_613_135_parameters(full_width: DyNet) -> None:
    assert sum(parameter.numel() for parameter in full_width.parameters()) == 16_613_135


@pytest.mark.parametrize(
    ("variant", "side", "gmacs"), [(SMALL, 128, 29.65), (LARGE, 128, 43.18), (SMALL, 224, 90.8), (LARGE, 224, 132.2)]
)
def test_cost_in_gmacs_is_the_published_one(full_width: DyNet, variant: Variant, side: int, gmacs: float) -> None:
    with FlopCounterMode(display=False) as counter:
        full_width(torch.empty(1, 3, side, side, device="meta"), variant=variant)
    assert counter.get_total_flops() / 2e9 == pytest.approx(gmacs, abs=0.05 if side == 224 else 0.005)


@pytest.mark.parametrize("variant", [SMALL, LARGE], ids=lambda variant: variant.name)
def test_output_and_gradients_equal_those_of_the_published_network(tiny: DyNet, variant: Variant) -> None:
    published = published_form(tiny)
    x = _picture(32, 24)
    torch.testing.assert_close(tiny(x, variant), published(x, variant), atol=2e-6, rtol=0)
    gradients = []
    for model in (tiny, published):
        model(x, variant).square().mean().backward()
        named = {
            converted_name(name): parameter.grad
            for name, parameter in model.named_parameters()
            if name not in UNUSED_PARAMETERS
        }
        gradients.append({name: gradient.flatten() for name, gradient in named.items() if gradient is not None})
    assert gradients[0].keys() == gradients[1].keys() == dict(tiny.named_parameters()).keys()
    torch.testing.assert_close(*gradients, atol=1e-6, rtol=1e-3)


def test_the_same_weights_work_with_every_schedule(tiny: DyNet) -> None:
    before = {name: tensor.clone() for name, tensor in tiny.state_dict().items()}
    x = _picture()
    with torch.no_grad():
        outputs = [tiny(x, variant=variant) for variant in (SMALL, LARGE, ODD)]
        assert torch.equal(tiny(x), outputs[1])  # LARGE unless told otherwise
    assert all(not torch.equal(a, b) for a, b in itertools.pairwise(outputs))
    assert all(torch.equal(before[name], tensor) for name, tensor in tiny.state_dict().items())


@pytest.mark.parametrize("variant", [SMALL, LARGE, ODD], ids=lambda variant: variant.name)
def test_every_parameter_receives_a_gradient(tiny: DyNet, variant: Variant) -> None:
    tiny(_picture(), variant=variant).square().mean().backward()
    dead = [name for name, p in tiny.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert dead == []


@pytest.mark.parametrize("size", [(16, 16), (17, 16), (16, 31), (33, 47), (40, 64), (1, 3), (5, 2)])
def test_images_of_any_size_keep_their_size(tiny: DyNet, size: tuple[int, int]) -> None:
    x = _picture(*size)
    with torch.no_grad():
        assert tiny(x, variant=SMALL).shape == x.shape


def test_padding_loses_nothing_of_the_image(tiny: DyNet) -> None:
    torch.nn.init.zeros_(tiny.output.weight)  # the network corrects nothing: the image must come back as it was
    x = _picture(19, 29)
    with torch.no_grad():
        assert torch.equal(tiny(x), x)


def test_padding_reflects_at_the_right_and_bottom() -> None:
    x = _picture(11, 13, batch=1)
    padded = pad_to_stride(x)
    assert padded.shape[-2:] == (16, 16)
    assert torch.equal(padded[..., :11, :13], x)
    assert torch.equal(padded[..., 11, :13], x[..., 9, :])
    assert torch.equal(padded[..., :11, 13], x[..., :, 11])


def test_a_batch_equals_its_images_one_by_one(tiny: DyNet) -> None:
    x = _picture()
    with torch.no_grad():
        torch.testing.assert_close(tiny(x), torch.cat([tiny(x[:1]), tiny(x[1:])]), atol=1e-5, rtol=0)


@pytest.mark.parametrize("variant", [SMALL, LARGE], ids=lambda variant: variant.name)
def test_channels_last_agrees_with_plain_to_1e_5(tiny: DyNet, variant: Variant) -> None:
    x = _picture()
    with torch.no_grad():
        plain = tiny(x, variant)
        tiny.to(memory_format=torch.channels_last)
        torch.testing.assert_close(tiny(x.to(memory_format=torch.channels_last), variant), plain, atol=1e-5, rtol=0)


def test_bfloat16_agrees_with_float32_to_5_percent_of_the_correction(tiny: DyNet) -> None:
    x = _picture()
    with torch.no_grad():
        correction = tiny(x) - x
        with torch.autocast("cpu", torch.bfloat16):
            mixed = tiny(x) - x
        rounded = x.bfloat16()
        whole = tiny.bfloat16()(rounded).float() - rounded.float()
    size = correction.square().mean().sqrt()
    assert (mixed - correction).square().mean().sqrt() < 0.05 * size
    # All of it in bfloat16: the sum with the image is rounded as well, by up to 1/512 near 1.
    assert (whole - correction).square().mean().sqrt() < 0.05 * size + 1 / 512


def test_norm_statistics_stay_in_float32_under_bfloat16() -> None:
    # A small signal on a large offset: with bfloat16 statistics it drowns.
    x = torch.full((1, 8, 4, 4), 64.0)
    x[:, ::2] += 0.5
    norm = ChannelNorm(8)
    got = norm.bfloat16()(x.bfloat16())
    assert (got[:, ::2] - 1).abs().max() < 0.01
    assert (got[:, 1::2] + 1).abs().max() < 0.01


needs_compiler = pytest.mark.skipif(
    shutil.which("g++") is None and shutil.which("clang++") is None, reason="torch.compile needs a C++ compiler"
)


@needs_compiler
@pytest.mark.full
def test_a_compiled_block_agrees_with_eager_to_1e_5() -> None:
    torch.manual_seed(0)
    block = TransformerBlock(8, 2).eval()
    x = torch.rand(1, 8, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(torch.compile(block)(x), block(x), atol=1e-5, rtol=0)


@pytest.mark.full
def test_the_whole_network_is_one_graph_per_variant(tiny: DyNet) -> None:
    # Traced as torch.compile does, run without generated code, which takes a compiler and minutes.
    x = _picture(16, 16)
    small, large = Variant("small", ReuseSchedule(1, 1, 1, 1)), Variant("large", ReuseSchedule(2, 1, 1, 1))
    counter = torch._dynamo.testing.CompileCounterWithBackend("eager")
    compiled = torch.compile(tiny, backend=counter, fullgraph=True)
    with torch.no_grad():
        for variant in (small, large, small, large):
            torch.testing.assert_close(compiled(x, variant), tiny(x, variant), atol=1e-5, rtol=0)
    assert counter.frame_count == 2


@needs_compiler
@pytest.mark.full
def test_the_whole_compiled_network_agrees_with_eager_to_1e_5(tiny: DyNet) -> None:
    x = _picture(16, 16)
    with torch.no_grad():
        plain = tiny(x, SMALL)
        torch.testing.assert_close(torch.compile(tiny)(x, SMALL), plain, atol=1e-5, rtol=0)
