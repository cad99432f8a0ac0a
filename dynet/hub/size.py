"""What a network of some shape holds and computes, counted without weights and without computing."""

import functools

import torch
from torch.utils.flop_counter import FlopCounterMode

from dynet.model.network import DyNet
from dynet.model.variants import Variant
from dynet.model.weights import Architecture


@functools.cache
def parameters(architecture: Architecture) -> int:
    """Numbers that a network of this shape learns."""
    return sum(parameter.numel() for parameter in _shape_of(architecture).parameters())


@functools.cache
def gmacs(architecture: Architecture, variant: Variant, side: int) -> float:
    """Billions of multiply-adds that a picture of side × side pixels takes: convolutions and matrix products.

    As torch's FlopCounterMode counts them, halved.
    """
    network = _shape_of(architecture)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(torch.empty(1, 3, side, side, device="meta"), variant)
    return float(counter.get_total_flops()) / 2e9


def _shape_of(architecture: Architecture) -> DyNet:
    with torch.device("meta"):
        return DyNet.from_architecture(architecture)
