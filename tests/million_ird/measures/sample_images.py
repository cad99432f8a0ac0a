"""What the tests of measures are made from: samples of plain arrays, and pictures with a known content."""

import io
from pathlib import Path

import numpy as np
import skimage
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from PIL import Image

from million_ird.images.encoded_image import EncodedImage

BUNDLED = Path(skimage.__file__).parent / "data"


def sample(content: bytes | NDArray[np.uint8] | Image.Image, **saving: object) -> EncodedImage:
    """A sample of encoded bytes, or of a picture saved as PNG unless `format` says otherwise."""
    if not isinstance(content, bytes):
        picture = content if isinstance(content, Image.Image) else Image.fromarray(content)
        buffer = io.BytesIO()
        picture.save(buffer, **{"format": "PNG", **saving})
        content = buffer.getvalue()
    return EncodedImage(content)


def bundled(name: str) -> EncodedImage:
    """One of scikit-image's pictures."""
    return sample((BUNDLED / name).read_bytes())


def natural(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    """Noise that falls by 1/f like a photograph does, up to Nyquist; (height, width) uint8."""
    random = np.random.default_rng(seed)
    y, x = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None]
    spectrum = np.fft.rfft2(random.standard_normal((height, width))) / np.maximum(np.hypot(y, x), 1 / height)
    values = np.fft.irfft2(spectrum, (height, width))
    return np.clip(128 + 45 * (values - values.mean()) / values.std(), 0, 255).astype(np.uint8)


def colour(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Three channels that differ a little; (h, w) → (h, w, 3)."""
    return np.stack([grey, np.roll(grey, 1, axis=1), 255 - grey], axis=2)


def small_pictures() -> st.SearchStrategy[NDArray[np.uint8]]:
    """Random pictures of 1–40 px a side, grey or colour; flat ones are among them."""
    shapes = st.tuples(st.integers(1, 40), st.integers(1, 40))
    grey = shapes.flatmap(lambda shape: hnp.arrays(np.uint8, shape))
    return grey | shapes.flatmap(lambda shape: hnp.arrays(np.uint8, (*shape, 3)))
