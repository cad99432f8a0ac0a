"""PT2 files: programs of torch.export, which torch runs without dynet."""

import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from dynet.exporting.one_variant import trace
from dynet.model.network import DyNet
from dynet.model.variants import Variant

METADATA_FILE = "dynet.json"  # the key for the metadata in torch.export.load(…, extra_files=…)


def serialise(model: DyNet, variant: Variant, about: Mapping[str, str]) -> bytes:
    """Return the variant as a file of torch.export.save, for one image at a time with sides from SMALLEST pixels."""
    buffer = io.BytesIO()
    torch.export.save(
        trace(model, variant, any_batch=False), buffer, extra_files={METADATA_FILE: json.dumps(dict(about))}
    )
    return buffer.getvalue()


def load(path: Path) -> Callable[[Tensor], Tensor]:
    """Load a file as a function of (1, 3, H, W) float32."""
    module = torch.export.load(path).module()
    return lambda image: cast(Tensor, module(image))
