"""Degradations in linear light: haze, rain, low light, and the sRGB curve."""

import sys
from itertools import pairwise

import numpy as np
import pytest
from scipy import ndimage, stats

from dynet.degradations.haze import haze
from dynet.degradations.linear_light import to_levels, to_light
from dynet.degradations.low_light import low_light
from dynet.degradations.pseudo_depth import pseudo_depth
from dynet.degradations.rain import DIMMEST, SKY, rain
from dynet.runtime.rng import generator

LEVELS = np.arange(256, dtype=np.uint8)
SHOWER = {"density": 0.05, "length": 40, "width": 3, "angle": 20, "opacity": 1, "layers": 1, "veil": 0}


def flat(level: int, height: int = 256, width: int = 256) -> np.ndarray:
    return np.full((height, width, 3), level, np.uint8)


def test_every_level_survives_the_conversion_to_light_and_back() -> None:
    assert np.array_equal(to_levels(to_light(LEVELS)), LEVELS)
    assert to_light(LEVELS)[[0, 255]].tolist() == [0, 1]
    assert to_levels(np.array([-1.0, 2.0], np.float32)).tolist() == [0, 255]


def test_the_curve_equals_scikit_images() -> None:
    color = pytest.importorskip("skimage.color")
    theirs = color.rgb2xyz(LEVELS[:, None].repeat(3, 1)[None] / 255)[0, :, 1]  # Y of a grey is its light
    assert to_light(LEVELS) == pytest.approx(theirs / theirs[-1], abs=1e-6)


def test_light_is_rounded_to_levels_without_bias() -> None:
    levels = np.random.default_rng(0).uniform(0, 255, 1_000_000)
    value = levels / 255
    light = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    error = to_levels(light.astype(np.float32)) - levels
    assert abs(error.mean()) < 4 * 12**-0.5 / 1000
    assert np.abs(error).max() < 0.51


@pytest.mark.parametrize("shape", [(128, 128), (320, 480), (1200, 900)])
def test_haze_is_the_scene_times_t_plus_airlight_times_one_minus_t(shape: tuple[int, int]) -> None:
    black, grey, white = (
        to_light(haze(flat(level, *shape), generator(0, "haze"), beta=1.2, airlight=0.9)) for level in (0, 120, 255)
    )
    transmission = white - black
    assert transmission.min() > 0
    assert transmission.max() <= 1
    airlight = (black / (1 - transmission))[transmission < 0.6]  # where there is enough of it to measure
    assert np.abs(airlight / to_light(LEVELS)[round(0.9 * 255)] - 1).max() < 0.1
    predicted = to_levels(to_light(flat(120, *shape)) * transmission + black)
    assert np.abs(predicted.astype(int) - to_levels(grey)).max() <= 2  # the images are rounded themselves


def test_more_haze_is_less_contrast(photographs: list[np.ndarray]) -> None:
    spread = [
        haze(photographs[1], generator(0, "haze"), beta=beta, airlight=0.85).astype(float).std()
        for beta in (0, 0.2, 0.6, 1.5, 10)
    ]
    assert spread == sorted(spread, reverse=True)
    assert spread[0] == photographs[1].astype(float).std()


def test_the_light_of_the_thickest_haze_is_the_airlight() -> None:
    veiled = np.concatenate(
        [haze(flat(0, 4, 4), generator(0, "haze", key), beta=10, airlight=0.8).reshape(-1, 3) for key in range(60)]
    )
    assert np.median(veiled) == pytest.approx(0.8 * 255, abs=6)


def test_depth_is_smooth_and_a_crop_covers_little_of_it() -> None:
    ranges = {}
    for side in (16, 128, 512, 1500):
        depths = [pseudo_depth(side, side * 3 // 2, generator(0, "depth", key)) for key in range(8)]
        assert all(depth.min() >= 0 and depth.max() <= 1 and depth.dtype == np.float32 for depth in depths)
        steps = [max(np.abs(np.diff(depth, axis=axis)).max() for axis in (0, 1)) for depth in depths]
        assert max(steps) < 3 / side  # no edge: at most three times the range across the image
        ranges[side] = np.mean([np.ptp(depth) for depth in depths])
    assert ranges[16] < 0.2
    assert 0.2 < ranges[128] < 0.45
    assert ranges[128] < ranges[512] < ranges[1500]
    assert ranges[1500] > 0.7


def test_crops_are_near_and_far_and_images_are_farther_at_the_top() -> None:
    middles = [float(pseudo_depth(128, 128, generator(0, "depth", key)).mean()) for key in range(100)]
    assert min(middles) < 0.25
    assert max(middles) > 0.75
    rises = [np.diff(pseudo_depth(600, 800, generator(0, "depth", key)).mean(1)[[-1, 0]])[0] for key in range(30)]
    assert min(rises) > 0.2


def test_less_gain_is_darker_and_more_gamma_too(photographs: list[np.ndarray]) -> None:
    crop = photographs[1][:80, :80]
    for name, values in {"gain": (1, 0.5, 0.2, 0.05, 0), "gamma": (1, 1.3, 2, 5)}.items():
        plain = {"gain": 1, "gamma": 1, "shot": 0, "read": 0}
        dim = [low_light(crop, generator(0, "dim"), **(plain | {name: value})).astype(int) for value in values]
        assert all((darker <= lighter).all() and (darker < lighter).any() for lighter, darker in pairwise(dim))
    noisy = [
        low_light(crop, generator(0, "dim"), gain=gain, gamma=1, shot=0.001, read=0.001).mean()
        for gain in (1, 0.5, 0.2, 0.05)
    ]
    assert noisy == sorted(noisy, reverse=True)


@pytest.mark.parametrize(("shot", "read"), [(0.002, 0), (0, 0.02), (0.002, 0.01)])
def test_the_noise_of_low_light_has_its_variance_in_light(shot: float, read: float) -> None:
    dim = low_light(flat(180), generator(0, "dim"), gain=0.5, gamma=1.2, shot=shot, read=read)
    expected = 0.5 * float(to_light(LEVELS)[180]) ** 1.2
    light = to_light(dim).astype(float)
    assert light.mean() == pytest.approx(expected, rel=0.003)
    assert light.var() == pytest.approx(shot * expected + read**2, rel=0.02)


def test_shadows_of_low_light_are_noisier_as_stored_but_not_in_light() -> None:
    dark, bright = (low_light(flat(v), generator(0, "d"), gain=0.3, gamma=1, shot=1e-4, read=1e-3) for v in (60, 220))
    assert dark.std() > bright.std()
    assert to_light(dark).std() < to_light(bright).std()


@pytest.mark.parametrize("width", [0.5, 1.5, 5])
@pytest.mark.parametrize("density", [0.02, 0.2])
def test_streaks_cover_their_density(density: float, width: float) -> None:
    covers = []
    for key in range(6):
        wet = rain(flat(0), generator(0, "rain", key), **(SHOWER | {"density": density, "width": width}))
        sky = DIMMEST * generator(0, "rain", key).uniform(*SKY)
        covers.append(to_light(wet).mean() / sky)
    # The mean strength of streaks is 0.7, and some overlap.
    assert np.mean(covers) == pytest.approx(0.7 * (1 - np.exp(-density)), rel=0.15)


@pytest.mark.parametrize("angle", [-40, 0, 25, 90])
def test_streaks_have_their_angle(angle: float) -> None:
    wet = rain(flat(0), generator(0, "rain"), **(SHOWER | {"angle": angle})).astype(float)[..., 0]
    down, right = np.gradient(ndimage.gaussian_filter(wet, 1))
    across = 0.5 * np.arctan2(2 * (right * down).mean(), (right**2 - down**2).mean())  # direction of steepest change
    measured = -np.degrees(across)  # of the streaks, from the vertical, positive to the right at the bottom
    assert abs((measured - angle + 90) % 180 - 90) < 3


def test_streaks_have_their_length_and_layers_add_smaller_ones() -> None:
    def sizes(**changes: float) -> np.ndarray:
        wet = rain(flat(0, 400, 400), generator(0, "rain"), **(SHOWER | {"angle": 0, "density": 0.02} | changes))
        labels, count = ndimage.label(wet[..., 0] > 30)
        return np.array([part[0].stop - part[0].start for part in ndimage.find_objects(labels)[:count]])

    assert np.median(sizes(length=15)) == pytest.approx(15, abs=6)
    assert np.median(sizes(length=60)) == pytest.approx(60, abs=20)
    assert len(sizes(layers=4)) > 2 * len(sizes(layers=1))
    assert np.median(sizes(layers=4)) < np.median(sizes(layers=1))


def test_rain_brightens_dark_regions_and_its_veil_reduces_contrast(photographs: list[np.ndarray]) -> None:
    crop = photographs[1][:200, :200]
    wet = rain(crop, generator(0, "rain"), **(SHOWER | {"veil": 0})).astype(int)
    assert (wet - crop)[crop.max(2) < 60].min() >= 0
    assert np.mean(wet != crop) < 0.35  # between the streaks the image is unchanged
    veiled = [rain(crop, generator(0, "rain"), **(SHOWER | {"density": 0, "veil": v})).std() for v in (0, 0.2, 0.9)]
    assert veiled == sorted(veiled, reverse=True)


def test_drawing_in_bands_leaves_no_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    wet = [rain(flat(40, 300, 60), generator(0, "rain"), **SHOWER)]
    for band in (7, 1000):
        monkeypatch.setattr(sys.modules["dynet.degradations.rain"], "BAND", band)
        wet.append(rain(flat(40, 300, 60), generator(0, "rain"), **SHOWER))
    assert np.array_equal(wet[0], wet[1])
    assert np.array_equal(wet[0], wet[2])


def test_crops_have_as_much_rain_as_their_photograph_and_streaks_cross_the_edges() -> None:
    means, edges = [], []
    for key in range(60):
        wet = to_light(rain(flat(0, 64, 64), generator(0, "rain", key), **(SHOWER | {"opacity": 1}))).mean(2)
        means.append(wet.mean())
        edges.append(np.concatenate([wet[:3].ravel(), wet[-3:].ravel()]).mean())
    whole = to_light(rain(flat(0, 700, 700), generator(0, "rain"), **SHOWER)).mean()
    assert np.mean(means) == pytest.approx(whole, rel=0.35)
    assert stats.ttest_rel(means, edges).pvalue > 0.01
