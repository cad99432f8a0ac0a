"""The compiled search for shifts in a JPEG equals one in plain NumPy, to the last bit."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from million_ird.errors import ReadError
from million_ird.images import jpeg_shift, jpeg_steps
from million_ird.images.encoded_image import EncodedImage
from tests.million_ird.images import plain_shift

UNITS = [(8, 8), (16, 16), (8, 16), (16, 8), (16, 32), (32, 32), (8, 24)]


def _arrays() -> Iterator[NDArray[np.uint8]]:
    random = np.random.default_rng(0)
    for _ in range(12):
        height, width = random.integers(96, 300), random.integers(128, 700)
        noise = random.integers(0, 256, (height, width, 3), np.uint8)
        yield noise
        shifted = (noise // 32 + 100).astype(np.uint8)
        shifted[height // 16 * 8 :] += 20
        shifted[height // 16 * 8 - 16 : height // 16 * 8, width // 2 :] += 20
        yield shifted
        yield np.full_like(noise, 90)


def _assert_equal(pixels: NDArray[np.uint8], height: int, width: int) -> None:
    boundaries = np.arange(height, pixels.shape[0] - 4, height)
    all_steps = jpeg_steps.boundary_steps(pixels, boundaries)
    np.testing.assert_array_equal(all_steps, plain_shift.boundary_steps(pixels, boundaries))
    columns = np.arange(-(-48 // width) * width, pixels.shape[1] - 48, width)
    for steps in all_steps:
        for sign in (1, -1):
            ours = jpeg_shift._stairs(steps, sign, columns)
            theirs = plain_shift.stairs(steps * sign, columns, jpeg_shift._MAX_STEP, jpeg_shift._MIN_STEP / 2)
            for a, b in zip(ours, theirs, strict=True):
                np.testing.assert_array_equal(a, b)
            left = np.maximum(48, ours[1] - 6 * width)
            np.testing.assert_array_equal(
                jpeg_steps.half_stepped(steps, left, ours[1], 4.0),
                plain_shift.half_stepped(steps, left, ours[1], 4.0),
            )


@pytest.mark.parametrize("unit", UNITS, ids=str)
def test_steps_and_stairs_of_arrays_equal_numpys(unit: tuple[int, int]) -> None:
    for pixels in _arrays():
        _assert_equal(pixels, *unit)


@pytest.mark.parametrize(("folder", "every"), [("photos", 11), ("train/BSDS500/test", 17), ("hostile/zune", 9)])
def test_steps_and_stairs_of_real_images_equal_numpys(folder: str, every: int, shared_data: Path) -> None:
    for path in sorted(path for path in (shared_data / folder).rglob("*") if path.is_file())[::every]:
        try:
            pixels = EncodedImage(path.read_bytes(), max_pixels=30_000_000).pixels
        except ReadError:
            continue
        if pixels.shape[0] >= 96 and pixels.shape[1] >= 128:
            _assert_equal(pixels, 16, 16)
            _assert_equal(pixels, 8, 8)
