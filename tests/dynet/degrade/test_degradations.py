import numpy as np
import pytest

from dynet.degrade import DEGRADATIONS
from dynet.degrade.gaussian_noise import gaussian_noise
from dynet.degrade.jpeg import jpeg
from dynet.degrade.random_noise import random_noise
from dynet.degrade.square_cells import mask_square_cells, square_cells
from dynet.randomness import generator

PARAMETERS: dict[str, dict[str, float]] = {
    "gaussian_noise": {"sigma": 25},
    "random_noise": {"amplitude": 40},
    "jpeg": {"quality": 20},
}


@pytest.fixture
def grey() -> np.ndarray:
    return np.full((200, 300, 3), 128, np.uint8)


@pytest.mark.parametrize("name", DEGRADATIONS)
def test_each_is_a_pure_function_of_its_key(name: str, photographs: list[np.ndarray]) -> None:
    image = photographs[0][:64, 100:180]
    before = image.copy()
    one, two, other = (DEGRADATIONS[name](image, generator(1, "test", key), **PARAMETERS[name]) for key in (0, 0, 1))
    assert one.dtype == np.uint8
    assert one.shape == image.shape
    assert np.array_equal(one, two)
    assert not np.array_equal(one, image)
    assert np.array_equal(image, before)
    assert name == "jpeg" or not np.array_equal(one, other)


def test_gaussian_noise_has_its_sigma_and_is_rounded_not_truncated(grey: np.ndarray) -> None:
    noise = gaussian_noise(grey, generator(0, "test"), sigma=10).astype(float) - 128
    assert noise.std() == pytest.approx(10, rel=0.01)
    assert abs(noise.mean()) < 0.1  # truncation would shift it by -0.5


def test_random_noise_is_even_over_its_amplitude_and_rounded(grey: np.ndarray) -> None:
    noise = random_noise(grey, generator(0, "test"), amplitude=30).astype(float) - 128
    assert noise.min() == -30
    assert noise.max() == 30
    assert noise.std() == pytest.approx(30 / 3**0.5, rel=0.01)
    assert abs(noise.mean()) < 0.15


@pytest.mark.parametrize("value", [0, 255])
def test_noise_stays_within_eight_bits(value: int) -> None:
    flat = np.full((50, 50, 3), value, np.uint8)
    noisy = gaussian_noise(flat, generator(0, "test"), sigma=50)
    assert np.mean(noisy == value) == pytest.approx(0.5, abs=0.02)  # clipped, not wrapped around


def test_jpeg_is_worse_at_lower_quality(photographs: list[np.ndarray]) -> None:
    image = photographs[0]
    errors = [np.mean((jpeg(image, generator(0, "test"), quality=q).astype(float) - image) ** 2) for q in (10, 50, 95)]
    assert errors[0] > errors[1] > errors[2] > 0


@pytest.mark.parametrize(("share", "cell"), [(0.3, 16), (0.5, 8), (0.0, 8), (1.0, 8)])
def test_square_cells_cover_their_share_in_squares(share: float, cell: int) -> None:
    cells = square_cells(128, 128, generator(0, "test"), share=share, cell=cell)
    assert cells.mean() == pytest.approx(share, abs=0.5 * (cell / 128) ** 2)
    blocks = cells.reshape(128 // cell, cell, 128 // cell, cell)
    assert np.array_equal(blocks.all((1, 3)), blocks.any((1, 3)))


def test_masked_cells_are_black_and_the_rest_untouched(photographs: list[np.ndarray]) -> None:
    image = np.maximum(photographs[1][:100, :130], 1)
    masked = mask_square_cells(image, generator(0, "test"), share=0.3, cell=16)
    hidden = (masked == 0).all(2)
    assert hidden.mean() == pytest.approx(0.3, abs=0.05)
    assert np.array_equal(masked[~hidden], image[~hidden])
