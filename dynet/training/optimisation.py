"""How the weights are updated: the optimiser, its learning rate at each step, and the average of the weights."""

import copy
import math
from collections.abc import Mapping
from types import MappingProxyType

import torch
from torch.optim import Adam, AdamW, Optimizer
from torch.optim.swa_utils import get_ema_multi_avg_fn

from dynet.config.recipe import AnyRecipe
from dynet.model.network import DyNet
from dynet.training.muon import Muon

FUSED: Mapping[str, type[Adam]] = MappingProxyType({"adam": Adam, "adamw": AdamW})


def make_optimizer(recipe: AnyRecipe, model: DyNet, device: torch.device) -> Optimizer:
    """Return the optimiser of the recipe, fused (one kernel for all weights) where the device supports it."""
    rate, decay = recipe.learning_rate, recipe.weight_decay
    if recipe.optimizer == "muon":
        return Muon(model.parameters(), lr=rate, weight_decay=decay)
    kind, fused = FUSED[recipe.optimizer], device.type in ("cpu", "cuda")
    return kind(model.parameters(), lr=rate, weight_decay=decay, fused=fused)


def learning_rate(recipe: AnyRecipe, step: int) -> float:
    """Return the learning rate of step 0, 1, … steps - 1.

    It rises during the warm-up without ever being zero, peaks at its end, and then stays (`constant`) or falls along a
    cosine that ends with the run.
    """
    warmup, peak = recipe.warmup_steps, recipe.learning_rate
    if step < warmup:
        return peak * (step + 1) / (warmup + 1)
    if recipe.schedule == "constant":
        return peak
    return peak * 0.5 * (1 + math.cos(math.pi * (step - warmup) / (recipe.steps - warmup)))


class AveragedNetwork:
    """An exponential moving average of the weights, which a run with `ema` validates and writes at the end."""

    def __init__(self, model: DyNet, decay: float) -> None:
        self.network = copy.deepcopy(model).requires_grad_(False)
        self._decay = decay

    def update(self, model: DyNet, step: int) -> None:
        """Add the weights after step 0, 1, … to the average.

        The decay is at most (1 + step) / (10 + step), so that the first weights are soon forgotten.
        """
        average = get_ema_multi_avg_fn(min(self._decay, (1 + step) / (10 + step)))  # type: ignore[no-untyped-call]
        average([*self.network.parameters()], [*model.parameters()], step)
