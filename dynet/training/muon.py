"""Muon for the 1x1 convolutions of a network, and AdamW for everything else, as one optimiser."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

MOMENTUM = 0.95
BETAS = (0.9, 0.999)
EPS = 1e-8
# A quintic whose slope at 0 is as large as possible: five rounds bring every singular value to between 0.7 and 1.2.
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
ROUNDS = 5


class Muon(Optimizer):
    """An optimiser that makes the update of every matrix orthogonal before it is applied; other weights get AdamW.

    Muon (Jordan 2024, https://kellerjordan.github.io/posts/muon/) with the scale of arXiv 2502.16982, so that one
    learning rate fits both kinds of weights. The weight of a 1x1 convolution, (D, C, 1, 1), is a matrix (D, C).
    `torch.optim.Muon` accepts two dimensions only, and computes in bfloat16, which most processors emulate.
    """

    def __init__(self, parameters: Iterable[Tensor], lr: float, weight_decay: float) -> None:
        """Sort the weights into matrices and others.

        Args:
            parameters: All weights of the network.
            lr: The learning rate, as for AdamW.
            weight_decay: Decoupled weight decay, for all weights.
        """
        weights = list(parameters)
        groups = [
            {"params": [weight for weight in weights if is_matrix(weight)], "orthogonal": True},
            {"params": [weight for weight in weights if not is_matrix(weight)], "orthogonal": False},
        ]
        super().__init__([group for group in groups if group["params"]], {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Update all weights that have a gradient; `closure` is not supported.

        Raises:
            ValueError: There is a closure.
        """
        if closure is not None:
            raise ValueError("Muon takes no closure")
        for group in self.param_groups:
            update = self._orthogonal_update if group["orthogonal"] else self._adam_update
            for weight in group["params"]:
                if weight.grad is not None:
                    weight.mul_(1 - group["lr"] * group["weight_decay"])
                    update(weight, weight.grad, group["lr"], self.state[weight])

    @staticmethod
    def _orthogonal_update(weight: Tensor, gradient: Tensor, rate: float, state: dict[str, Any]) -> None:
        if not state:
            state["momentum"] = torch.zeros_like(weight)
        momentum = state["momentum"].lerp_(gradient, 1 - MOMENTUM)
        update = orthogonal(gradient.lerp(momentum, MOMENTUM).flatten(1))
        # The root mean square of AdamW's updates is about 0.2; that of an orthogonal matrix is 1 / sqrt(longer side).
        weight.add_(update.view_as(weight), alpha=-rate * 0.2 * max(update.shape) ** 0.5)

    @staticmethod
    def _adam_update(weight: Tensor, gradient: Tensor, rate: float, state: dict[str, Any]) -> None:
        if not state:
            state.update(step=0, mean=torch.zeros_like(weight), square=torch.zeros_like(weight))
        state["step"] += 1
        mean = state["mean"].lerp_(gradient, 1 - BETAS[0])
        square = state["square"].mul_(BETAS[1]).addcmul_(gradient, gradient, value=1 - BETAS[1])
        bias1, bias2 = (1 - beta ** state["step"] for beta in BETAS)
        weight.addcdiv_(mean, (square / bias2).sqrt_().add_(EPS), value=-rate / bias1)


def is_matrix(weight: Tensor) -> bool:
    """Return whether a weight is that of a 1x1 convolution, (D, C, 1, 1), with several channels on both sides."""
    return weight.ndim == 4 and weight.shape[2:] == (1, 1) and min(weight.shape[:2]) > 1


def orthogonal(matrix: Tensor) -> Tensor:
    """Return the nearest matrix (D, C) with orthonormal rows or columns, approximately, by Newton-Schulz iterations.

    Every singular value other than 0 becomes one between about 0.7 and 1.2; the singular vectors stay.
    """
    a, b, c = COEFFICIENTS
    tall = matrix.shape[0] > matrix.shape[1]
    wide = matrix.T if tall else matrix
    x: Tensor = wide / wide.norm().clamp_min(1e-7)
    for _ in range(ROUNDS):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.T if tall else x
