"""The Laplacian compared with SciPy's, and the effect of blur, noise and a soft background."""

import cv2
import numpy as np
import pytest
from scipy import ndimage

from million_ird.measures.noise import noise_deviation
from million_ird.measures.sharpness import SharpnessMeasure
from tests.million_ird.measures.sample_images import bundled_image, encoded_image, natural_noise, to_colour

MEASURE = SharpnessMeasure()


def numbers(pixels: np.ndarray) -> dict[str, float]:
    return {name: value for name, value in MEASURE.measure(encoded_image(pixels)).items() if value is not None}


def test_the_variance_equals_scipys() -> None:
    image = encoded_image(to_colour(natural_noise(123, 211)))
    expected = ndimage.laplace(image.luma.astype(np.float64), mode="mirror").var()
    assert MEASURE.measure(image)["laplacian_variance"] == pytest.approx(expected, rel=1e-6)


def test_blocks_equal_a_plain_loop() -> None:
    luma = natural_noise(200, 333)
    laplacian = ndimage.laplace(luma.astype(np.float64), mode="mirror")
    blocks = [laplacian[y : y + 64, x : x + 64].std() for y in range(0, 192, 64) for x in range(0, 320, 64)]
    small = [laplacian[y : y + 16, x : x + 16].std() for y in range(0, 192, 16) for x in range(0, 320, 16)]
    measured, noise = numbers(luma), 20 * (noise_deviation(luma) or 0) ** 2  # variance of the noise's Laplacian
    expected = np.sqrt(np.percentile(np.square(blocks), 95) - 1.2 * noise)
    assert measured["sharpest_blocks"] == pytest.approx(expected, rel=1e-4)
    assert measured["textured_share"] == pytest.approx(np.mean(np.square(small) >= 4 + 1.5 * noise), abs=0.01)


def test_blur_lowers_and_noise_raises() -> None:
    luma = natural_noise(300, 300)
    chain = [cv2.GaussianBlur(luma, (0, 0), sigma) for sigma in (6, 3, 1)] + [luma]
    noisy = np.clip(luma + np.random.default_rng(0).normal(0, 30, luma.shape), 0, 255).astype(np.uint8)
    values = [numbers(image)["laplacian_variance"] for image in [*chain, noisy]]
    assert values == sorted(values)
    values = [numbers(image)["sharpest_blocks"] for image in chain]
    assert values == sorted(values)


@pytest.mark.parametrize("deviation", [3, 8, 15, 25])
def test_noise_is_no_sharpness(deviation: float) -> None:
    soft = cv2.GaussianBlur(natural_noise(640, 640), (0, 0), 8)
    noisy = np.clip(soft + np.random.default_rng(0).normal(0, deviation, soft.shape), 0, 255).astype(np.uint8)
    measured = numbers(noisy)
    assert measured["sharpest_blocks"] < 2
    assert measured["textured_share"] < 0.1


def test_a_sharp_subject_on_a_soft_background_is_sharp_and_a_blurred_image_is_not() -> None:
    luma = natural_noise(640, 640)
    soft = cv2.GaussianBlur(luma, (0, 0), 8)
    subject = soft.copy()
    subject[192:384, 192:384] = luma[192:384, 192:384]
    assert numbers(subject)["sharpest_blocks"] > 0.8 * numbers(luma)["sharpest_blocks"]
    assert numbers(subject)["laplacian_variance"] < 0.2 * numbers(luma)["laplacian_variance"]
    assert numbers(soft)["sharpest_blocks"] < 3


def test_a_gradient_has_no_textured_block_and_a_flat_image_no_sharpness() -> None:
    ramp = np.repeat(np.linspace(0, 255, 400).astype(np.uint8)[None], 300, axis=0)
    assert numbers(ramp)["textured_share"] == 0
    assert set(numbers(np.full((64, 64), 3, np.uint8)).values()) == {0}


@pytest.mark.parametrize(("level", "share"), [(0, 0.85), (30, 0.25)])
def test_black_blocks_do_not_count(level: int, share: float) -> None:
    pixels = np.full((320, 320), level, np.uint8)
    pixels[80:240, 80:240] = natural_noise(160, 160) // 2 + 60
    assert numbers(pixels)["textured_share"] == pytest.approx(share, abs=0.15)


def test_null_under_16_pixels() -> None:
    assert set(MEASURE.measure(encoded_image(natural_noise(15, 100))).values()) == {None}
    assert None not in MEASURE.measure(encoded_image(natural_noise(16, 16))).values()


@pytest.mark.parametrize("name", ["astronaut.png", "camera.png", "chelsea.png", "coffee.png", "rocket.jpg"])
def test_photographs_are_sharp_somewhere(name: str) -> None:
    measured = MEASURE.measure(bundled_image(name))
    assert (measured["sharpest_blocks"] or 0) > 20
    assert (measured["textured_share"] or 0) > 0.5
