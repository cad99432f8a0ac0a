"""Overshoots are counted as OpenCV's rank filters show them; hard sharpening is found, photographs pass."""

from itertools import product

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from million_ird.measures.resolution import ResolutionMeasure
from million_ird.measures.sharpening import _count_overshoots
from tests.million_ird.measures.sample_images import ENCODERS, bundled_image, encoded_image

MEASURE = ResolutionMeasure()
LIMIT = 1.5
PHOTOGRAPHS = ("astronaut.png", "chelsea.png", "coffee.png", "motorcycle_left.png", "rocket.jpg")


def number(image: Image.Image, **options: object) -> float:
    value = MEASURE.measure(encoded_image(image, **options))["oversharpened"]
    assert value is not None
    return value


def photograph(name: str) -> Image.Image:
    return Image.fromarray(bundled_image(name).pixels)


@given(hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=150)))
def test_overshoots_of_random_images_are_those_of_rank_filters(luma: NDArray[np.uint8]) -> None:
    check(luma)


@pytest.mark.parametrize("name", ["coffee.png", "rocket.jpg", "grass.png", "camera.png"])
def test_overshoots_of_photographs_are_those_of_rank_filters(name: str) -> None:
    luma = bundled_image(name).luma
    check(cv2.convertScaleAbs(luma, alpha=2, beta=-80))
    check(luma)


def check(luma: NDArray[np.uint8]) -> None:
    square = np.ones((3, 3), np.uint8)
    step = cv2.dilate(luma, square).astype(int) - cv2.erode(luma, square) > 40
    counts = []
    for clipped in (luma <= 4, luma >= 251):
        around = cv2.filter2D(clipped.astype(np.uint8), -1, np.ones((7, 7)), borderType=cv2.BORDER_CONSTANT)
        counts.append(np.count_nonzero(step & clipped & (around <= 16)))
    assert list(_count_overshoots(np.ascontiguousarray(luma))) == counts


@pytest.mark.parametrize(
    ("name", "mask", "encoder"),
    list(product(("motorcycle_left.png", "rocket.jpg"), ((1, 400), (2, 300), (2, 400)), ENCODERS)),
)
def test_hard_sharpening_is_found_whatever_the_encoder(name: str, mask: tuple[int, int], encoder: str) -> None:
    sharpened = photograph(name).filter(ImageFilter.UnsharpMask(*mask, 0))
    assert number(sharpened, **ENCODERS[encoder]) > LIMIT


@pytest.mark.parametrize(("name", "encoder"), list(product(PHOTOGRAPHS, ENCODERS)))
def test_photographs_and_those_sharpened_a_little_pass(name: str, encoder: str) -> None:
    image = photograph(name)
    for one in (image, image.filter(ImageFilter.UnsharpMask(1, 60, 0))):
        assert number(one, **ENCODERS[encoder]) <= LIMIT


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_more_sharpening_gives_a_larger_number(name: str) -> None:
    image = photograph(name)
    numbers = [number(image.filter(ImageFilter.UnsharpMask(2, percent, 0))) for percent in (0, 50, 100, 200, 400)]
    assert numbers == sorted(numbers)


def test_the_number_is_null_without_structure_or_under_128_px() -> None:
    for pixels in (np.full((200, 200), 128, np.uint8), np.zeros((100, 300), np.uint8)):
        assert MEASURE.measure(encoded_image(pixels))["oversharpened"] is None
