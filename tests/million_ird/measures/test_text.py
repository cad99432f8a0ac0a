"""Text density: pages have text at any size; photographs, flat images and light text on dark have none."""

import cv2
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from million_ird.measures.text import TextMeasure
from tests.million_ird.measures.sample_images import bundled_image, encoded_image, natural_noise

MEASURE = TextMeasure()


def page(width: int, height: int, size: int, lines: int) -> Image.Image:
    page_image = Image.new("L", (width, height), 245)
    draw, font = ImageDraw.Draw(page_image), ImageFont.load_default(size=size)
    for line in range(lines):
        draw.text((size, size * (1 + 1.6 * line)), "The quick brown fox jumps over the lazy dog. " * 3, 20, font)
    return page_image


def density(content: object) -> float | None:
    return MEASURE.measure(encoded_image(content))["text_density"]  # type: ignore[arg-type]


@pytest.mark.parametrize(("width", "height", "size"), [(640, 480, 16), (1600, 1200, 40), (3200, 2400, 60)])
def test_a_printed_page(width: int, height: int, size: int) -> None:
    assert (density(page(width, height, size, 60)) or 0) > 0.45


def test_more_lines_are_more_text() -> None:
    values = [density(page(800, 800, 18, lines)) or 0 for lines in (0, 5, 12, 25)]
    assert values[0] == 0
    assert values == sorted(values)
    assert len(set(values)) == 4


def test_the_bundled_page_is_text_and_photographs_are_not() -> None:
    assert (MEASURE.measure(bundled_image("page.png"))["text_density"] or 0) > 0.45
    for name in ("astronaut.png", "camera.png", "chelsea.png", "coffee.png", "rocket.jpg", "brick.png", "grass.png"):
        assert (MEASURE.measure(bundled_image(name))["text_density"] or 0) < 0.2


def test_a_flat_image_and_soft_shading_hold_no_text() -> None:
    assert density(np.full((200, 200), 250, np.uint8)) == 0
    assert density(cv2.GaussianBlur(natural_noise(400, 400), (0, 0), 12)) == 0


def test_null_under_48_pixels_and_narrow_strips_are_measured() -> None:
    assert density(natural_noise(47, 400)) is None
    assert density(natural_noise(48, 4000)) is not None
