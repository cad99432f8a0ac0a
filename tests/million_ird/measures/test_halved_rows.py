"""Rows of an image at half the size equal those that OpenCV makes of the whole image."""

from itertools import product

import cv2
import numpy as np
import pytest

from million_ird.measures.halved_rows import halved_rows
from million_ird.runtime.threads import single_threaded

SIDES = (4, 5, 7, 128, 129, 999, 1000, 1001, 2021)


@pytest.mark.parametrize(("height", "width"), list(product(SIDES, SIDES)))
def test_all_rows_equal_opencvs(height: int, width: int) -> None:
    luma = np.random.default_rng(height * width).integers(0, 256, (height, width), np.uint8)
    with single_threaded():
        whole = np.asarray(cv2.resize(luma, (width // 2, height // 2), interpolation=cv2.INTER_AREA))
        np.testing.assert_array_equal(halved_rows(luma, np.arange(height // 2)), whole)


@pytest.mark.parametrize("shape", [(200, 300), (201, 300), (200, 301), (201, 301)], ids=str)
def test_rows_are_made_in_any_order_and_more_than_once(shape: tuple[int, int]) -> None:
    luma = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    rows = np.array([5, 6, 7, 7, 99, 98, 0, 1, 50])
    np.testing.assert_array_equal(halved_rows(luma, rows), halved_rows(luma, np.arange(100))[rows])
    np.testing.assert_array_equal(halved_rows(luma[3:, 5:], rows[:4]), halved_rows(luma[3:, 5:].copy(), rows[:4]))
