"""Even ground at the rim and seams, on pictures whose shares are known."""

import numpy as np
import pytest

from million_ird.measures.layout import LayoutMeasure, border_share, rim_share, seam_share
from tests.million_ird.measures.sample_images import bundled, colour, natural, sample

MEASURE = LayoutMeasure()


def on_ground(inner: int, ground: int = 255) -> np.ndarray:
    """A textured square in the middle of 200×200 px of even ground."""
    pixels = np.full((200, 200, 3), ground, np.uint8)
    start = (200 - inner) // 2
    pixels[start : start + inner, start : start + inner] = colour(natural(inner, inner) // 2 + 40)
    return pixels


@pytest.mark.parametrize("ground", [0, 128, 255])
def test_a_cut_out_on_even_ground(ground: int) -> None:
    numbers = MEASURE.measure(sample(on_ground(100, ground)))
    assert numbers["border_share"] == pytest.approx(0.75, abs=0.01)
    assert numbers["rim_share"] == 1


def test_only_ground_that_reaches_the_rim_counts() -> None:
    ground = np.zeros((40, 40), bool)
    ground[10:20, 10:20] = True
    assert border_share(ground) == 0
    ground[15, :] = True
    assert border_share(ground) == pytest.approx((100 + 30) / 1600)


def test_rim_share_is_the_mean_of_the_sides() -> None:
    bars = np.zeros((100, 160), bool)
    bars[:10], bars[-10:] = True, True
    assert rim_share(bars) == pytest.approx((1 + 1 + 0.2 + 0.2) / 4)
    assert rim_share(bars.T) == pytest.approx(rim_share(bars))


def test_a_letterbox_is_told_from_a_photograph() -> None:
    picture = colour(natural(200, 256))
    assert (MEASURE.measure(sample(picture))["rim_share"] or 0) < 0.1
    picture[:30], picture[-30:] = 0, 0
    assert (MEASURE.measure(sample(picture))["rim_share"] or 0) > 0.6


def test_a_seam_is_found_where_pictures_meet() -> None:
    left, right = natural(200, 120) // 3, 150 + natural(200, 120, seed=1) // 3
    assert seam_share(np.hstack([left, right])) > 0.9
    assert seam_share(natural(200, 240)) < 0.5
    # A horizon is a seam the other way, and stays.
    assert seam_share(np.vstack([left, right])) < 0.5


def test_nulls_and_little_pictures() -> None:
    assert set(MEASURE.measure(sample(natural(15, 90))).values()) == {None}
    flat = MEASURE.measure(sample(np.full((16, 16), 5, np.uint8)))
    assert (flat["border_share"], flat["rim_share"], flat["seam_share"]) == (1, 1, 0)


@pytest.mark.parametrize("name", ["astronaut.png", "camera.png", "chelsea.png", "coffee.png", "rocket.jpg"])
def test_photographs_fill_their_frame(name: str) -> None:
    numbers = MEASURE.measure(bundled(name))
    assert (numbers["border_share"] or 0) < 0.2
    assert (numbers["rim_share"] or 0) < 0.3


def test_the_horse_stands_on_even_ground() -> None:
    assert (MEASURE.measure(bundled("horse.png"))["border_share"] or 0) > 0.5
