"""Flat blocks, entropy, contrast and colourfulness against independent implementations."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage
from skimage.measure import shannon_entropy

from million_ird.measures.texture import FlatMeasure, ToneMeasure, sobel_variances
from tests.million_ird.measures.sample_images import bundled_image, encoded_image, natural_noise, to_colour

TONE, FLAT = ToneMeasure(), FlatMeasure()


def test_tone_equals_independent_implementations() -> None:
    image = encoded_image(to_colour(natural_noise(120, 200)))
    luma = np.asarray(image.luma, np.float64)
    numbers = TONE.measure(image)
    assert numbers["entropy"] == pytest.approx(shannon_entropy(image.luma), abs=1e-9)
    assert numbers["contrast"] == pytest.approx(luma.std(), abs=1e-6)


def test_colourfulness_equals_hasler_and_suesstruncks() -> None:
    pixels = to_colour(natural_noise(60, 90))
    red, green, blue = (pixels[..., k].astype(np.float64) for k in range(3))
    rg, yb = red - green, 0.5 * (red + green) - blue
    expected = np.sqrt(rg.var() + yb.var()) + 0.3 * np.sqrt(rg.mean() ** 2 + yb.mean() ** 2)
    assert TONE.measure(encoded_image(pixels))["colourfulness"] == pytest.approx(expected, rel=1e-5)
    assert TONE.measure(encoded_image(natural_noise(60, 90)))["colourfulness"] == 0


def test_one_grey_level_has_no_entropy_and_no_contrast() -> None:
    numbers = TONE.measure(encoded_image(np.full((50, 50), 77, np.uint8)))
    assert (numbers["entropy"], numbers["contrast"], numbers["colourfulness"]) == (0, 0, 0)


def _reference_variances(luma: NDArray[np.uint8], side: int) -> list[float]:
    values = luma.astype(np.float64)
    magnitude = np.hypot(ndimage.sobel(values, 0, mode="mirror"), ndimage.sobel(values, 1, mode="mirror"))
    rows, columns = luma.shape[0] // side, luma.shape[1] // side
    return [
        float(magnitude[r * side : (r + 1) * side, c * side : (c + 1) * side].var())
        for r in range(rows)
        for c in range(columns)
    ]


@pytest.mark.parametrize(("shape", "side"), [((960, 1201), 240), ((130, 97), 24)])
def test_block_variances_equal_scipys(shape: tuple[int, int], side: int) -> None:
    luma = natural_noise(*shape)
    ours = sobel_variances(luma)
    # The last row and column of blocks may end where ours is cut off, one pixel before theirs.
    theirs = np.asarray(_reference_variances(luma, side)).reshape(ours.shape)
    assert ours[:-1, :-1] == pytest.approx(theirs[:-1, :-1], rel=1e-4)
    assert ours == pytest.approx(theirs, rel=0.05)


def test_flat_share_counts_blocks_and_is_null_for_small_images() -> None:
    half = natural_noise(960, 960)
    half[:, :480] = 128
    assert FLAT.measure(encoded_image(half))["flat_share"] == pytest.approx(0.5, abs=0.13)
    assert FLAT.measure(encoded_image(np.full((64, 64), 9, np.uint8)))["flat_share"] == 1
    assert FLAT.measure(encoded_image(natural_noise(31, 200)))["flat_share"] is None


def test_coffee_has_texture() -> None:
    assert (FLAT.measure(bundled_image("coffee.png"))["flat_share"] or 0) < 0.3
