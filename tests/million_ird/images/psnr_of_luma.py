"""How far an encoded image is from the original."""

import io

import numpy as np
from PIL import Image


def psnr(image: Image.Image, encoded: bytes) -> float:
    """Return the PSNR of a file's luma in dB."""
    before, after = (np.asarray(one.convert("L"), np.float64) for one in (image, Image.open(io.BytesIO(encoded))))
    return float(10 * np.log10(255**2 / np.square(before - after).mean()))
