"""Median filters are found whatever the encoder; photographs pass, soft and noisy ones too."""

from itertools import product

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from million_ird.measures.resolution import ResolutionMeasure
from tests.million_ird.measures.sample_images import ENCODERS, bundled_image, encoded_image, natural_noise

MEASURE = ResolutionMeasure()
LIMIT = 14
PHOTOGRAPHS = ("astronaut.png", "chelsea.png", "coffee.png", "motorcycle_left.png", "rocket.jpg")


def number(pixels: NDArray[np.uint8], **options: object) -> float:
    value = MEASURE.measure(encoded_image(pixels, **options))["smoothed"]
    assert value is not None
    return value


@pytest.mark.parametrize(
    ("name", "size", "encoder"), list(product(("chelsea.png", "motorcycle_left.png"), (5, 7), ENCODERS))
)
def test_medians_are_found_whatever_the_encoder(name: str, size: int, encoder: str) -> None:
    filtered = np.asarray(cv2.medianBlur(bundled_image(name).pixels, size), np.uint8)
    assert number(filtered, **ENCODERS[encoder]) > LIMIT


def noisy(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    noise = np.random.default_rng(0).normal(0, 3, pixels.shape)
    return np.clip(np.rint(pixels + noise), 0, 255).astype(np.uint8)


@pytest.mark.parametrize(("name", "encoder"), list(product(PHOTOGRAPHS, ENCODERS)))
def test_photographs_pass_also_noisy_ones(name: str, encoder: str) -> None:
    pixels = bundled_image(name).pixels
    assert number(pixels, **ENCODERS[encoder]) <= LIMIT
    assert number(noisy(pixels), **ENCODERS[encoder]) <= LIMIT


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_soft_photographs_with_noise_pass(name: str) -> None:
    soft = np.asarray(cv2.GaussianBlur(bundled_image(name).pixels, (0, 0), 0.8), np.uint8)
    assert number(noisy(soft)) <= LIMIT


def test_noise_that_falls_as_photographs_do_passes() -> None:
    assert number(natural_noise(256, 384)) < 5


def test_the_number_is_null_without_structure_or_under_128_px() -> None:
    for pixels in (np.full((200, 200), 128, np.uint8), np.zeros((100, 300), np.uint8)):
        assert MEASURE.measure(encoded_image(pixels))["smoothed"] is None
