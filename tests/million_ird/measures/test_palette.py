"""A palette shows after lossy compression; photographs, grey images and even backgrounds are none."""

from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageFilter, ImageOps

from million_ird.measures.palette import PaletteMeasure
from tests.million_ird.measures.sample_images import ENCODERS, bundled_image, encoded_image, natural_noise

MEASURE = PaletteMeasure()
LIMIT = 0.175
PHOTOGRAPHS = ("astronaut.png", "chelsea.png", "coffee.png", "motorcycle_left.png", "rocket.jpg")
LUMA = np.array([77, 150, 29])
COLOUR = np.array([[128, -107, -21], [-43, -85, 128]])


def number(content: bytes | NDArray[np.uint8] | Image.Image, **options: object) -> float | None:
    return MEASURE.measure(encoded_image(content, **options))["palette"]


def by_definition(pixels: NDArray[np.uint8]) -> float | None:
    """Compute the number from the words of the docstring, with distances between all pairs in one array."""
    step = max(3, int(np.ceil(np.sqrt(pixels.shape[0] * pixels.shape[1] / 65_536))))
    values = pixels.astype(np.int64) @ np.vstack([LUMA, COLOUR]).T
    tops, lefts = (range(0, side - 2, step) for side in pixels.shape[:2])
    blocks = np.array([values[y : y + 3, x : x + 3].reshape(9, 3) for y in tops for x in lefts])
    level = blocks[..., 0].sum(1) / 2304
    flat = blocks[(np.ptp(blocks, axis=1).max(1) <= 7 * 256) & (level > 8) & (level < 247)].sum(1) / 2304
    if len(flat) < 100:
        return None
    if len(flat) > 6000:
        flat = flat[np.arange(6000) * len(flat) // 6000]
    apart = np.sqrt(((flat[:, None] - flat[None]) ** 2).sum(2))
    near, nearby = ((apart <= limit + 1e-12).sum(1) - 1 for limit in (1.5, 7))
    near, nearby = near[nearby >= 6], nearby[nearby >= 6]
    if len(near) < 50 or (1 / nearby).sum() < 6:
        return None
    return float(np.average(near / nearby, weights=1 / nearby))


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_the_number_is_that_of_the_definition(name: str) -> None:
    pixels = bundled_image(name).pixels
    assert number(pixels) == pytest.approx(by_definition(pixels), rel=1e-12)


@pytest.mark.parametrize(("name", "colours", "encoder"), list(product(PHOTOGRAPHS[1:], (16, 32, 64), ENCODERS)))
def test_few_colours_are_found_whatever_the_encoder(name: str, colours: int, encoder: str) -> None:
    reduced = Image.fromarray(bundled_image(name).pixels).quantize(colours).convert("RGB")
    assert (number(reduced, **ENCODERS[encoder]) or 0) > LIMIT


TONES = {
    "sepia": ((30, 15, 5), None, (255, 240, 210)),
    "cyanotype": ((0, 10, 60), None, (250, 250, 255)),
    "tritone": ((0, 0, 0), (140, 115, 90), (255, 255, 255)),
    "split": ((10, 25, 40), (120, 118, 116), (255, 235, 200)),
    "red light": ((0, 0, 0), None, (255, 60, 40)),
}


@pytest.mark.parametrize(("name", "tone", "encoder"), list(product(PHOTOGRAPHS, TONES, ENCODERS)))
def test_toned_photographs_pass(name: str, tone: str, encoder: str) -> None:
    black, middle, white = TONES[tone]
    grey = Image.fromarray(bundled_image(name).pixels).convert("L")
    toned = ImageOps.colorize(grey, black, white, mid=middle)
    assert (number(toned, **ENCODERS[encoder]) or 0) < LIMIT


@pytest.mark.parametrize(("name", "encoder"), list(product(PHOTOGRAPHS, ENCODERS)))
def test_photographs_pass_as_they_are_and_changed(name: str, encoder: str) -> None:
    image = Image.fromarray(bundled_image(name).pixels)
    brighter = image.point(lambda level: round(255 * (level / 255) ** 0.6))
    for one in (image, brighter, image.convert("L"), image.filter(ImageFilter.GaussianBlur(1))):
        assert (number(one, **ENCODERS[encoder]) or 0) <= LIMIT


def test_an_object_before_an_even_background_is_no_palette() -> None:
    pixels = np.full((400, 500, 3), (90, 140, 60), np.uint8)
    pixels[100:300, 150:350] = bundled_image("chelsea.png").pixels[50:250, 100:300]
    assert (number(pixels) or 0) <= LIMIT


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((63, 200, 3), np.uint8),
        np.full((200, 200, 3), 128, np.uint8),
        np.full((200, 200, 3), (200, 40, 40), np.uint8),
        natural_noise(200, 200),
        np.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=np.uint8),
    ],
    ids=["small", "grey", "one colour", "grey texture", "noise"],
)
def test_where_colours_tell_nothing_the_number_is_null(pixels: NDArray[np.uint8]) -> None:
    assert number(pixels) is None
