"""Compiled loops of the measure of tiled marks equal OpenCV and NumPy, to the last bit."""

import cv2
import numpy as np
import pytest

from million_ird.measures import tiling_kernels


@pytest.mark.parametrize("side", [1, 2, 3, 4, 5, 6, 7, 9, 16, 65])
def test_means_of_squares_equal_opencvs_for_every_sum(side: int) -> None:
    columns, count = 200, side * side
    sums = np.linspace(0, 255 * count, 40 * columns).astype(np.int64)
    levels = sums[:, None] // count + (np.arange(count) < sums[:, None] % count)
    squares = levels.astype(np.uint8).reshape(40, columns, side, side)
    luma = np.pad(squares.swapaxes(1, 2).reshape(40 * side, columns * side), ((0, side - 1), (0, side - 1)))
    whole = luma[: 40 * side, : columns * side]
    theirs = cv2.resize(whole, (columns, 40), interpolation=cv2.INTER_AREA)
    np.testing.assert_array_equal(tiling_kernels.square_means(luma, side), theirs)


def test_quotients_equal_numpys() -> None:
    random = np.random.default_rng(0)
    values, power = random.normal(size=(2, 90, 70)).astype(np.float32) * 9
    fine, heights = values.copy(), values.copy()
    tiling_kernels.normalise(fine, power, 2.0)
    tiling_kernels.to_deviations(heights, power, 0.01)
    seen = np.sign(values) * np.maximum(np.abs(values) - np.float32(1), 0)
    np.testing.assert_array_equal(fine, np.clip(seen / (np.sqrt(np.maximum(power, 0)) + 1), -2, 2))
    np.testing.assert_array_equal(heights, values / np.sqrt(np.maximum(power, 0.01)))


@pytest.mark.parametrize("spread", [0.5, 2.0, 30.0])
@pytest.mark.parametrize("farthest", [(50.0, 30.0), (11.000000000000002, 500.0)])
def test_tops_equal_those_of_a_dilation(spread: float, farthest: tuple[float, float]) -> None:
    """Limits are compared as float32, so 11.000000000000002 is 11."""
    heights = np.random.default_rng(1).normal(scale=spread, size=(80, 120)).astype(np.float32).round(1)
    down, across = np.mgrid[-25:55, -60:60].astype(np.float32)
    looked_at = (down**2 + across**2 > 20.25**2) & (down < np.float32(farthest[0]))
    looked_at &= (np.abs(across) < np.float32(farthest[1])) & ((down > 0) | ((down == 0) & (across > 0)))
    inside = np.where(looked_at, heights, 0)
    theirs = np.argwhere((inside > 4) & (inside == cv2.dilate(inside, np.ones((7, 7), np.uint8))))
    ours = tiling_kernels.tops(heights, (25, 60), lowest=4.0, nearest=20.25, farthest=farthest)
    np.testing.assert_array_equal(ours, theirs)
