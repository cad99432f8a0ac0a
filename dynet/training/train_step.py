"""One step of training: the variants that it trains, their losses, and the update of the shared weights."""

from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor
from torch.optim import Optimizer

from dynet.config.recipe import AnyRecipe
from dynet.model.network import DyNet
from dynet.training.losses import training_loss
from dynet.training.optimisation import AveragedNetwork, learning_rate

if TYPE_CHECKING:
    from accelerate import Accelerator


@dataclass(frozen=True, slots=True, kw_only=True)
class StepResult:
    """What a step leaves to be logged; tensors are still on the device, and reading them would hold it up."""

    rate: float
    losses: dict[str, Tensor]  # by variant; the first learnt from the clean crops, the others from the first
    gradient_norm: Tensor | None


class Learner:
    """The weights in training, with their optimiser and their average."""

    def __init__(
        self,
        recipe: AnyRecipe,
        model: DyNet,
        optimizer: Optimizer,
        average: AveragedNetwork | None,
        accelerator: "Accelerator",
    ) -> None:
        self.recipe, self.model, self.average, self.accelerator = recipe, model, average, accelerator
        self.optimizer = optimizer
        self.sampler = recipe.sampler()
        self._network, self._stepper = accelerator.prepare(model, optimizer)

    @property
    def best_network(self) -> DyNet:
        """What is validated, shown and left behind: the average where there is one."""
        return self.model if self.average is None else self.average.network

    def learn(self, step: int, degraded: Tensor, clean: Tensor) -> StepResult:
        """Train on one batch, two (B, 3, H, W) of float32 in [0, 1] on the device.

        The variants go one after the other, each forward and backward, so that a sandwich of three needs no more
        memory than its deepest; in place, later ones learn what the first restored (US-Nets, arXiv 1903.05134).
        """
        recipe = self.recipe
        rate = learning_rate(recipe, step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        variants = self.sampler.draw(step)
        losses: dict[str, Tensor] = {}
        target = clean
        for variant in variants:
            # Processes exchange gradients once, with those of the last variant.
            apart = nullcontext() if variant is variants[-1] else self.accelerator.no_sync(self._network)
            with apart:
                restored = self._network(degraded, variant)
                loss = training_loss(restored, target, recipe.frequency_loss)
                self.accelerator.backward(loss)
            losses[variant.name] = loss.detach()
            if variant is variants[0]:
                target = restored.detach()
        norm = None
        if recipe.gradient_clip is not None:
            norm = self.accelerator.clip_grad_norm_(self._network.parameters(), recipe.gradient_clip).detach()
        self._stepper.step()
        self._stepper.zero_grad()
        if self.average is not None:
            self.average.update(self.model, step)
        return StepResult(rate=rate, losses=losses, gradient_norm=norm)
