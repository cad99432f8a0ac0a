"""What a file for spandrel says besides weights, all of it as tensors: spandrel passes on nothing else of a file."""

from collections.abc import Mapping
from dataclasses import astuple, dataclass, fields
from typing import Any, Self, get_args

import torch
from torch import Tensor

from dynet.errors import WeightsError
from dynet.model.variants import ReuseSchedule, Variant
from dynet.model.weights import Architecture, PromptsAt

FORMAT_KEY = "dynet_format"
FORMAT = 1
SCHEDULE_KEY = "reuse_schedule"
_NAME_KEY, _WINDOW_KEY, _PREFIX = "dynet_variant", "dynet_local_statistics", "dynet_architecture_"
_PROMPTS_AT: tuple[str, ...] = get_args(PromptsAt)  # a file holds the index, so new ones are added at the end
_MAX_NAME_LENGTH = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class SpandrelSettings:
    """Shape, variant and statistics of the network in a file."""

    architecture: Architecture
    variant: Variant
    local_statistics: int | None = None
    """The side in pixels of the windows of `dynet.inference.tlc`; None for the whole image or tile."""

    def as_tensors(self) -> dict[str, Tensor]:
        """Return the settings as int64 tensors; `reuse_schedule` has the shape (4,)."""
        values: dict[str, Any] = {
            FORMAT_KEY: FORMAT,
            SCHEDULE_KEY: astuple(self.variant.schedule),
            _NAME_KEY: tuple(self.variant.name.encode()),
            _WINDOW_KEY: self.local_statistics or 0,
        }
        for field in fields(Architecture):
            value = getattr(self.architecture, field.name)
            values[_PREFIX + field.name] = _PROMPTS_AT.index(value) if field.name == "prompts_at" else value
        return {name: torch.tensor(value, dtype=torch.int64) for name, value in values.items()}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> Self:
        """Read the settings of a file.

        Args:
            tensors: All tensors of the file; others than those of `as_tensors` are ignored.

        Raises:
            WeightsError: A setting is missing or unusable, or a later version of dynet wrote the file.
        """
        try:
            if (version := _number(tensors[FORMAT_KEY])) != FORMAT:
                raise WeightsError(f"a file of dynet for spandrel of format {version}: this version reads {FORMAT}")
            shape = {field.name: _value(tensors[_PREFIX + field.name]) for field in fields(Architecture)}
            name = bytes(tensors[_NAME_KEY].tolist()[:_MAX_NAME_LENGTH]).decode()
            return cls(
                architecture=Architecture(**shape | {"prompts_at": _PROMPTS_AT[shape["prompts_at"]]}),
                variant=Variant(name, ReuseSchedule(*map(int, tensors[SCHEDULE_KEY].tolist()))),
                local_statistics=_number(tensors[_WINDOW_KEY]) or None,
            )
        except (KeyError, IndexError, TypeError, ValueError, RuntimeError) as error:
            raise WeightsError(f"a file of dynet for spandrel with unusable settings: {error}") from error


def _number(tensor: Tensor) -> int:
    return int(tensor.item())


def _value(tensor: Tensor) -> Any:
    return tuple(tensor.tolist()) if tensor.ndim else _number(tensor)
