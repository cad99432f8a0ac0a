"""Encoding: without loss, without metadata, always the same bytes."""

import io

import numpy as np
import pytest
from PIL import Image

from million_ird.images.encode import encode_png, encode_webp


@pytest.mark.parametrize("encode", [encode_png, encode_webp])
def test_patches_are_encoded_without_loss_and_without_metadata(encode: object) -> None:
    assert callable(encode)
    noise = np.random.default_rng(0).integers(0, 256, (65, 33, 3)).astype(np.uint8)
    content = encode(noise)
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(content)).convert("RGB")), noise)
    assert not Image.open(io.BytesIO(content)).getexif()
    assert encode(noise) == content
