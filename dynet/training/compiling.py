"""Compiled blocks: `torch.compile` for one application of a block, not for the network.

The loop over repeats is outside the compiled code, which therefore does not depend on schedules: switching between
variants of any depth compiles nothing. Names of parameters do not change. Copies (`copy.deepcopy`) of a compiled
network are compiled too, and share its code.
"""

import functools
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from dynet.model.blocks import BlockFunction, TransformerBlock, apply_block
from dynet.model.network import DyNet

MAX_COMPILATIONS = 16
"""Most compilations of one function, one for each crop size of a recipe; further sizes run uncompiled."""

Backend = str | Callable[..., Any]


def compile_blocks(model: DyNet, backend: Backend = "inductor") -> None:
    """Compile the blocks of this network; the first call at each width takes seconds.

    Blocks with the same number of channels and heads share their code, also with other networks, such as the average of
    the weights. Each batch shape is compiled separately, so this is for training; images of many sizes are restored
    without (`uncompiled`). Code for all sizes at once is not an option: inductor of torch 2.14 fails to generate it for
    bfloat16 features in channels-last layout.
    """
    import torch._dynamo

    torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, MAX_COMPILATIONS)
    for block in model.blocks():
        block.block_fn = _compiled(*_kind(block), backend)


@contextmanager
def uncompiled(network: DyNet) -> Iterator[None]:
    """Run compiled blocks uncompiled in this context: for batches of other sizes, compiling does not pay off."""
    blocks = list(network.blocks())
    applications = [block.block_fn for block in blocks]
    for block in blocks:
        block.block_fn = apply_block
    try:
        yield
    finally:
        for block, block_fn in zip(blocks, applications, strict=True):
            block.block_fn = block_fn


def _kind(block: TransformerBlock) -> tuple[int, int]:
    """Return (channels, heads), on which the code of a block depends."""
    return block.norm_attention.weight.numel(), block.attention.heads


@functools.cache
def _compiled(channels: int, heads: int, backend: Backend) -> BlockFunction:
    """Return the compiled function for blocks of one kind.

    Each kind has its own code object with its own name, because torch counts compilations and records varying sizes per
    code object and name: with one for all kinds, the number of channels would count as a size that varies.
    """
    code = apply_block.__code__
    name = f"{code.co_name}_{channels}_{heads}"
    copy = types.FunctionType(code.replace(co_name=name, co_qualname=name), apply_block.__globals__, name)
    compiled: BlockFunction = torch.compile(copy, backend=backend, dynamic=False)
    return compiled
