"""Previews of a run: a few crops as the network gets them, gives them back, and should."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dynet.data.mix import Example
from dynet.model.network import DyNet
from dynet.runtime.contact_sheet import labelled_sheet
from dynet.training.compiling import uncompiled
from dynet.training.validation import as_batch


def write_preview(model: DyNet, examples: list[Example], path: Path) -> None:
    """Write input, output of each variant and target of these examples."""
    degraded, clean = as_batch(examples, next(model.parameters()).device)
    with torch.no_grad(), uncompiled(model):
        outputs = [model(degraded, variant) for variant in model.variants]
    labels = ["input", *(f"output {variant.name}" for variant in model.variants), "target"]
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = list(zip(*(as_levels(column) for column in (degraded, *outputs, clean)), strict=True))
    labelled_sheet(rows, labels).save(path)


def as_levels(pictures: Tensor) -> npt.NDArray[np.uint8]:
    """pictures: (B, 3, H, W) around [0, 1] to (B, H, W, 3) of 8 bits: clipped, then rounded."""
    levels = (pictures.float().clamp(0, 1) * 255).round().to(torch.uint8)
    return levels.permute(0, 2, 3, 1).cpu().numpy()
