import numpy as np
import pytest

from dynet.degradations.square_cells import mask_square_cells, square_cells
from dynet.runtime.rng import generator


@pytest.mark.parametrize(("share", "cell"), [(0.3, 16), (0.5, 8), (0.0, 8), (1.0, 8)])
def test_square_cells_cover_their_share(share: float, cell: int) -> None:
    cells = square_cells(128, 128, generator(0, "test"), share=share, cell=cell)
    assert cells.mean() == pytest.approx(share, abs=0.5 * (cell / 128) ** 2)
    blocks = cells.reshape(128 // cell, cell, 128 // cell, cell)
    assert np.array_equal(blocks.all((1, 3)), blocks.any((1, 3)))


def test_every_cell_is_chosen_equally_often() -> None:
    chosen = sum(square_cells(8, 8, generator(0, "test", key), share=0.25, cell=2).astype(int) for key in range(400))
    assert chosen.min() > 60  # of 100 on average
    assert chosen.max() < 140


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (17, 31), (16, 16)])
def test_cells_at_the_edge_are_cropped(size: tuple[int, int]) -> None:
    assert square_cells(*size, generator(0, "test"), share=1, cell=16).shape == size
    assert square_cells(*size, generator(0, "test"), share=1, cell=16).all()


def test_masked_cells_are_black_and_the_rest_is_unchanged(photographs: list[np.ndarray]) -> None:
    image = np.maximum(photographs[1][:100, :130], 1)
    masked = mask_square_cells(image, generator(0, "test"), share=0.3, cell=16)
    is_black = (masked == 0).all(2)
    assert is_black.mean() == pytest.approx(0.3, abs=0.05)
    assert np.array_equal(masked[~is_black], image[~is_black])
