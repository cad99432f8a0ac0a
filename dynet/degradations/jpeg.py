"""JPEG compression by libjpeg: encoded in memory and decoded again, with chroma at half resolution.

Source: ITU-T T.81; `quality` scales its example quantisation tables (annex K) as libjpeg does. Most cameras and web
images use 4:2:0. No quality is without effect: at 100 the chroma is still halved.
"""

import io
from typing import Any, ClassVar, Literal

import numpy as np
from PIL import Image

from dynet.degradations.degradation import Degradation, Image8
from dynet.degradations.parameter_types import Range
from dynet.errors import ImageError

MAX_SIDE = 65500


def jpeg(image: Image8, generator: np.random.Generator, *, quality: float) -> Image8:
    """Compress an image (H, W, 3) once; `quality`, from 1 to 100, is rounded. Draws nothing.

    Raises:
        ImageError: The image is larger than libjpeg can write.
    """
    if max(image.shape) > MAX_SIDE:
        raise ImageError(f"JPEG allows {MAX_SIDE} pixels a side, not {image.shape[1]}x{image.shape[0]}")
    encoded = io.BytesIO()
    Image.fromarray(image).save(encoded, "JPEG", quality=round(quality), subsampling="4:2:0")
    return np.array(Image.open(encoded))


class Jpeg(Degradation):
    """JPEG compression of this quality."""

    LIMITS: ClassVar = {"quality": (1, 100)}
    kind: Literal["jpeg"]
    quality: Range

    function: ClassVar[Any] = staticmethod(jpeg)
