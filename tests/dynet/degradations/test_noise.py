import numpy as np
import pytest
from scipy import stats
from skimage.util import random_noise as skimage_noise

from dynet.degradations.gaussian_noise import gaussian_noise
from dynet.degradations.impulse_noise import impulse_noise
from dynet.degradations.poisson_gaussian_noise import poisson_gaussian_noise
from dynet.degradations.random_noise import random_noise
from dynet.runtime.rng import generator

ROUNDING = 1 / 12
"""Variance that rounding to whole levels adds."""


def flat(level: int) -> np.ndarray:
    return np.full((250, 300, 3), level, np.uint8)


def noise_of(noisy: np.ndarray, level: int) -> np.ndarray:
    return noisy.astype(float) - level


@pytest.mark.parametrize("sigma", [1, 2, 10, 25])
def test_gaussian_noise_has_its_sigma_and_no_bias(sigma: float) -> None:
    noise = noise_of(gaussian_noise(flat(128), generator(0, "test"), sigma=sigma), 128)
    variance = sigma**2 + ROUNDING
    assert noise.var() == pytest.approx(variance, rel=0.015)
    assert abs(noise.mean()) < 4 * (variance / noise.size) ** 0.5  # truncation would shift it by -0.5
    assert abs(np.corrcoef(noise[..., 0].ravel(), noise[..., 1].ravel())[0, 1]) < 0.02
    assert abs(np.corrcoef(noise[:, 1:].ravel(), noise[:, :-1].ravel())[0, 1]) < 0.02


def test_gaussian_noise_is_normal() -> None:
    noise = noise_of(gaussian_noise(flat(128), generator(0, "test"), sigma=20), 128)
    assert abs(stats.skew(noise, axis=None)) < 0.03
    assert abs(stats.kurtosis(noise, axis=None)) < 0.06


@pytest.mark.parametrize("value", [0, 255])
def test_noise_stays_within_eight_bits(value: int) -> None:
    for noisy in (
        gaussian_noise(flat(value), generator(0, "test"), sigma=50),
        random_noise(flat(value), generator(0, "test"), amplitude=90),
    ):
        assert np.mean(noisy == value) == pytest.approx(0.5, abs=0.02)  # clipped, not wrapped around


def test_random_noise_is_uniform_over_its_amplitude() -> None:
    noise = noise_of(random_noise(flat(128), generator(0, "test"), amplitude=30), 128)
    counts = np.array([np.sum(noise == value) for value in range(-30, 31)])
    assert counts.sum() == noise.size
    assert counts[1:-1] / noise.size == pytest.approx(1 / 60, rel=0.07)
    assert counts[[0, -1]] / noise.size == pytest.approx(1 / 120, rel=0.1)  # half a level's width
    assert abs(noise.mean()) < 4 * (300 / noise.size) ** 0.5


@pytest.mark.parametrize(("gain", "sigma"), [(0.5, 2), (3, 5), (10, 0)])
@pytest.mark.parametrize("level", [40, 100, 150])
def test_poisson_gaussian_noise_has_its_mean_and_variance(level: int, gain: float, sigma: float) -> None:
    noise = noise_of(poisson_gaussian_noise(flat(level), generator(0, "test"), gain=gain, sigma=sigma), level)
    # With a mean of at least two photons, clipping at 0 and 255 has almost no effect.
    variance = gain * level + sigma**2 + (ROUNDING if sigma or gain % 1 else 0)
    assert noise.var() == pytest.approx(variance, rel=0.02)
    assert abs(noise.mean()) < 4 * (variance / noise.size) ** 0.5


def test_shot_noise_is_as_skewed_as_a_poisson_variable() -> None:
    gain, level = 5.0, 60
    noise = noise_of(poisson_gaussian_noise(flat(level), generator(0, "test"), gain=gain, sigma=0), level)
    assert stats.skew(noise, axis=None) == pytest.approx(float(stats.poisson(level / gain).stats("s")), abs=0.03)
    photons = (noise + level) / gain
    assert np.array_equal(photons, np.rint(photons))


def test_without_light_there_is_no_shot_noise() -> None:
    assert not poisson_gaussian_noise(flat(0), generator(0, "test"), gain=10, sigma=0).any()


@pytest.mark.parametrize("gain", [1e-9, 1e-5, 1e-3])
def test_a_tiny_gain_gives_almost_no_noise(gain: float) -> None:
    noisy = poisson_gaussian_noise(flat(200), generator(0, "test"), gain=gain, sigma=0)
    assert np.abs(noise_of(noisy, 200)).max() <= 3


def test_salt_and_pepper_replace_their_share_equally_often() -> None:
    noisy = impulse_noise(flat(128), generator(0, "test"), share=0.2, extremes=1)
    theirs = np.rint(255 * skimage_noise(flat(128), "s&p", rng=0, amount=0.2)).astype(np.uint8)
    for value in (0, 255, 128):
        assert np.mean(noisy == value) == pytest.approx(np.mean(theirs == value), abs=0.005)
    assert set(np.unique(noisy)) == {0, 128, 255}


def test_random_valued_impulses_are_any_level() -> None:
    noisy = impulse_noise(flat(128), generator(0, "test"), share=0.5, extremes=0)
    counts = np.bincount(noisy.ravel(), minlength=256)
    assert stats.chisquare(np.delete(counts, 128)).pvalue > 0.001
    assert counts[128] / noisy.size == pytest.approx(0.5 + 0.5 / 256, abs=0.005)


def test_impulses_of_share_one_leave_nothing() -> None:
    assert set(np.unique(impulse_noise(flat(128), generator(0, "test"), share=1, extremes=1))) == {0, 255}


def test_other_values_are_unchanged_by_impulses(photographs: list[np.ndarray]) -> None:
    noisy = impulse_noise(photographs[0], generator(0, "test"), share=0.1, extremes=0)
    assert np.mean(noisy != photographs[0]) == pytest.approx(0.1, abs=0.005)
