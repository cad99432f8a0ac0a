"""Horizontal bands, so that a filter over a 100-megapixel picture needs memory for a band, not for the picture."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

ROWS = 512


def iter_row_bands(luma: NDArray[np.uint8], multiple: int = 1) -> Iterator[tuple[NDArray[np.uint8], slice]]:
    """Cuts luma (H, W) into bands of about 512 rows, a multiple of `multiple` (the last takes what is left).

    Yields each band with the row above and the row below it, where there are such, and the slice that takes them off
    again: a 3×3 filter over the band gives exactly the rows that it gives over the whole.
    """
    height = luma.shape[0]
    step = max(1, ROWS // multiple) * multiple
    for start in range(0, height, step):
        stop = min(start + step, height)
        above, below = min(1, start), min(1, height - stop)
        yield luma[start - above : stop + below], slice(above, above + stop - start)
