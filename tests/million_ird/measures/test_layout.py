"""Even background at the border and seams, on images whose shares are known."""

import numpy as np
import pytest

from million_ird.measures.layout import LayoutMeasure, border_share, rim_share, seam_share
from tests.million_ird.measures.sample_images import bundled_image, encoded_image, natural_noise, to_colour

MEASURE = LayoutMeasure()


def on_background(inner: int, background: int = 255) -> np.ndarray:
    """Return a textured square in the middle of 200×200 px of even background."""
    pixels = np.full((200, 200, 3), background, np.uint8)
    start = (200 - inner) // 2
    pixels[start : start + inner, start : start + inner] = to_colour(natural_noise(inner, inner) // 2 + 40)
    return pixels


@pytest.mark.parametrize("background", [0, 128, 255])
def test_a_cut_out_on_an_even_background(background: int) -> None:
    numbers = MEASURE.measure(encoded_image(on_background(100, background)))
    assert numbers["border_share"] == pytest.approx(0.75, abs=0.01)
    assert numbers["rim_share"] == 1


def test_only_background_that_is_connected_to_the_border_counts() -> None:
    background = np.zeros((40, 40), bool)
    background[10:20, 10:20] = True
    assert border_share(background) == 0
    background[15, :] = True
    assert border_share(background) == pytest.approx((100 + 30) / 1600)


def test_rim_share_is_the_mean_of_the_sides() -> None:
    bars = np.zeros((100, 160), bool)
    bars[:10], bars[-10:] = True, True
    assert rim_share(bars) == pytest.approx((1 + 1 + 0.2 + 0.2) / 4)
    assert rim_share(bars.T) == pytest.approx(rim_share(bars))


@pytest.mark.parametrize("level", [0, 35, 70, 255])
def test_a_letterbox_is_distinguished_from_a_photograph(level: int) -> None:
    image = to_colour(natural_noise(200, 256))
    assert (MEASURE.measure(encoded_image(image))["rim_share"] or 0) < 0.1
    image[:30], image[-30:] = level, level
    assert (MEASURE.measure(encoded_image(image))["rim_share"] or 0) > 0.6


@pytest.mark.parametrize("level", [0, 6, 40, 75, 128, 255])
@pytest.mark.parametrize("kind", ["disc", "horizon", "two"])
def test_a_subject_before_dark_has_no_border_and_one_before_another_colour_has(kind: str, level: int) -> None:
    y, x = np.mgrid[:240, :320]
    inside = {
        "disc": (y - 120) ** 2 + (x - 160) ** 2 < 80**2,
        "horizon": y > 190 - 50 * np.sin(x / 100),
        "two": ((y - 90) ** 2 + (x - 90) ** 2 < 50**2) | ((y - 150) ** 2 + (x - 240) ** 2 < 60**2),
    }[kind]
    pixels = np.where(inside, natural_noise(240, 320) // 4 + 90, level).astype(np.uint8)
    numbers = MEASURE.measure(encoded_image(pixels))
    assert ((numbers["border_share"] or 0) > 0.5) == ((numbers["rim_share"] or 0) > 0.5) == (level > 80)


def test_a_seam_is_found_between_two_images() -> None:
    left, right = natural_noise(200, 120) // 3, 150 + natural_noise(200, 120, seed=1) // 3
    assert seam_share(np.hstack([left, right])) > 0.9
    assert seam_share(natural_noise(200, 240)) < 0.5
    # A horizon is a seam in the other direction, and is not counted.
    assert seam_share(np.vstack([left, right])) < 0.5


def test_small_images() -> None:
    assert set(MEASURE.measure(encoded_image(natural_noise(15, 90))).values()) == {None}
    flat = MEASURE.measure(encoded_image(np.full((16, 16), 5, np.uint8)))
    assert (flat["border_share"], flat["rim_share"], flat["seam_share"]) == (1, 1, 0)


@pytest.mark.parametrize("name", ["astronaut.png", "camera.png", "chelsea.png", "coffee.png", "rocket.jpg"])
def test_photographs_have_no_border(name: str) -> None:
    numbers = MEASURE.measure(bundled_image(name))
    assert (numbers["border_share"] or 0) < 0.2
    assert (numbers["rim_share"] or 0) < 0.3


def test_the_horse_has_an_even_background() -> None:
    assert (MEASURE.measure(bundled_image("horse.png"))["border_share"] or 0) > 0.5
