"""Bars, gutters, joints and mirrored sides that were made are measured as such, and photographs have none."""

from itertools import product

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from million_ird.measures.composites import CompositeMeasure
from tests.million_ird.measures.sample_images import BUNDLED, bundled_image, encoded_image, natural_noise, to_colour

MEASURE = CompositeMeasure()
PHOTOGRAPHS = ("astronaut.png", "brick.png", "camera.png", "chelsea.png", "coffee.png", "rocket.jpg")
LIMITS = {"bar_share": 0.018, "gutter_share": 0.002, "joint_share": 0.5, "mirror_share": 0.85}


def measured(pixels: NDArray[np.uint8], **options: object) -> dict[str, float]:
    return {name: value or 0 for name, value in MEASURE.measure(encoded_image(pixels, **options)).items()}


def turned(pixels: NDArray[np.uint8], across: bool) -> NDArray[np.uint8]:
    return np.ascontiguousarray(pixels.swapaxes(0, 1)) if across else pixels


def scene(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    return to_colour(natural_noise(height, width, seed))


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_photographs_are_within_all_limits(name: str) -> None:
    numbers = MEASURE.measure(bundled_image(name))
    assert all((numbers[field] or 0) <= limit for field, limit in LIMITS.items()), numbers


@pytest.mark.parametrize(("level", "share", "across"), list(product((0, 128, 255), (0.02, 0.05, 0.12), (False, True))))
def test_bars_are_measured_by_their_share(level: int, share: float, across: bool) -> None:
    pixels = scene(500, 400)
    bar = round(500 * share)
    pixels[:bar] = pixels[-bar:] = level
    numbers = measured(turned(pixels, across))
    assert numbers["bar_share"] == pytest.approx(2 * bar / 500, abs=0.002)
    assert numbers["gutter_share"] == 0
    # JPEG carries the edge into the last block of a bar.
    compressed = measured(turned(pixels, across), format="JPEG", quality=92)["bar_share"]
    assert 2 * (bar - 8) / 500 <= compressed <= 2 * bar / 500


@pytest.mark.parametrize("level", [0, 6, 255])
@pytest.mark.parametrize("kind", ["ragged", "nearly level", "fading"])
def test_a_black_or_white_sky_is_no_bar(kind: str, level: int) -> None:
    y, x = np.mgrid[:500, :400]
    pixels = natural_noise(500, 400).astype(np.float64)
    if kind == "ragged":
        pixels[y < 120 + 60 * np.sin(x / 30)] = level
    elif kind == "nearly level":
        # What begins there has fine structure of its own, which is no straight edge.
        pixels = np.random.default_rng(0).integers(40, 216, (500, 400)).astype(np.float64)
        pixels[y < 120 + 7 * np.sin(x / 30)] = level
    else:
        fade = np.clip((y - 100) / 150, 0, 1)
        pixels = level + (pixels - level) * fade**2
    assert measured(pixels.astype(np.uint8))["bar_share"] == 0


@pytest.mark.parametrize("across", [False, True])
def test_bars_beside_a_dark_picture_count_if_two_fifths_of_the_edge_show(across: bool) -> None:
    pixels = scene(500, 400) // 2 + 40
    pixels[:, 160:] = 0
    pixels[:30] = pixels[-30:] = 0
    assert measured(turned(pixels, across))["bar_share"] > LIMITS["bar_share"]


@pytest.mark.parametrize(("level", "across"), list(product((0, 255), (False, True))))
def test_gutters_are_measured_by_their_share(level: int, across: bool) -> None:
    pixels = scene(500, 400)
    pixels[247:253] = level
    numbers = measured(turned(pixels, across))
    assert numbers["gutter_share"] == pytest.approx(6 / 500, abs=0.003)
    assert numbers["bar_share"] == 0
    assert numbers["joint_share"] > LIMITS["joint_share"]


def test_a_page_of_even_rows_only_is_no_bar() -> None:
    assert set(measured(np.full((200, 300, 3), 90, np.uint8)).values()) == {0}


@pytest.mark.parametrize(
    ("pair", "across"), list(product((("coffee.png", "chelsea.png"), ("astronaut.png", "rocket.jpg")), (False, True)))
)
def test_two_photographs_side_by_side_have_a_joint(pair: tuple[str, str], across: bool) -> None:
    parts = [turned(cv2.cvtColor(cv2.imread(str(BUNDLED / name)), cv2.COLOR_BGR2RGB), across) for name in pair]
    width = min(part.shape[1] for part in parts)
    sheet = np.vstack([part[:300, :width] for part in parts])
    for options in ({}, {"format": "JPEG", "quality": 92}):
        assert measured(turned(sheet, across), **options)["joint_share"] > LIMITS["joint_share"]


@pytest.mark.parametrize(("cells", "across"), list(product((2, 3, 5), (False, True))))
def test_texture_beside_texture_of_the_same_kind_has_joints(cells: int, across: bool) -> None:
    parts = [cv2.GaussianBlur(scene(120, 500, seed), (0, 0), 1.2) for seed in range(cells)]
    sheet = np.vstack(parts).astype(np.uint8)
    for options in ({}, {"format": "JPEG", "quality": 92}):
        assert measured(turned(sheet, across), **options)["joint_share"] > LIMITS["joint_share"]


def test_courses_of_a_wall_and_repeated_pixels_are_no_joints() -> None:
    pixels = scene(400, 500)
    for row in range(40, 400, 40):
        pixels[row:] = np.roll(pixels[row:], 91, axis=1)
    assert measured(pixels)["joint_share"] == 0
    assert measured(scene(100, 120).repeat(4, axis=0).repeat(4, axis=1))["joint_share"] == 0


@pytest.mark.parametrize(("blur", "tilt"), list(product((0.6, 0.8, 1.0, 1.2), (0, 0.4, 1))))
def test_the_level_horizon_of_a_calm_sea_is_no_joint(blur: float, tilt: float) -> None:
    """Draw it at four times the size: a lens blurs it by `blur` pixels, and it falls by `tilt` pixels to one side."""
    for ripple, contrast in ((1, 70), (4, 30)):
        random = np.random.default_rng(0)
        y, x = np.mgrid[:1200, :2000]
        sea = 180 - contrast + 3 * ripple * cv2.resize(random.normal(0, 1, (150, 250)), (2000, 1200))
        drawn = np.where(y < 541 + 4 * tilt * (x / 2000 - 0.5), 180 + y / 40, sea).astype(np.float32)
        small = cv2.resize(cv2.GaussianBlur(drawn, (0, 0), 4 * blur), (500, 300), interpolation=cv2.INTER_AREA)
        pixels = np.clip(small + random.normal(0, 1, small.shape), 0, 255).astype(np.uint8)
        assert measured(pixels)["joint_share"] <= LIMITS["joint_share"]


@pytest.mark.parametrize(("share", "across"), list(product((0.05, 0.12, 0.22, 0.3), (False, True))))
def test_mirrored_sides_are_found_at_any_width_and_one_mirrored_side_is_not(share: float, across: bool) -> None:
    pixels = scene(400, 500)
    side = round(500 * share)
    both = cv2.copyMakeBorder(pixels, 0, 0, side, side, cv2.BORDER_REFLECT)
    assert measured(turned(both, across), format="JPEG", quality=92)["mirror_share"] > 0.9
    one = cv2.copyMakeBorder(pixels, 0, 0, side, 0, cv2.BORDER_REFLECT)
    assert measured(turned(one, across))["mirror_share"] < 0.6


def test_a_lake_that_mirrors_the_shore_has_no_mirrored_sides() -> None:
    shore = scene(250, 600)
    assert measured(np.vstack([shore, shore[::-1]]))["mirror_share"] < 0.6


def test_small_images_give_null() -> None:
    assert set(MEASURE.measure(encoded_image(natural_noise(63, 200))).values()) == {None}
