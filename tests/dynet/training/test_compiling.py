"""Compiled blocks do not depend on schedules: switching variants, or sizes of images, compiles nothing again.

Most tests trace as torch.compile does and run the traced graph without generating code, which would take minutes.
"""

import copy
import shutil
from collections.abc import Iterator

import pytest
import torch
import torch._dynamo
from torch import Tensor
from torch._dynamo.testing import CompileCounter

from dynet import LARGE, SMALL, DyNet, ReuseSchedule, Variant
from dynet.training.compiling import MAX_COMPILATIONS, compile_blocks, uncompiled

SHAPE = {"dim": 4, "heads": (1, 2, 2, 4), "prompts": 3, "prompt_channels": (4, 4, 8), "prompt_sizes": (8, 4, 2)}
KINDS = 8  # of different channels or heads, as at full width: four levels, the last decoder, three prompt blocks


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    """Drop compiled code after each test, and fail where torch would stop compiling without a word."""
    torch._dynamo.reset()
    with torch._dynamo.config.patch(fail_on_recompile_limit_hit=True):
        yield


@pytest.fixture
def small() -> DyNet:
    torch.manual_seed(0)
    return DyNet(**SHAPE, refinement_blocks=1)


def _image(height: int = 16, width: int = 16, batch: int = 2) -> Tensor:
    return torch.rand(batch, 3, height, width, generator=torch.Generator().manual_seed(1))


def _step(model: DyNet, variant: Variant, x: Tensor) -> None:
    model.train()
    model(x, variant).square().mean().backward()


@pytest.mark.full
def test_switching_variants_twenty_times_compiles_nothing_after_the_first_step(small: DyNet) -> None:
    counter = CompileCounter()
    compile_blocks(small, counter)
    _step(small, SMALL, _image())
    first = counter.frame_count
    assert first == KINDS
    for number in range(20):
        other = Variant("other", ReuseSchedule(1 + number % 3, 2, 1, 1 + number))
        _step(small, (LARGE, SMALL, other)[number % 3], _image())
    assert counter.frame_count == first


def test_switching_variants_copies_no_weights(small: DyNet) -> None:
    pointers = [parameter.data_ptr() for parameter in small.parameters()]
    with torch.no_grad():
        for variant in (SMALL, LARGE, SMALL):
            small(_image(), variant)
            assert [parameter.data_ptr() for parameter in small.parameters()] == pointers


@pytest.mark.full
def test_parameters_per_repeat_compile_no_more_than_shared_ones() -> None:
    model = DyNet(**SHAPE, refinement_blocks=1, per_repeat=3)
    counter = CompileCounter()
    compile_blocks(model, counter)
    _step(model, Variant("once", ReuseSchedule(1, 1, 1, 1)), _image())
    first = counter.frame_count
    for variant in (LARGE, SMALL, LARGE):
        _step(model, variant, _image())
    assert counter.frame_count == first


def _features(height: int, width: int, batch: int) -> Tensor:
    return torch.rand(batch, 4, height, width, generator=torch.Generator().manual_seed(1))


def test_images_of_other_sizes_run_uncompiled_with_the_same_result(small: DyNet) -> None:
    counter = CompileCounter()
    image = torch.rand(1, 3, 40, 64, generator=torch.Generator().manual_seed(2))
    expected = small(image, SMALL)
    compile_blocks(small, counter)
    compiled = small.encoder1.block_fn
    with uncompiled(small):
        assert torch.equal(small(image, SMALL), expected)
    assert counter.frame_count == 0
    assert small.encoder1.block_fn is compiled


@pytest.mark.full
def test_a_run_compiles_each_block_once_for_each_size_of_crops(small: DyNet) -> None:
    counter = CompileCounter()
    compile_blocks(small, counter)
    assert torch._dynamo.config.recompile_limit >= MAX_COMPILATIONS
    for size, batch in ((16, 4), (24, 2), (32, 1), (16, 4), (32, 1)):
        for times in (1, 3, 2):
            small.encoder1(_features(size, size, batch).requires_grad_(), times).square().mean().backward()
    assert counter.frame_count == 3


def test_compiled_blocks_give_the_same_results_and_names(small: DyNet) -> None:
    plain = copy.deepcopy(small)
    compile_blocks(small, "eager")
    assert list(small.state_dict()) == list(plain.state_dict())
    for variant in (SMALL, LARGE):
        _step(small, variant, _image())
        _step(plain, variant, _image())
        torch.testing.assert_close(small(_image(), variant), plain(_image(), variant), atol=1e-6, rtol=0)
    gradients = [[parameter.grad for parameter in model.parameters()] for model in (small, plain)]
    torch.testing.assert_close(*gradients, atol=1e-6, rtol=1e-4)


@pytest.mark.full
def test_gradient_checkpointing_of_compiled_blocks_gives_the_same_gradients(small: DyNet) -> None:
    saving = copy.deepcopy(small)
    saving.gradient_checkpointing = True
    gradients = []
    for model in (small, saving):
        compile_blocks(model, "aot_eager")
        model.encoder1(_features(16, 16, 2), 3).square().mean().backward()
        gradients.append([parameter.grad for parameter in model.encoder1.parameters()])
    torch.testing.assert_close(*gradients, atol=0, rtol=0)


@pytest.mark.full
def test_a_copy_of_a_compiled_network_runs_on_its_own_weights(small: DyNet) -> None:
    counter = CompileCounter()
    compile_blocks(small, counter)
    x = _image()
    with torch.no_grad():
        before = small(x)
        compiled = counter.frame_count
        other = copy.deepcopy(small)
        for parameter in other.parameters():
            parameter.mul_(1.1)
        assert not torch.equal(other(x), before)
        assert torch.equal(small(x), before)
    assert counter.frame_count == compiled


def test_a_block_is_one_graph_also_in_bfloat16(small: DyNet) -> None:
    counter = CompileCounter()
    compile_blocks(small, counter)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        small.encoder2(_features(8, 8, 1).bfloat16().repeat(1, 2, 1, 1), 3)
    assert counter.frame_count == 1


@pytest.mark.full
@pytest.mark.skipif(
    shutil.which("g++") is None and shutil.which("clang++") is None, reason="torch.compile needs a C++ compiler"
)
def test_generated_code_agrees_with_eager_to_1e_5_in_output_and_gradients(small: DyNet) -> None:
    plain = copy.deepcopy(small)
    compile_blocks(small)
    for model in (small, plain):
        _step(model, SMALL, _image())
    torch.testing.assert_close(small(_image()), plain(_image()), atol=1e-5, rtol=0)
    gradients = [[parameter.grad for parameter in model.parameters()] for model in (small, plain)]
    torch.testing.assert_close(*gradients, atol=1e-5, rtol=1e-4)
