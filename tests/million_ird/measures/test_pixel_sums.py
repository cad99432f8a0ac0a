"""Compiled sums of filters equal those of OpenCV on images of every kind and size.

To the last bit, where OpenCV adds four values at a time; on a processor for which it adds in another order, to the
rounding of float32.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from million_ird.errors import ReadError
from million_ird.images.encoded_image import EncodedImage
from million_ird.measures import edge_sums, pixel_sums
from million_ird.runtime.threads import single_threaded
from tests.million_ird.measures import plain_sums
from tests.million_ird.measures.sample_images import natural_noise

Luma = NDArray[np.uint8]
SIDE, TILE = 16, 128


def _kinds(height: int, width: int) -> dict[str, Luma]:
    random = np.random.default_rng(height * width)
    noise = random.integers(0, 256, (height, width), np.uint8)
    return {
        "noise": noise,
        "black and white noise, whose squares do not fit a float32": (noise // 128 * 255).astype(np.uint8),
        "chequers, the largest response there is": np.indices((height, width)).sum(axis=0).astype(np.uint8) % 2 * 255,
        "smooth": np.asarray(cv2.GaussianBlur(noise, (0, 0), 2), np.uint8),
        "structure of all sizes": natural_noise(height, width),
        "flat": np.full((height, width), 200, np.uint8),
        "ramp": np.tile(np.linspace(0, 255, width).astype(np.uint8), (height, 1)),
    }


SHAPES = [
    (16, 16),
    (17, 40),
    (33, 64),
    (96, 99),
    (196, 197),
    (128, 128),
    (129, 300),
    (250, 515),
    (513, 200),
    (1030, 300),
]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_sums_equal_opencvs(shape: tuple[int, int]) -> None:
    for kind, luma in _kinds(*shape).items():
        _assert_equal(luma, kind)


@pytest.mark.parametrize("folder", ["photos", "negatives", "hostile/pngsuite", "hostile/pillow", "real"])
def test_sums_of_real_images_equal_opencvs(folder: str, shared_data: Path) -> None:
    assert sum(_assert_equal(luma, name) for name, luma in _lumas(shared_data / folder, every=29)) >= 1


@pytest.mark.full
def test_sums_of_all_shared_images_equal_opencvs(shared_data: Path) -> None:
    assert sum(_assert_equal(luma, name) for name, luma in _lumas(shared_data, every=1)) > 1000


@pytest.mark.parametrize(("height", "width"), [(3, 3), (8, 5), (7, 56), (64, 64), (48, 24)])
def test_responses_in_windows_equal_opencvs(height: int, width: int) -> None:
    for kind, luma in _kinds(16 * height, 8 * width).items():
        ours = pixel_sums.window_responses(luma, 16, 8)
        _compare(kind, [ours], [plain_sums.window_responses(luma, 16, 8)])


def test_a_slice_of_an_image_is_measured_as_its_copy() -> None:
    luma = natural_noise(200, 300)[3:180, 5:290]
    _assert_equal(luma, "a slice")


def test_very_wide_and_very_high_images_keep_all_steps() -> None:
    """Beyond 4,096 columns and 512 rows, sums go on in another variable."""
    for shape in ((3, 9001), (2 * 512 + 3, 5)):
        luma = np.random.default_rng(1).integers(0, 256, shape, np.uint8)
        _compare("steps", edge_sums.mean_steps(luma), plain_sums.mean_steps(luma))


def _lumas(folder: Path, every: int) -> Iterator[tuple[str, Luma]]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    for path in files[::every]:
        try:
            luma = EncodedImage(path.read_bytes(), max_pixels=30_000_000).luma
        except ReadError:
            continue
        if min(luma.shape) >= SIDE:
            yield path.name, luma


def _assert_equal(luma: Luma, name: str) -> int:
    with single_threaded():
        _compare(name, pixel_sums.laplacian_sums(luma, SIDE), plain_sums.laplacian_sums(luma, SIDE, pixel_sums.BAND))
        rows = np.unique(np.linspace(0, luma.shape[0] // SIDE - 1, 5).astype(np.intp))
        _compare(name, pixel_sums.noise_sums(luma, rows, SIDE), plain_sums.noise_sums(luma, rows, SIDE))
        _compare(name, edge_sums.mean_steps(luma), plain_sums.mean_steps(luma))
        for side in {min(240, min(luma.shape) // 4), 7, 10}:
            exact = 1 / (1 / side) == side
            _compare(name, edge_sums.sobel_sums(luma, side), plain_sums.sobel_sums(luma, side), exact=exact)
        if min(luma.shape) >= TILE:
            _compare(name, pixel_sums.tile_energies(luma, TILE), plain_sums.tile_energies(luma, TILE))
    return 1


def _compare(
    name: str, ours: Sequence[NDArray[np.generic]], theirs: Sequence[NDArray[np.generic]], *, exact: bool = True
) -> None:
    for number, (a, b) in enumerate(zip(ours, theirs, strict=True)):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=1e-6 if exact else 1e-5, err_msg=f"{name}, number {number}")
