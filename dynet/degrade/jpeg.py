"""JPEG compression, by libjpeg itself: encoded in memory and decoded again, chroma at half resolution."""

import io

import numpy as np
import numpy.typing as npt
from PIL import Image


def jpeg(image: npt.NDArray[np.uint8], generator: np.random.Generator, *, quality: float) -> npt.NDArray[np.uint8]:
    """image: (H, W, 3) after one compression; `quality` from 1 to 100 is rounded. Draws nothing."""
    encoded = io.BytesIO()
    Image.fromarray(image).save(encoded, "JPEG", quality=round(quality), subsampling="4:2:0")
    return np.array(Image.open(encoded))
