"""What a user asked of `dynet train`, beside the recipe."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dynet.data.sources import Source

DeviceName = Literal["auto", "cpu", "cuda", "mps"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Data, places and devices: nothing that a recipe says."""

    sources: tuple[Source, ...]
    out: Path
    init: Path | None
    resume: bool
    device: DeviceName
    stream: bool = False
    """Read built sets as they are needed instead of downloading them whole first."""
