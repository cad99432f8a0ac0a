"""An image in memory: its samples, and the metadata that is written back with them."""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from dynet.inference.image_metadata import ImageMetadata

Samples = npt.NDArray[np.unsignedinteger[Any]]
"""Samples of 8 or 16 bits, white being the largest value of the type."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodedImage:
    """An upright image: samples, and the metadata of its file."""

    colour: Samples
    """(H, W, 3), or (H, W) when grey."""
    alpha: Samples | None
    """(H, W)."""
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

    @property
    def max_value(self) -> int:
        """The largest sample value: 255 or 65535."""
        return int(np.iinfo(self.colour.dtype).max)

    @property
    def has_transparency(self) -> bool:
        """Whether any pixel is transparent."""
        return self.alpha is not None and bool((self.alpha < np.iinfo(self.alpha.dtype).max).any())

    def as_rgb(self) -> npt.NDArray[np.float32]:
        """Return the colours as (H, W, 3) float32 in [0, 1]."""
        rgb = self.colour if self.colour.ndim == 3 else np.repeat(self.colour[..., None], 3, axis=2)
        return np.divide(rgb, self.max_value, dtype=np.float32)

    def as_uint8_rgb(self) -> npt.NDArray[np.uint8]:
        """Return the colours as (H, W, 3), rounded to 8 bits."""
        rounded: npt.NDArray[np.uint8] = np.rint(self.as_rgb() * 255).astype(np.uint8)
        return rounded

    def with_rgb(self, rgb: npt.NDArray[np.float32]) -> "DecodedImage":
        """Return the same image with other colours, clipped and rounded to its own bit depth.

        The image's own colours, `as_rgb()`, give back the very same samples.

        Args:
            rgb: (H, W, 3); a grey image gets the mean of the three channels.
        """
        values = rgb if self.colour.ndim == 3 else rgb.mean(axis=2)
        samples = np.rint(np.clip(values, 0, 1) * self.max_value).astype(self.colour.dtype)
        return replace(self, colour=samples)
