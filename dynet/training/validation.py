"""Validation and previews during training: how well the network restores held-out images, in numbers and to look at."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dynet.data.mix import Mix, TrainingExample
from dynet.model.network import DyNet
from dynet.model.variants import Variant
from dynet.runtime.contact_sheet import labelled_sheet
from dynet.training.compiling import uncompiled
from dynet.training.losses import psnr

if TYPE_CHECKING:
    from accelerate import Accelerator

ValidationScores = dict[str, dict[str, float]]
"""PSNR in dB by task and variant."""


class Validator:
    """The held-out crops of each task, the same at every step; several processes share the work."""

    def __init__(self, mix: Mix, size: int, batch: int, accelerator: "Accelerator") -> None:
        self._tasks = [task.name for task in mix.tasks]
        self._examples = [mix.validation(number, size) for number in range(len(mix.tasks))]
        self._batch, self._accelerator = batch, accelerator

    def first_of_each_task(self) -> list[TrainingExample]:
        """Return the examples that previews show."""
        return [examples[0] for examples in self._examples]

    def measure(self, network: DyNet, variants: tuple[Variant, ...]) -> ValidationScores:
        """Return the mean PSNR of each task and variant; all processes call this together."""
        with uncompiled(network):
            sums_by_task = [
                torch.stack([self._sum(network, examples, variant) for variant in variants])
                for examples in self._examples
            ]
        sums = self._accelerator.reduce(torch.stack(sums_by_task), "sum").cpu()  # (tasks, variants)
        return {
            task: {variant.name: float(value) / len(examples) for variant, value in zip(variants, row, strict=True)}
            for task, examples, row in zip(self._tasks, self._examples, sums, strict=True)
        }

    @torch.no_grad()
    def _sum(self, network: DyNet, examples: list[TrainingExample], variant: Variant) -> Tensor:
        """Return the sum of the PSNR over this process's share of the examples."""
        accelerator = self._accelerator
        share = examples[accelerator.process_index :: accelerator.num_processes]
        total = torch.zeros((), dtype=torch.float32, device=accelerator.device)
        for start in range(0, len(share), self._batch):
            degraded, clean = as_batch(share[start : start + self._batch], accelerator.device)
            with accelerator.autocast():
                total += psnr(network(degraded, variant), clean).sum()
        return total


def mean_of(scores: ValidationScores) -> float:
    """Return the mean over tasks and variants, which decides whether a checkpoint is the best."""
    values = [value for task in scores.values() for value in task.values()]
    return sum(values) / len(values)


def write_preview(model: DyNet, examples: list[TrainingExample], path: Path) -> None:
    """Write an image with a row for each example: input, output of each variant, target."""
    degraded, clean = as_batch(examples, next(model.parameters()).device)
    with torch.no_grad(), uncompiled(model):
        outputs = [model(degraded, variant) for variant in model.variants]
    labels = ["input", *(f"output {variant.name}" for variant in model.variants), "target"]
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = list(zip(*(_as_levels(column) for column in (degraded, *outputs, clean)), strict=True))
    labelled_sheet(rows, labels).save(path)


def as_batch(examples: list[TrainingExample], device: torch.device) -> tuple[Tensor, Tensor]:
    """Return inputs and targets of some examples, both (B, 3, size, size) of float32 in [0, 1] on the device."""
    degraded = torch.stack([torch.from_numpy(example.degraded.copy()) for example in examples])
    clean = torch.stack([torch.from_numpy(example.clean.copy()) for example in examples])
    return as_float(degraded.permute(0, 3, 1, 2), device), as_float(clean.permute(0, 3, 1, 2), device)


def as_float(images: Tensor, device: torch.device) -> Tensor:
    """Move images (B, 3, H, W) of uint8 to the device and convert them there to float32 in [0, 1]."""
    return images.to(device, non_blocking=True).float() / 255


def _as_levels(images: Tensor) -> npt.NDArray[np.uint8]:
    """Convert images (B, 3, H, W) around [0, 1] to (B, H, W, 3) of uint8: clip, then round."""
    levels = (images.float().clamp(0, 1) * 255).round().to(torch.uint8)
    return levels.permute(0, 2, 3, 1).cpu().numpy()
