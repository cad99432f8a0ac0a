"""Compiled sums along lines equal those of OpenCV and NumPy, to the last bit."""

import numpy as np
import pytest
from numpy.typing import NDArray

from million_ird.measures import line_sums
from tests.million_ird.measures import plain_sums
from tests.million_ird.measures.sample_images import natural_noise

Luma = NDArray[np.uint8]
SHAPES = [(64, 64), (65, 100), (129, 127), (200, 1111), (701, 333), (64, 17_001), (17_001, 64)]


def _kinds(height: int, width: int) -> dict[str, Luma]:
    random = np.random.default_rng(height * width)
    y, x = np.indices((height, width))
    return {
        "noise": random.integers(0, 256, (height, width), np.uint8),
        "white, the largest sums there are": np.full((height, width), 255, np.uint8),
        "chequers, the largest steps there are": ((y + x) % 2 * 255).astype(np.uint8),
        "joints": (x // 40 * 37 + y // 50 * 91).astype(np.uint8),
        "rows and columns whose deviation is the limit": (100 + (y % 3 == 0) * (x % 2) * 4).astype(np.uint8),
        "rows close to the limit": (20 + random.integers(0, 8, (height, width), np.uint8) // (1 + y % 3)).astype(
            np.uint8
        ),
        "structure of all sizes": natural_noise(height, width),
    }


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_means_equal_opencvs(shape: tuple[int, int]) -> None:
    for kind, luma in _kinds(*shape).items():
        for parts in (16, 64):
            _assert_equal(kind, line_sums.mean_levels(luma, parts), plain_sums.piece_means(luma, parts))


@pytest.mark.parametrize("columns", [False, True], ids=["rows", "columns"])
@pytest.mark.parametrize("shape", [*SHAPES, (66_001, 64), (64, 66_001)], ids=str)
def test_steps_are_compared_with_those_of_the_lines_beside(shape: tuple[int, int], columns: bool) -> None:
    for kind, luma in _kinds(*shape).items():
        ours = line_sums.largest_steps(luma, columns=columns)
        for a, b in zip(ours, plain_sums.largest_steps(luma.T if columns else luma), strict=True):
            np.testing.assert_array_equal(a, b, kind)


@pytest.mark.parametrize("columns", [False, True], ids=["rows", "columns"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_lines_are_even_as_by_their_deviation(shape: tuple[int, int], columns: bool) -> None:
    for kind, luma in _kinds(*shape).items():
        lines = luma.T if columns else luma
        step = max(1, lines.shape[1] // 512)
        sums, verdicts = line_sums.even_lines(luma, step, 2.0, columns=columns)
        exact = lines[:, ::step].astype(np.float64).std(axis=1)
        nearly = verdicts == line_sums.NEARLY
        assert np.all(np.abs(exact[nearly] - 2) < 0.002), kind
        np.testing.assert_array_equal((verdicts == line_sums.EVEN)[~nearly], exact[~nearly] <= 2, kind)
        known = verdicts != line_sums.NOT_EVEN
        np.testing.assert_array_equal(sums[known], lines[:, ::step].sum(axis=1, dtype=np.int64)[known], kind)


def _assert_equal(kind: str, ours: tuple[NDArray[np.float32], ...], theirs: tuple[NDArray[np.float32], ...]) -> None:
    for a, b in zip(ours, theirs, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b, kind)
