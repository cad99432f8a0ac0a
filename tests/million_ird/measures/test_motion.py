"""A straight movement is found in any direction; repeated patterns and other blur are not taken for it."""

from itertools import product

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from million_ird.measures import motion as module
from million_ird.measures.motion import MotionMeasure, motion
from tests.million_ird.measures.sample_images import ENCODERS, bundled_image, encoded_image, natural_noise

MEASURE = MotionMeasure()
LIMIT = 9.0
PHOTOGRAPHS = ("astronaut.png", "camera.png", "chelsea.png", "coffee.png", "gravel.png", "grass.png", "rocket.jpg")


def moved(pixels: NDArray[np.uint8], length: int, degrees: float) -> NDArray[np.uint8]:
    """Blur along a line of a length in px and a direction."""
    kernel = np.zeros((length + 2, length + 2), np.float32)
    middle, turn = (length + 1) / 2, np.deg2rad(degrees)
    for step in np.linspace(-(length - 1) / 2, (length - 1) / 2, 8 * length):
        y, x = middle - step * np.sin(turn), middle + step * np.cos(turn)
        top, left = int(y), int(x)
        for down, across in product((0, 1), (0, 1)):
            share = (1 - abs(y - top - down)) * (1 - abs(x - left - across))
            if share > 0:
                kernel[top + down, left + across] += share
    return np.asarray(cv2.filter2D(pixels, -1, kernel / kernel.sum()), np.uint8)


def number(pixels: NDArray[np.uint8], **options: object) -> float:
    return MEASURE.measure(encoded_image(pixels, **options))["motion"] or 0


def photograph(name: str) -> NDArray[np.uint8]:
    return bundled_image(name).pixels


@pytest.mark.parametrize(("length", "degrees"), list(product((9, 13, 21), (0, 20, 45, 70, 90, 135))))
def test_movements_are_found_in_any_direction_by_any_encoder(length: int, degrees: float) -> None:
    for name in ("coffee.png", "astronaut.png"):
        pixels = moved(photograph(name), length, degrees)
        for options in ENCODERS.values():
            assert number(pixels, **options) > LIMIT, (name, options)


@pytest.mark.parametrize("length", [9, 21])
def test_movement_is_found_beneath_the_noise_of_a_camera(length: int) -> None:
    noise = np.random.default_rng(0).normal(0, 3, (512, 512, 3))
    pixels = moved(photograph("astronaut.png"), length, 30) + noise
    assert number(np.clip(pixels, 0, 255).astype(np.uint8)) > LIMIT


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_photographs_did_not_move_whatever_the_encoder(name: str) -> None:
    assert (MEASURE.measure(bundled_image(name))["motion"] or 0) < LIMIT
    for options in ({"format": "JPEG", "quality": 50}, {"format": "WEBP", "quality": 60}, *ENCODERS.values()):
        assert number(photograph(name), **options) < LIMIT


@pytest.mark.parametrize(("name", "sigma"), list(product(("coffee.png", "chelsea.png"), (0.7, 1.5, 3))))
def test_defocus_is_no_movement(name: str, sigma: float) -> None:
    assert number(np.asarray(cv2.GaussianBlur(photograph(name), (0, 0), sigma), np.uint8)) < LIMIT


@pytest.mark.parametrize(("period", "kind"), list(product((4, 6, 8, 11, 16, 20, 30), ("stripes", "diagonal", "grid"))))
def test_repeated_patterns_are_no_movement(period: int, kind: str) -> None:
    y, x = np.mgrid[:400, :600] * (2 * np.pi / period)
    pattern = {"stripes": np.sign(np.sin(x + 0.3)), "diagonal": np.sin(x + 0.6 * y)}
    pattern["grid"] = np.sign(np.sin(x + 0.1)) * np.sign(np.sin(y + 0.1))
    noise = np.random.default_rng(0).normal(0, 2, x.shape)
    assert motion(np.clip(128 + 70 * pattern[kind] + noise, 0, 255).astype(np.uint8)) < LIMIT


@pytest.mark.parametrize("ratio", [2, 4, 8])
def test_a_scene_of_mostly_level_structure_such_as_a_sea_is_no_movement(ratio: int) -> None:
    y, x = np.fft.fftfreq(400)[:, None], np.fft.rfftfreq(800)[None]
    spectrum = np.fft.rfft2(np.random.default_rng(ratio).standard_normal((400, 800)))
    waves = np.fft.irfft2(spectrum / np.maximum(np.hypot(y, ratio * x), 1 / 400), (400, 800))
    assert motion(np.clip(128 + 40 * waves / waves.std(), 0, 255).astype(np.uint8)) < LIMIT


def halves(luma: NDArray[np.uint8]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the cepstrum and the energy that `motion` multiplies."""
    luma = np.ascontiguousarray(luma)
    return module._cepstrum(luma, module._sharpest_tiles(luma))


@pytest.mark.parametrize("distance", [9, 12, 16])
def test_a_faint_double_image_of_a_sharp_scene_is_no_movement(distance: int) -> None:
    scene = bundled_image("grass.png").luma.astype(float)
    reflected = scene[:, distance:] - 0.06 * scene[:, :-distance]
    luma = np.clip(128 + 45 * (reflected - reflected.mean()) / reflected.std(), 0, 255).astype(np.uint8)
    assert module._depth(halves(luma)[0]) > LIMIT
    assert motion(luma) < LIMIT


@pytest.mark.parametrize("sigma", [0, 6])
def test_energy_is_that_of_a_plain_sum_and_noise_is_none_of_it(sigma: float) -> None:
    rng = np.random.default_rng(1)
    smooth = cv2.GaussianBlur(rng.normal(0, 1, (128, 128)), (0, 0), 3)
    luma = np.clip(np.rint(128 + 40 * smooth / smooth.std() + rng.normal(0, sigma, smooth.shape)), 0, 255)
    window = np.outer(np.hanning(128), np.hanning(128))
    power = np.abs(np.fft.fft2((luma - luma.mean()) * window)) ** 2 / (128**2 * np.square(window).sum())
    distance = np.rint(np.hypot(*np.meshgrid(np.fft.fftfreq(128) * 128, np.fft.fftfreq(128) * 128)))
    expected = np.array([power[distance > 32].sum(), power[distance > 0].sum()])
    energy = halves(luma.astype(np.uint8))[1]
    np.testing.assert_allclose(energy, expected, rtol=1e-3, atol=0.05)
    if sigma:
        assert energy[0] > 0.7 * sigma**2
        assert module._factor(energy, 1.1 * sigma) == module._LARGEST_FACTOR > module._factor(energy, 0)


def test_even_images_have_none_and_small_ones_null() -> None:
    assert motion(np.full((300, 300), 7, np.uint8)) == 0
    assert MEASURE.measure(encoded_image(natural_noise(127, 300))) == {"motion": None}
