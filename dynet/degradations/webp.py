"""Lossy WebP compression, by libwebp itself: encoded in memory and decoded again.

Source: RFC 9649 and, for the lossy bit stream, RFC 6386 (VP8), in 4:2:0 always. `quality` is libwebp's own scale: 100
is its best, and still lossy, so there is no end without an effect.
"""

import io
from typing import Any, ClassVar, Literal

import numpy as np
from PIL import Image

from dynet.degradations.degradation import Degradation, Image8
from dynet.degradations.parameter_types import Range
from dynet.errors import ImageError

LONGEST_SIDE = 16383
EFFORT = 2
"""Of 0 to 6. It trades time for bytes and hardly changes the look; 4, libwebp's own choice, takes twice as long."""


def webp(image: Image8, generator: np.random.Generator, *, quality: float) -> Image8:
    """image: (H, W, 3) after one compression; `quality` from 0 to 100 is rounded. Draws nothing.

    Raises ImageError for a picture larger than WebP can hold.
    """
    if max(image.shape) > LONGEST_SIDE:
        raise ImageError(f"WebP holds {LONGEST_SIDE} pixels a side, not {image.shape[1]}x{image.shape[0]}")
    encoded = io.BytesIO()
    Image.fromarray(image).save(encoded, "WEBP", quality=round(quality), method=EFFORT)
    return np.array(Image.open(encoded).convert("RGB"))


class Webp(Degradation):
    """Lossy WebP compression of this quality."""

    LIMITS: ClassVar = {"quality": (0, 100)}
    kind: Literal["webp"]
    quality: Range

    function: ClassVar[Any] = staticmethod(webp)
