"""What `dynet restore` reports of each file; nothing here loads torch."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class VariantOutput:
    """The result of one variant for an image."""

    variant: str
    path: Path
    seconds: float
    """The time for restoring all images of the file, without reading and writing files."""
    tile: int | None
    """The side of the smallest tiles in pixels; None if the image was restored whole, or all images were."""
    peak_bytes: int | None
    """The peak memory by `dynet.runtime.cost`; None where it cannot be measured."""


@dataclass(frozen=True, slots=True)
class RestoredFile:
    """The results of all variants for one file."""

    input: Path
    width: int
    """Of the first image."""
    height: int
    images: int
    """The number of pages or frames; 1 for a still image."""
    outputs: tuple[VariantOutput, ...]
    sheet: Path | None


@dataclass(frozen=True, slots=True)
class RestoreFailure:
    """An image that could not be read, restored or written."""

    input: Path
    error: str
