"""Images in memory: their samples, and the metadata and the timing that are written back with them."""

from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from dynet.inference.image_metadata import ImageMetadata

Samples = npt.NDArray[Any]
"""Samples of uint8 or uint16, white being the largest value of the type, or of float16, float32 or float64."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodedImage:
    """An upright image: samples, and the metadata of its file."""

    colour: Samples
    """(H, W, 3), or (H, W) when grey."""
    alpha: Samples | None
    """(H, W); of floating-point samples 0 to 1."""
    format: str
    """The format of its file, by Pillow's name."""
    metadata: ImageMetadata = field(default_factory=ImageMetadata)
    png_chunks: bytes = b""
    """The descriptive chunks of a PNG, written instead of `metadata` if the result is a PNG too."""
    lossy: bool = False
    """Whether the file was stored with loss."""
    quality: int | None = None
    """The quality of a JPEG, estimated from its quantisation tables."""
    name: str = "the image"
    """The file that the image was read from, for messages."""
    float_range: tuple[float, float] = (0.0, 1.0)
    """The values of black and white of floating-point samples; no sample is outside."""

    @property
    def is_float(self) -> bool:
        """Whether the samples are floating-point numbers."""
        return self.colour.dtype.kind == "f"

    @property
    def has_transparency(self) -> bool:
        """Whether any pixel is transparent."""
        return self.alpha is not None and bool((self.alpha < opaque_value(self.alpha.dtype)).any())

    def as_rgb(self) -> npt.NDArray[np.float32]:
        """Return the colours as (H, W, 3) float32 in [0, 1]."""
        rgb = self.colour if self.colour.ndim == 3 else np.repeat(self.colour[..., None], 3, axis=2)
        if self.is_float:
            black, white = self.float_range
            scaled: npt.NDArray[np.float32] = ((rgb.astype(np.float64) - black) / (white - black)).astype(np.float32)
            return scaled
        return np.divide(rgb, np.iinfo(rgb.dtype).max, dtype=np.float32)

    def as_uint8_rgb(self) -> npt.NDArray[np.uint8]:
        """Return the colours as (H, W, 3), rounded to 8 bits."""
        rounded: npt.NDArray[np.uint8] = np.rint(self.as_rgb() * 255).astype(np.uint8)
        return rounded

    def with_rgb(self, rgb: npt.NDArray[np.float32]) -> "DecodedImage":
        """Return the same image with other colours, clipped to its range and rounded to its type.

        The image's own colours, `as_rgb()`, give back the very same samples. Those of floating-point samples are
        changed by the difference between the two, so that nothing is rounded where nothing is restored.

        Args:
            rgb: (H, W, 3); a grey image gets the mean of the three channels.
        """
        if self.is_float:
            black, white = self.float_range
            change = np.subtract(rgb, self.as_rgb(), dtype=np.float64) * (white - black)
            values = self.colour + (change if self.colour.ndim == 3 else change.mean(axis=2))
            return replace(self, colour=np.clip(values, black, white).astype(self.colour.dtype))
        values = rgb if self.colour.ndim == 3 else rgb.mean(axis=2)
        samples = np.rint(np.clip(values, 0, 1) * np.iinfo(self.colour.dtype).max).astype(self.colour.dtype)
        return replace(self, colour=samples)


@dataclass(frozen=True, slots=True, kw_only=True)
class AnimationTiming:
    """When the frames of an animation are shown."""

    durations: tuple[Fraction, ...]
    """Of each frame, in seconds."""
    plays: int
    """How often the animation is shown; 0 is without end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodedFile:
    """The images of a file in their order: one still image, the pages of a TIFF, or the frames of an animation."""

    images: tuple[DecodedImage, ...]
    timing: AnimationTiming | None = None
    """None for all but animations."""

    @property
    def name(self) -> str:
        """The file that it was read from, for messages."""
        return self.images[0].name

    @property
    def parts(self) -> str:
        """What the file is made of, for messages: `3 pages` or `12 frames`."""
        return f"{len(self.images)} {'pages' if self.timing is None else 'frames'}"


def opaque_value(dtype: np.dtype[Any]) -> int:
    """Return the alpha of an opaque pixel: the largest whole number, or 1 for floating-point numbers."""
    return 1 if dtype.kind == "f" else int(np.iinfo(dtype).max)
