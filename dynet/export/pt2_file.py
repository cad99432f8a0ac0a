"""PT2: a program of torch.export, which torch runs without dynet."""

import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from dynet.export.one_variant import trace
from dynet.model.network import DyNet
from dynet.model.variants import Variant

ABOUT = "dynet.json"  # the name under which torch.export.load(…, extra_files=…) gives what is said of the file


def serialise(model: DyNet, variant: Variant, about: Mapping[str, str]) -> bytes:
    """The variant as torch.export.save writes it, for one picture at a time of any size from SMALLEST pixels a side."""
    buffer = io.BytesIO()
    torch.export.save(trace(model, variant, any_batch=False), buffer, extra_files={ABOUT: json.dumps(dict(about))})
    return buffer.getvalue()


def load(path: Path) -> Callable[[Tensor], Tensor]:
    """The file as a function of (1, 3, H, W) float32."""
    module = torch.export.load(path).module()
    return lambda image: cast(Tensor, module(image))
