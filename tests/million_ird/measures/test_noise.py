"""Noise that was added is measured, and neither edges, gradients nor black are taken for it."""

import cv2
import numpy as np
import pytest

from million_ird.measures.noise import NoiseMeasure, noise_deviation
from tests.million_ird.measures.sample_images import bundled_image, encoded_image, natural_noise

MEASURE = NoiseMeasure()


def noisy(luma: np.ndarray, deviation: float) -> np.ndarray:
    noise = np.random.default_rng(1).normal(0, deviation, luma.shape)
    return np.clip(np.rint(luma + noise), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("deviation", [2, 5, 10, 20])
@pytest.mark.parametrize("kind", ["plain", "soft", "half black", "checked"])
def test_added_noise_is_measured(kind: str, deviation: float) -> None:
    plain = np.full((600, 800), 120.0)
    half = plain.copy()
    half[:400] = 0
    y, x = np.mgrid[:600, :800]
    luma = {
        "plain": plain,
        "soft": cv2.GaussianBlur(natural_noise(600, 800), (0, 0), 8).astype(np.float64),
        "half black": half,
        "checked": np.where((x // 64 + y // 64) % 2, 160.0, 90.0),
    }[kind]
    assert noise_deviation(noisy(luma, deviation)) == pytest.approx(deviation, rel=0.15)


@pytest.mark.parametrize("name", ["astronaut.png", "chelsea.png", "coffee.png", "motorcycle_left.png", "rocket.jpg"])
def test_photographs_have_little_and_more_with_noise(name: str) -> None:
    luma = bundled_image(name).luma
    values = [noise_deviation(noisy(luma, deviation)) or 0 for deviation in (0, 4, 8, 16)]
    assert values[0] < 3
    assert values == sorted(values)
    assert values[2] == pytest.approx(8, abs=2)


def test_a_gradient_has_none_and_an_image_without_mid_levels_gives_null() -> None:
    ramp = np.repeat(np.linspace(30, 220, 400).astype(np.uint8)[None], 300, axis=0)
    assert noise_deviation(ramp) == pytest.approx(0, abs=0.3)
    for level in (0, 255):
        assert MEASURE.measure(encoded_image(np.full((300, 300), level, np.uint8))) == {"noise": None}
    assert MEASURE.measure(encoded_image(natural_noise(127, 300))) == {"noise": None}
