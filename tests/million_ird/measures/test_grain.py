"""Coarse noise is measured as grain; white noise, a camera's noise and texture are not."""

from itertools import product

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from million_ird.measures.grain import GrainMeasure, grain
from tests.million_ird.measures.sample_images import ENCODERS, bundled_image, encoded_image, natural_noise

MEASURE = GrainMeasure()
LIMIT = 3.6
SCENES = ("chelsea.png", "coffee.png", "rocket.jpg")
PHOTOGRAPHS = ("astronaut.png", "brick.png", "camera.png", "grass.png", "gravel.png", *SCENES)


def photograph(name: str) -> NDArray[np.float32]:
    return bundled_image(name).pixels.astype(np.float32)


def to_levels(values: NDArray[np.floating]) -> NDArray[np.uint8]:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def noise(pixels: NDArray[np.float32], sigma: float, blur: float, *, grey: bool) -> NDArray[np.uint8]:
    values = np.random.default_rng(0).normal(0, 1, (*pixels.shape[:2], 1 if grey else 3)).astype(np.float32)
    if blur:
        values = cv2.GaussianBlur(values, (0, 0), blur).reshape(values.shape)
    return to_levels(pixels + values * (sigma / values.std()))


def number(pixels: NDArray[np.uint8], **options: object) -> float:
    return MEASURE.measure(encoded_image(pixels, **options))["grain"] or 0


@pytest.mark.parametrize(("name", "blur"), list(product(SCENES, (0.7, 1, 1.3))))
def test_coarse_grey_grain_is_found_whatever_the_encoder(name: str, blur: float) -> None:
    pixels = noise(photograph(name), 25, blur, grey=True)
    for options in ENCODERS.values():
        assert number(pixels, **options) > LIMIT, options


@pytest.mark.parametrize("blur", [0.7, 1])
def test_it_grows_with_the_noise(blur: float) -> None:
    numbers = [number(noise(photograph("chelsea.png"), sigma, blur, grey=True)) for sigma in (0, 5, 10, 15, 25)]
    assert numbers == sorted(numbers)
    assert numbers[-1] > 2 * numbers[1] > 0


@pytest.mark.parametrize(("name", "sigma", "grey"), list(product(SCENES, (2, 5, 10, 20), (False, True))))
def test_white_noise_is_none(name: str, sigma: float, grey: bool) -> None:
    pixels = noise(photograph(name), sigma, 0, grey=grey)
    assert number(pixels) < 1
    assert number(pixels, format="JPEG", quality=90) < LIMIT


@pytest.mark.parametrize(("name", "method"), list(product(SCENES, ("RG2RGB", "RG2RGB_EA", "RG2RGB_VNG"))))
def test_the_noise_of_a_camera_is_none(name: str, method: str) -> None:
    pixels = photograph(name)
    mosaic = pixels[..., 1].copy()
    mosaic[::2, ::2], mosaic[1::2, 1::2] = pixels[::2, ::2, 2], pixels[1::2, 1::2, 0]
    for sigma in (3, 6, 12):
        sensor = to_levels(mosaic + np.random.default_rng(0).normal(0, sigma, mosaic.shape))
        developed = np.asarray(cv2.demosaicing(sensor, getattr(cv2, f"COLOR_Bayer{method}")), np.uint8)
        reduced = np.asarray(cv2.GaussianBlur(developed, (0, 0), 0.7), np.uint8)
        assert max(number(developed), number(reduced), number(developed, format="JPEG", quality=90)) < LIMIT


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_photographs_have_none_texture_and_gravel_included(name: str) -> None:
    assert (MEASURE.measure(bundled_image(name))["grain"] or 0) < LIMIT
    for options in ({"format": "JPEG", "quality": 50}, {"format": "WEBP", "quality": 70}):
        assert number(to_levels(photograph(name)), **options) < LIMIT


@pytest.mark.parametrize("period", [3, 5, 8, 13])
def test_stripes_and_gradients_are_no_grain(period: int) -> None:
    y, x = np.mgrid[:300, :400]
    for pattern in (60 * np.sin(2 * np.pi * x / period), 60 * np.sin(2 * np.pi * (x + y) / period), y / 4):
        assert (grain(to_levels(128 + pattern)) or 0) < LIMIT


def test_even_images_have_none_and_small_and_black_ones_null() -> None:
    assert grain(np.full((300, 300), 90, np.uint8)) == 0
    assert grain(np.full((300, 300), 7, np.uint8)) is None
    assert MEASURE.measure(encoded_image(natural_noise(127, 300))) == {"grain": None}
