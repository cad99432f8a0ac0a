"""Random square cells of an image, and masking them: what pre-training hides from the network.

Source: dynamic pre-training (arXiv 2404.02154) degrades about half of a crop and masks about 30 % of it in cells, like
masked autoencoders (He et al., CVPR 2022), whose cells have 16 pixels. The number of cells is the given share, rounded;
a share of 0 changes nothing.
"""

import numpy as np
import numpy.typing as npt


def square_cells(
    height: int, width: int, generator: np.random.Generator, *, share: float, cell: int
) -> npt.NDArray[np.bool_]:
    """Return (H, W), true in a random `share` of the cells of a grid.

    Args:
        height: Rows of the result.
        width: Columns of the result.
        generator: Draws the cells.
        share: The share of the cells; their number is rounded.
        cell: The side of a cell in pixels; cells at the edge are cropped.
    """
    cell = min(cell, max(height, width))
    rows, columns = -(-height // cell), -(-width // cell)
    is_chosen = np.zeros(rows * columns, dtype=bool)
    is_chosen[generator.permutation(rows * columns)[: round(share * rows * columns)]] = True
    return is_chosen.reshape(rows, columns).repeat(cell, 0).repeat(cell, 1)[:height, :width]


def mask_square_cells(
    image: npt.NDArray[np.uint8], generator: np.random.Generator, *, share: float, cell: int
) -> npt.NDArray[np.uint8]:
    """Make a random `share` of the cells of an image (H, W, 3) black."""
    is_masked = square_cells(image.shape[0], image.shape[1], generator, share=share, cell=cell)
    return np.where(is_masked[..., None], np.uint8(0), image)
