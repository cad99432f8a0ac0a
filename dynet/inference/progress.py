"""Progress within one forward pass: a whole image takes minutes on a CPU."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from dynet.model.blocks import TransformerBlock
from dynet.model.variant_network import VariantNetwork
from dynet.model.variants import Variant


def count_work_per_pixel(model: VariantNetwork, variant: Variant) -> float:
    """Return the work of a forward pass per pixel, counted in milliseconds on the smallest image.

    Work counts only the transformer blocks: channels squared for each pixel and application. Everything else is a few
    per cent of it. A network without such blocks has no work that could be counted.
    """
    if not any(model.blocks()):
        return 0.0
    parameter = next(model.parameters())
    work: list[float] = []
    with _block_hooks(model, work.append), torch.inference_mode():
        # Not `model(...)`, so that hooks of the model do not run.
        model.forward(torch.zeros(1, 3, 8, 8, device=parameter.device), variant)
    return sum(work) / 64


@contextmanager
def report_forward_progress(model: VariantNetwork, work: float, report: Callable[[float], None]) -> Iterator[None]:
    """Call `report` after each block of a forward pass with the fraction of `work` that is done, 0 to 1."""
    done = 0.0

    def count(block_work: float) -> None:
        nonlocal done
        done += block_work
        report(min(done / work, 1.0))

    with _block_hooks(model, count):
        yield


@contextmanager
def _block_hooks(model: VariantNetwork, count: Callable[[float], None]) -> Iterator[None]:
    """Call `count` with the work of each block after it has run."""

    def after_block(block: TransformerBlock, inputs: tuple[Tensor, int], output: Tensor) -> None:
        repeats = inputs[1] if len(inputs) > 1 else 1
        _, channels, height, width = output.shape
        count(float(repeats * channels**2 * height * width))

    handles = [block.register_forward_hook(after_block) for block in model.blocks()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
