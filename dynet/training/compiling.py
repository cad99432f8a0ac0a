"""Compiled blocks: `torch.compile` for one application of a block, not for the network.

The loop over repeats stays outside, so the compiled code knows nothing of schedules: switching between variants, of
any depth, compiles nothing. Names of parameters do not change. Copies (`copy.deepcopy`) of a network are compiled as
it is, and share its code.
"""

import functools
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from dynet.model.blocks import Application, TransformerBlock, apply_block
from dynet.model.network import DyNet

# torch gives a function up, and runs it uncompiled ever after, when its code has been compiled this often: once for
# each size of crops that a recipe grows through.
MOST_COMPILATIONS = 16

Backend = str | Callable[..., Any]


def compile_blocks(model: DyNet, backend: Backend = "inductor") -> None:
    """Have the blocks of this network run compiled; the first call at each width takes seconds to compile.

    Blocks of equal width and heads share their code, also those of another network, such as the average of its weights.
    Each shape of batch is compiled for by itself, so this is for training; what is measured on pictures of many sizes
    goes uncompiled (`uncompiled`). Code for any size at once is what inductor of torch 2.14 fails to make of bfloat16
    features with their channels last.
    """
    import torch._dynamo

    torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, MOST_COMPILATIONS)
    for block in model.blocks():
        block.application = _compiled(*_kind(block), backend)


@contextmanager
def uncompiled(network: DyNet) -> Iterator[None]:
    """Within it compiled blocks run as they are: batches of other sizes than training's are not worth compiling for."""
    blocks = list(network.blocks())
    applications = [block.application for block in blocks]
    for block in blocks:
        block.application = apply_block
    try:
        yield
    finally:
        for block, application in zip(blocks, applications, strict=True):
            block.application = application


def _kind(block: TransformerBlock) -> tuple[int, int]:
    """(channels, heads): what decides the code of a block."""
    return block.norm_attention.weight.numel(), block.attention.heads


@functools.cache
def _compiled(channels: int, heads: int, backend: Backend) -> Application:
    """The compiled application for blocks of one kind.

    Each kind has a code object of its own, under a name of its own. By these torch counts compilations and remembers
    which sizes vary; with one for all kinds, channels would count as a size that varies.
    """
    code = apply_block.__code__
    name = f"{code.co_name}_{channels}_{heads}"
    own = types.FunctionType(code.replace(co_name=name, co_qualname=name), apply_block.__globals__, name)
    compiled: Application = torch.compile(own, backend=backend, dynamic=False)
    return compiled
