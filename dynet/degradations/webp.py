"""Lossy WebP compression by libwebp: encoded in memory and decoded again.

Source: RFC 9649 and, for the lossy bit stream, RFC 6386 (VP8), always in 4:2:0. `quality` is libwebp's own scale: 100
is the best, but still lossy, so no quality is without effect.
"""

import io
from typing import Any, ClassVar, Literal

import numpy as np
from PIL import Image

from dynet.degradations.degradation import Degradation, Image8
from dynet.degradations.parameter_types import Range
from dynet.errors import ImageError

MAX_SIDE = 16383
EFFORT = 2
"""From 0 to 6: more time for fewer bytes, with hardly a visible change; libwebp's default, 4, takes twice as long."""


def webp(image: Image8, generator: np.random.Generator, *, quality: float) -> Image8:
    """Compress an image (H, W, 3) once; `quality`, from 0 to 100, is rounded. Draws nothing.

    Raises:
        ImageError: The image is larger than WebP allows.
    """
    if max(image.shape) > MAX_SIDE:
        raise ImageError(f"WebP allows {MAX_SIDE} pixels a side, not {image.shape[1]}x{image.shape[0]}")
    encoded = io.BytesIO()
    Image.fromarray(image).save(encoded, "WEBP", quality=round(quality), method=EFFORT)
    return np.array(Image.open(encoded).convert("RGB"))


class Webp(Degradation):
    """Lossy WebP compression of this quality."""

    LIMITS: ClassVar = {"quality": (0, 100)}
    kind: Literal["webp"]
    quality: Range

    function: ClassVar[Any] = staticmethod(webp)
