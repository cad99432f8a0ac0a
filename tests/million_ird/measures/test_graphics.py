"""Even areas, few colours, missing detail: known values, and photographs against artwork."""

from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest

from million_ird.measures.graphics import GraphicsMeasure
from tests.million_ird.measures.sample_images import bundled_image, encoded_image, natural_noise, to_colour

MEASURE = GraphicsMeasure()


def test_even_share_equals_a_plain_loop() -> None:
    pixels = to_colour(natural_noise(30, 40) // 32 * 32)
    codes = [[tuple(pixel) for pixel in row] for row in pixels.tolist()]
    common = {code for code, _ in Counter(code for row in codes for code in row).most_common(3)}
    same = [
        codes[y][x] == codes[y][x + 1] == codes[y + 1][x] and codes[y][x] in common
        for y in range(29)
        for x in range(39)
    ]
    assert MEASURE.measure(encoded_image(pixels))["even_share"] == pytest.approx(np.mean(same))


def test_colours_that_differ_in_one_channel_are_different() -> None:
    pixels = np.zeros((16, 16, 3), np.uint8)
    pixels[..., 2] = np.arange(16)
    numbers = MEASURE.measure(encoded_image(pixels))
    assert (numbers["even_share"], numbers["top_colours"]) == (0, 0.5)


def test_a_clean_sky_has_many_colours() -> None:
    sky = np.repeat(np.linspace(120, 170, 256).astype(np.uint8)[:, None], 256, axis=1)
    assert (MEASURE.measure(encoded_image(np.stack([sky - 40, sky - 10, sky], axis=2)))["even_share"] or 0) < 0.1


@pytest.mark.parametrize(("colour", "even"), [(40, 62 / 63), (0, 31 / 32)], ids=["dark", "black"])
def test_few_colours_are_counted_and_black_does_not_count(colour: int, even: float) -> None:
    pixels = np.full((64, 64), colour, np.uint8)
    pixels[:32] = 255
    numbers = MEASURE.measure(encoded_image(pixels))
    assert numbers["top_colours"] == 1
    assert numbers["even_share"] == pytest.approx(even)


@pytest.mark.parametrize("drawn", [False, True])
def test_what_is_on_black_decides(drawn: bool) -> None:
    pixels = np.zeros((240, 240), np.uint8)
    pixels[80:160, 80:160] = 200 if drawn else natural_noise(80, 80) // 2 + 60
    assert ((MEASURE.measure(encoded_image(pixels))["even_share"] or 0) > 0.25) == drawn


FAMILIES = {"neutral": (1.0, 1.0, 1.0), "red": (1.0, 0.3, 0.2), "blue": (0.3, 0.5, 1.0)}


@pytest.mark.parametrize("level", [10, 24, 40])
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("before", ["photograph", "lines", "letters"])
def test_before_a_dark_background_what_is_there_decides(before: str, family: str, level: int) -> None:
    pixels = np.tile(np.rint(np.array(FAMILIES[family]) * level).astype(np.uint8), (320, 400, 1))
    if before == "photograph":
        pixels[60:260, 90:310] = bundled_image("coffee.png").pixels[100:300, 150:370]
    for row in range(40, 280, 20):
        if before == "lines":
            cv2.line(pixels, (30, row), (370, row + 9), (90, 200, 250), 2, cv2.LINE_AA)
        elif before == "letters":
            cv2.putText(pixels, "self.measure(image)", (20, row), 0, 0.6, (220, 220, 170), 1, cv2.LINE_AA)
    assert ((MEASURE.measure(encoded_image(pixels))["even_share"] or 0) > 0.25) == (before != "photograph")


def test_a_photograph_before_another_even_background_is_a_cut_out() -> None:
    pixels = np.full((320, 400, 3), 250, np.uint8)
    pixels[60:260, 90:310] = bundled_image("coffee.png").pixels[100:300, 150:370]
    assert (MEASURE.measure(encoded_image(pixels))["even_share"] or 0) > 0.25


def test_detail_falls_with_blur_and_a_gradient_has_none() -> None:
    luma = natural_noise(200, 200)
    values = [
        MEASURE.measure(encoded_image(cv2.GaussianBlur(luma, (0, 0), sigma) if sigma else luma))["detail"] or 0
        for sigma in (8, 3, 1, 0)
    ]
    assert values == sorted(values)
    assert values[0] < 9 < values[-1]
    ramp = np.repeat(np.linspace(0, 255, 900).astype(np.uint8)[None], 600, axis=0)
    assert (MEASURE.measure(encoded_image(ramp))["detail"] or 0) <= 2


def test_null_under_16_pixels() -> None:
    assert set(MEASURE.measure(encoded_image(natural_noise(15, 90))).values()) == {None}


@pytest.mark.parametrize("name", ["astronaut.png", "camera.png", "chelsea.png", "coffee.png", "rocket.jpg", "moon.png"])
def test_photographs_are_not_even(name: str) -> None:
    numbers = MEASURE.measure(bundled_image(name))
    assert (numbers["even_share"] or 0) < 0.2
    assert (numbers["detail"] or 0) > 20


@pytest.mark.parametrize("name", ["horse.png", "logo.png", "phantom.png", "chessboard_RGB.png"])
def test_artwork_is_even(name: str) -> None:
    assert (MEASURE.measure(bundled_image(name))["even_share"] or 0) > 0.25


def test_real_logos_and_charts_are_even(shared_data: Path) -> None:
    for kind in ("logos", "charts"):
        files = sorted((shared_data / "negatives" / kind).iterdir())[:8]
        assert all((MEASURE.measure(encoded_image(path.read_bytes()))["even_share"] or 0) > 0.25 for path in files)
