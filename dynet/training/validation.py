"""Validation and previews during training: how well the network restores held-out images, in numbers and to look at.

A network that restores well can still harm: one that has never seen a clean image alters it. So every validation also
has the task CLEAN_TASK, whose input is the target.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dynet.data.image_set import Image8
from dynet.data.mix import Mix, TrainingExample
from dynet.model.network import DyNet
from dynet.model.training_record import CLEAN_TASK
from dynet.model.variants import Variant
from dynet.runtime.atomic_files import make_folder, replacing
from dynet.runtime.contact_sheet import labelled_sheet
from dynet.training.compiling import uncompiled
from dynet.training.losses import psnr

if TYPE_CHECKING:
    from accelerate import Accelerator

ValidationScores = dict[str, dict[str, float]]
"""PSNR in dB by task and variant."""

InputAndTarget: TypeAlias = tuple[Image8, Image8]
"""Two images (size, size, 3)."""


class Validator:
    """The held-out crops of each task, the same at every step; several processes share the work."""

    def __init__(self, mix: Mix, size: int, batch: int, accelerator: "Accelerator") -> None:
        """Read the crops, (size, size, 3), of each task of the mix, and clean ones if none of its tasks has them."""
        self._crops_by_task = {
            task.name: pairs_of(mix.validation(number, size)) for number, task in enumerate(mix.tasks)
        }
        self._previewed = [crops[0] for crops in self._crops_by_task.values()]
        if CLEAN_TASK not in self._crops_by_task:
            self._crops_by_task[CLEAN_TASK] = [(crop, crop) for crop in mix.clean_crops(size)]
        self._batch, self._accelerator = batch, accelerator

    def first_of_each_task(self) -> list[InputAndTarget]:
        """Return the crops that previews show: one of each task of the mix."""
        return self._previewed

    def measure(self, network: DyNet, variants: tuple[Variant, ...]) -> ValidationScores:
        """Return the mean PSNR of each task and variant; all processes call this together."""
        with uncompiled(network):
            sums_by_task = [
                torch.stack([self._sum(network, crops, variant) for variant in variants])
                for crops in self._crops_by_task.values()
            ]
        sums = self._accelerator.reduce(torch.stack(sums_by_task), "sum").cpu()  # (tasks, variants)
        return {
            task: {variant.name: float(value) / len(crops) for variant, value in zip(variants, row, strict=True)}
            for (task, crops), row in zip(self._crops_by_task.items(), sums, strict=True)
        }

    @torch.no_grad()
    def _sum(self, network: DyNet, crops: list[InputAndTarget], variant: Variant) -> Tensor:
        """Return the sum of the PSNR over this process's share of the crops."""
        accelerator = self._accelerator
        share = crops[accelerator.process_index :: accelerator.num_processes]
        total = torch.zeros((), dtype=torch.float32, device=accelerator.device)
        for start in range(0, len(share), self._batch):
            degraded, clean = as_batch(share[start : start + self._batch], accelerator.device)
            with accelerator.autocast():
                total += psnr(network(degraded, variant), clean).sum()
        return total


def mean_of(scores: ValidationScores) -> float:
    """Return the mean over tasks and variants, which decides whether a checkpoint is the best.

    CLEAN_TASK does not count: its 50 to 100 dB would outweigh all others. It does if there is no other task.
    """
    restored = {task: of_task for task, of_task in scores.items() if task != CLEAN_TASK}
    values = [value for of_task in (restored or scores).values() for value in of_task.values()]
    return sum(values) / len(values)


def write_preview(model: DyNet, crops: list[InputAndTarget], path: Path) -> None:
    """Write an image with a row for each pair of crops: input, output of each variant, target."""
    degraded, clean = as_batch(crops, next(model.parameters()).device)
    with torch.no_grad(), uncompiled(model):
        outputs = [model(degraded, variant) for variant in model.variants]
    labels = ["input", *(f"output {variant.name}" for variant in model.variants), "target"]
    rows = list(zip(*(_as_levels(column) for column in (degraded, *outputs, clean)), strict=True))
    make_folder(path.parent)
    with replacing(path) as temporary:
        labelled_sheet(rows, labels).save(temporary, "PNG")


def pairs_of(examples: Sequence[TrainingExample]) -> list[InputAndTarget]:
    """Return the images of some examples without their tasks."""
    return [(example.degraded, example.clean) for example in examples]


def as_batch(crops: Sequence[InputAndTarget], device: torch.device) -> tuple[Tensor, Tensor]:
    """Return inputs and targets of some crops, both (B, 3, size, size) of float32 in [0, 1] on the device."""
    degraded, clean = (
        torch.stack([torch.from_numpy(image.copy()) for image in side]) for side in zip(*crops, strict=True)
    )
    return as_float(degraded.permute(0, 3, 1, 2), device), as_float(clean.permute(0, 3, 1, 2), device)


def as_float(images: Tensor, device: torch.device) -> Tensor:
    """Move images (B, 3, H, W) of uint8 to the device and convert them there to float32 in [0, 1]."""
    return images.to(device, non_blocking=True).float() / 255


def _as_levels(images: Tensor) -> npt.NDArray[np.uint8]:
    """Convert images (B, 3, H, W) around [0, 1] to (B, H, W, 3) of uint8: clip, then round."""
    levels = (images.float().clamp(0, 1) * 255).round().to(torch.uint8)
    return levels.permute(0, 2, 3, 1).cpu().numpy()
