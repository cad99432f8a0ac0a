"""Variances of the filter's responses equal those of OpenCV's filter and NumPy's `var`, to the last bit."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from million_ird.measures.response_variances import BLOCK, response_variances
from tests.million_ird.measures.sample_images import natural_noise

Floats = NDArray[np.float32]
KERNEL = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)


def plain_variances(luma: NDArray[np.uint8], tops: NDArray[np.intp]) -> tuple[Floats, Floats]:
    """Return what `response_variances` returns, strip by strip."""
    strips = [luma[top : top + BLOCK + 2, : (luma.shape[1] - 2) // BLOCK * BLOCK + 2] for top in tops]
    responses = [np.asarray(cv2.filter2D(strip, cv2.CV_32F, KERNEL), np.float32)[1:-1, 1:-1] for strip in strips]
    levels = [strip[1:-1, 1:-1].astype(np.float32) for strip in strips]
    variances = [_cut(response).var(axis=1) for response in responses]
    return np.stack(variances), np.stack([_cut(level).mean(axis=1) for level in levels])


def _cut(strip: Floats) -> Floats:
    return strip.reshape(BLOCK, -1, BLOCK).swapaxes(0, 1).reshape(-1, BLOCK * BLOCK)


@pytest.mark.parametrize("shape", [(18, 18), (40, 33), (130, 500), (301, 1027)], ids=str)
def test_variances_and_levels_equal_numpys(shape: tuple[int, int]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    chequers = np.indices(shape).sum(axis=0).astype(np.uint8) % 2 * 255
    tops = np.unique([0, (shape[0] - BLOCK - 2) // 2, shape[0] - BLOCK - 2])
    for luma in (noise, noise // 128 * 255, noise // 60, chequers, natural_noise(*shape), noise[:, ::-1]):
        for ours, plain in zip(response_variances(luma, tops), plain_variances(luma, tops), strict=True):
            np.testing.assert_array_equal(ours, plain)
