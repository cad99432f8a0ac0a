"""Steps along lines equal those of OpenCV's filters and sums of integers, on images of every kind and size."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from million_ird.images.line_steps import BORDER, LEVELS, LINES, REACH, LineSteps, line_steps
from million_ird.runtime.threads import single_threaded

Luma = NDArray[np.uint8]


def plain_steps(luma: Luma) -> tuple[LineSteps, LineSteps]:
    """Return what `line_steps` returns, by filters over copies of the lines."""
    rows, columns = luma[:: -(-luma.shape[0] // LINES)], luma[:, :: -(-luma.shape[1] // LINES)].T
    return _along(np.ascontiguousarray(rows)), _along(np.ascontiguousarray(columns))


def _along(rows: Luma) -> LineSteps:
    first = np.asarray(cv2.absdiff(rows[:, 1:], rows[:, :-1]), np.uint8)
    second = np.abs(np.asarray(cv2.filter2D(rows, cv2.CV_16S, np.array([[1, -2, 1]], np.float32))))[:, 1:-1]
    beside = np.asarray(cv2.filter2D(first, cv2.CV_16S, np.array([[-1, 2, -1]], np.float32)))[:, 1:-1]
    kernel = np.array([[1, -6, 15, -20, 15, -6, 1]], np.float32)
    sixth = np.abs(np.asarray(cv2.filter2D(rows, cv2.CV_32F, kernel)))[:, 3:-3]
    return LineSteps(
        _shares(first), _shares(second), _shares(sixth, 16), _means((beside >= 2 * BORDER).astype(np.int16))
    )


def _shares(steps: NDArray[np.generic], unit: int = 1) -> NDArray[np.float32]:
    steps = np.rint(steps).astype(np.int64)
    around = np.lib.stride_tricks.sliding_window_view(steps, 2 * REACH + 1, axis=1).sum(axis=2)
    shares = 1024 * 7 * steps[:, REACH:-REACH] // (around + 7 * LEVELS * unit)
    return (shares.sum(axis=0) / (1024 * len(steps))).astype(np.float32)


def _means(steps: NDArray[np.integer]) -> NDArray[np.float32]:
    return np.asarray(cv2.reduce(steps, 0, cv2.REDUCE_AVG, dtype=cv2.CV_32F), np.float32).ravel()


def _assert_equal(luma: Luma) -> None:
    with single_threaded():
        expected = plain_steps(luma)
    for ours, theirs in zip(line_steps(luma), expected, strict=True):
        np.testing.assert_array_equal(ours.beside, theirs.beside)
        for name in ("first", "second"):  # equal sums, divided in another order
            np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), rtol=3e-7, err_msg=name)
        # Products over 2²⁴ are rounded in float32: a share may be a unit off.
        np.testing.assert_allclose(ours.sixth, theirs.sixth, atol=3 / 1024 / min(*luma.shape, LINES // 2))


SHAPES = [(13, 13), (14, 15), (128, 128), (129, 513), (513, 200), (1025, 300), (300, 1537), (130, 9000)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_steps_equal_opencvs(shape: tuple[int, int]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    for luma in (noise, noise // 128 * 255, np.asarray(cv2.GaussianBlur(noise, (0, 0), 2), np.uint8)):
        _assert_equal(luma)


def test_a_slice_of_an_image_has_the_steps_of_its_copy() -> None:
    _assert_equal(np.random.default_rng(0).integers(0, 256, (300, 400), np.uint8)[3:-5, 7:-2])
