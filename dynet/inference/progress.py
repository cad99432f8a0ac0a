"""How far the network is with a picture: whole pictures take minutes on a CPU, and progress is asked for meanwhile."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from dynet.model.blocks import TransformerBlock
from dynet.model.network import DyNet
from dynet.model.variants import Variant


def work_of_a_pixel(model: DyNet, variant: Variant) -> float:
    """What a forward pass multiplies for each pixel, counted on the smallest picture, where that takes milliseconds.

    Work is that of the blocks, channels squared for each pixel and application; the rest is a few hundredths of it.
    """
    parameter = next(model.parameters())
    works: list[float] = []
    with _counted(model, works.append), torch.inference_mode():
        model.forward(torch.zeros(1, 3, 8, 8, device=parameter.device), variant)  # hooks of the whole are not for this
    return sum(works) / 64


@contextmanager
def watched(model: DyNet, work: float, report: Callable[[float], None]) -> Iterator[None]:
    """Within it, `report` is called after each block of a forward pass with how much of `work` is done, 0 to 1."""
    done = 0.0

    def count(more: float) -> None:
        nonlocal done
        done += more
        report(min(done / work, 1.0))

    with _counted(model, count):
        yield


@contextmanager
def _counted(model: DyNet, count: Callable[[float], None]) -> Iterator[None]:
    def after(block: TransformerBlock, inputs: tuple[Tensor, int], output: Tensor) -> None:
        times = inputs[1] if len(inputs) > 1 else 1
        _, channels, height, width = output.shape
        count(float(times * channels**2 * height * width))

    handles = [block.register_forward_hook(after) for block in model.blocks()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
