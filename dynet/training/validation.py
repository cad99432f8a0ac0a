"""Validation during training: every task and every variant, on pictures that are held out."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from dynet.data.mix import Example, Mix
from dynet.model.network import DyNet
from dynet.model.variants import Variant
from dynet.training.compiling import uncompiled
from dynet.training.losses import psnr

if TYPE_CHECKING:
    from accelerate import Accelerator

Scores = dict[str, dict[str, float]]
"""PSNR in dB by task and variant."""


class Validator:
    """The held-out crops of each task, the same at every step; several processes share them out."""

    def __init__(self, mix: Mix, size: int, batch: int, accelerator: "Accelerator") -> None:
        self._tasks = [task.name for task in mix.tasks]
        self._examples = [mix.validation(number, size) for number in range(len(mix.tasks))]
        self._batch, self._accelerator = batch, accelerator

    def first_of_each_task(self) -> list[Example]:
        """What previews show."""
        return [examples[0] for examples in self._examples]

    def measure(self, network: DyNet, variants: tuple[Variant, ...]) -> Scores:
        """The mean PSNR of each task and variant; called by all processes together."""
        with uncompiled(network):
            of_tasks = [
                torch.stack([self._sum(network, one, variant) for variant in variants]) for one in self._examples
            ]
        sums = self._accelerator.reduce(torch.stack(of_tasks), "sum").cpu()  # (tasks, variants)
        return {
            task: {variant.name: float(value) / len(examples) for variant, value in zip(variants, row, strict=True)}
            for task, examples, row in zip(self._tasks, self._examples, sums, strict=True)
        }

    @torch.no_grad()
    def _sum(self, network: DyNet, examples: list[Example], variant: Variant) -> Tensor:
        """The sum over this process's share."""
        accelerator = self._accelerator
        mine = examples[accelerator.process_index :: accelerator.num_processes]
        total = torch.zeros((), dtype=torch.float32, device=accelerator.device)
        for start in range(0, len(mine), self._batch):
            degraded, clean = as_batch(mine[start : start + self._batch], accelerator.device)
            with accelerator.autocast():
                total += psnr(network(degraded, variant), clean).sum()
        return total


def as_batch(examples: list[Example], device: torch.device) -> tuple[Tensor, Tensor]:
    """Inputs and targets of some examples, both (B, 3, size, size) of float32 in [0, 1] on the device."""
    degraded = torch.stack([torch.from_numpy(example.degraded.copy()) for example in examples])
    clean = torch.stack([torch.from_numpy(example.clean.copy()) for example in examples])
    return as_float(degraded.permute(0, 3, 1, 2), device), as_float(clean.permute(0, 3, 1, 2), device)


def as_float(pictures: Tensor, device: torch.device) -> Tensor:
    """pictures: (B, 3, H, W) of 8 bits to float32 in [0, 1] on the device, converted there."""
    return pictures.to(device, non_blocking=True).float() / 255


def mean_of(scores: Scores) -> float:
    """The mean over tasks and variants, by which checkpoints are compared."""
    values = [value for task in scores.values() for value in task.values()]
    return sum(values) / len(values)
