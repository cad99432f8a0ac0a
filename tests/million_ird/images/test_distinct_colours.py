"""Converting each distinct colour once equals converting every pixel, and LittleCMS is asked for each colour once."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from PIL import Image, ImageCms

from million_ird.images.distinct_colours import convert_distinct
from million_ird.images.encoded_image import EncodedImage
from tests.million_ird.images.profiles import P3, REC709, make_profile

Pixels = NDArray[np.uint8]
_SIZES = st.tuples(st.integers(1, 20), st.integers(1, 20), st.just(3))


def _mixed(pixels: Pixels) -> Pixels:
    """Return a colour of all three channels of each pixel."""
    red, green, blue = (pixels[..., k].astype(np.int64) for k in range(3))
    return np.stack([red * 7 + green, green ^ blue, 255 - red], axis=-1).astype(np.uint8)


@settings(deadline=None, max_examples=40)
@given(_SIZES.flatmap(lambda shape: hnp.arrays(np.uint8, shape, elements=st.sampled_from([0, 1, 31, 32, 128, 255]))))
def test_each_pixel_gets_its_colour(pixels: Pixels) -> None:
    asked: list[Pixels] = []

    def convert(colours: Pixels) -> Pixels:
        asked.append(colours)
        return _mixed(colours)

    np.testing.assert_array_equal(convert_distinct(pixels, convert), _mixed(pixels))
    np.testing.assert_array_equal(asked[0][0], np.unique(pixels.reshape(-1, 3), axis=0))


def test_many_colours_and_slices() -> None:
    codes = np.random.default_rng(0).permutation(1 << 24)[: 1 << 19]
    pixels = np.stack([codes >> 16, codes >> 8 & 255, codes & 255], axis=-1).astype(np.uint8).reshape(512, 1024, 3)
    np.testing.assert_array_equal(convert_distinct(pixels, _mixed), _mixed(pixels))
    np.testing.assert_array_equal(convert_distinct(pixels[3:50, ::2], _mixed), _mixed(pixels[3:50, ::2]))


@pytest.mark.parametrize("side", [64, 400])
@pytest.mark.parametrize("orientation", [1, 3, 6])
@pytest.mark.parametrize(("primaries", "gamma"), [(P3, 2.2), (REC709, 1.8)])
def test_a_jpeg_with_a_profile_equals_littlecms(
    side: int, orientation: int, primaries: tuple[tuple[float, float], ...], gamma: float
) -> None:
    random = np.random.default_rng(side)
    small = random.integers(0, 256, (side // 8, side // 8 + 1, 3), np.uint8)
    profile, buffer = make_profile(primaries, gamma, "a display"), io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(small).resize((side, side + 8)).save(buffer, "JPEG", quality=95, icc_profile=profile, exif=exif)
    stored = Image.open(buffer)
    theirs = ImageCms.profileToProfile(
        stored, ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB"), outputMode="RGB"
    )
    assert theirs is not None
    expected = np.rot90(np.asarray(theirs), {1: 0, 3: 2, 6: -1}[orientation])
    np.testing.assert_array_equal(EncodedImage(buffer.getvalue()).pixels, expected)
