"""Images for the tests of measures: encoded from arrays, bundled with scikit-image, or with known statistics."""

import io
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
import skimage
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from PIL import Image

from million_ird.images.encoded_image import EncodedImage

BUNDLED = Path(skimage.__file__).parent / "data"

ENCODERS: Mapping[str, Mapping[str, object]] = MappingProxyType(
    {"PNG": {"format": "PNG"}, "JPEG": {"format": "JPEG", "quality": 92}, "WebP": {"format": "WEBP", "quality": 90}}
)
"""Without loss, and as well as photographs are saved on the web."""


def encoded_image(content: bytes | NDArray[np.uint8] | Image.Image, **options: object) -> EncodedImage:
    """Wrap encoded bytes, or encode an image, as PNG unless `format` is given."""
    if not isinstance(content, bytes):
        image = content if isinstance(content, Image.Image) else Image.fromarray(content)
        buffer = io.BytesIO()
        image.save(buffer, **{"format": "PNG", **options})
        content = buffer.getvalue()
    return EncodedImage(content)


def bundled_image(name: str) -> EncodedImage:
    """Read one of the images of scikit-image."""
    return encoded_image((BUNDLED / name).read_bytes())


def natural_noise(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    """Return noise whose spectrum falls by 1/f up to Nyquist, as a photograph's does: (height, width) uint8."""
    random = np.random.default_rng(seed)
    y, x = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None]
    spectrum = np.fft.rfft2(random.standard_normal((height, width))) / np.maximum(np.hypot(y, x), 1 / height)
    values = np.fft.irfft2(spectrum, (height, width))
    return np.clip(128 + 45 * (values - values.mean()) / values.std(), 0, 255).astype(np.uint8)


def to_colour(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return three channels that differ a little; (h, w) → (h, w, 3)."""
    return np.stack([grey, np.roll(grey, 1, axis=1), 255 - grey], axis=2)


def small_images() -> st.SearchStrategy[NDArray[np.uint8]]:
    """Return a strategy for random images of 1–40 px per side, grey or colour, some of them flat."""
    shapes = st.tuples(st.integers(1, 40), st.integers(1, 40))
    grey = shapes.flatmap(lambda shape: hnp.arrays(np.uint8, shape))
    return grey | shapes.flatmap(lambda shape: hnp.arrays(np.uint8, (*shape, 3)))
