"""Choosing square cells of a picture, and masking them: what pre-training hides from the network.

Source: dynamic pre-training (arXiv 2404.02154) degrades about half of a crop and masks about 30 % of it in cells, after
masked autoencoders (He et al., CVPR 2022), whose cells are of 16 pixels. The cells are exactly as many as the share
asks for, rounded; a share of 0 changes nothing.
"""

import numpy as np
import numpy.typing as npt


def square_cells(
    height: int, width: int, generator: np.random.Generator, *, share: float, cell: int
) -> npt.NDArray[np.bool_]:
    """(H, W), true in a random `share` of the cells of a grid; the count is rounded, cells at the edge are cut."""
    cell = min(cell, max(height, width))
    rows, columns = -(-height // cell), -(-width // cell)
    chosen = np.zeros(rows * columns, dtype=bool)
    chosen[generator.permutation(rows * columns)[: round(share * rows * columns)]] = True
    return chosen.reshape(rows, columns).repeat(cell, 0).repeat(cell, 1)[:height, :width]


def mask_square_cells(
    image: npt.NDArray[np.uint8], generator: np.random.Generator, *, share: float, cell: int
) -> npt.NDArray[np.uint8]:
    """image: (H, W, 3) with a random `share` of its cells black."""
    hidden = square_cells(image.shape[0], image.shape[1], generator, share=share, cell=cell)
    return np.where(hidden[..., None], np.uint8(0), image)
