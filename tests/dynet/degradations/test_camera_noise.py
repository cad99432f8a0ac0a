import cv2
import numpy as np
import pytest

from dynet.degradations.camera_noise import _demosaic, camera_noise
from dynet.degradations.linear_light import to_light
from dynet.runtime.rng import generator

PLAIN = {"red": 1, "blue": 1, "crosstalk": 0, "smoothing": 0}


def noise_on_grey(level: int, **parameters: float) -> np.ndarray:
    """The noise on an even grey image, in linear light."""
    grey = np.full((400, 420, 3), level, np.uint8)
    noisy = camera_noise(grey, generator(0, "test"), **{"shot": 0.002, "read": 0.003, **PLAIN, **parameters})
    return to_light(noisy).astype(float) - float(to_light(grey)[0, 0, 0])


@pytest.mark.parametrize("level", [60, 120, 200])
def test_noise_has_the_variance_of_the_sensor_after_bilinear_demosaicking(level: int) -> None:
    noise = noise_on_grey(level)
    light = float(to_light(np.full((1, 1, 3), level, np.uint8))[0, 0, 0])
    variance = 0.002 * light + 0.003**2
    # Green: half of the pixels are measured, the others are means of 4. Red: 1/4 measured, 1/2 of 2, 1/4 of 4.
    assert noise[..., 1].var() == pytest.approx(variance * (1 + 1 / 4) / 2, rel=0.04)
    assert noise[..., 0].var() == pytest.approx(variance * (1 / 4 + 1 / 2 / 2 + 1 / 4 / 4), rel=0.04)
    assert abs(noise.mean()) < 4e-4  # it neither darkens nor brightens


def test_white_balance_multiplies_the_noise_of_red_and_blue() -> None:
    plain, balanced = noise_on_grey(128, shot=0, read=0.01), noise_on_grey(128, shot=0, read=0.01, red=2, blue=1.5)
    ratio = balanced.std(axis=(0, 1)) / plain.std(axis=(0, 1))
    assert ratio == pytest.approx([2, 1, 1.5], rel=0.04)


def test_neighbours_are_correlated_and_smoothing_makes_it_more() -> None:
    def correlation(noise: np.ndarray) -> float:
        return float(np.corrcoef(noise[:, 1:].ravel(), noise[:, :-1].ravel())[0, 1])

    assert 0.3 < correlation(noise_on_grey(128)) < correlation(noise_on_grey(128, smoothing=1)) < 1


def test_the_colour_matrix_keeps_grey_noise_and_enlarges_coloured_noise() -> None:
    plain, mixed = noise_on_grey(128, shot=0), noise_on_grey(128, shot=0, crosstalk=0.5)
    assert mixed.mean(axis=2) == pytest.approx(plain.mean(axis=2), abs=0.004)  # rounded to levels, both
    chroma = [
        noise[..., 0].std() for noise in (plain - plain.mean(2, keepdims=True), mixed - mixed.mean(2, keepdims=True))
    ]
    assert chroma[1] / chroma[0] == pytest.approx(1.5, rel=0.05)


@pytest.mark.parametrize(("row", "column", "code"), [(0, 0, "RGGB"), (0, 1, "GRBG"), (1, 0, "GBRG"), (1, 1, "BGGR")])
def test_demosaicking_is_that_of_opencv(row: int, column: int, code: str) -> None:
    raw = np.random.default_rng(0).integers(0, 255, (40, 50), dtype=np.uint8)
    ours = _demosaic(np.repeat(raw[..., None], 3, 2).astype(np.float32), row, column)
    theirs = cv2.demosaicing(raw, getattr(cv2, f"COLOR_Bayer{code}2RGB"))
    assert np.abs(ours - theirs)[1:-1, 1:-1].max() <= 1  # OpenCV rounds; its border is another
