"""Horizontal bands, so that a filter over a 100-megapixel image needs memory for a band, not for the image.

For measures of users (`docs/extending.md`); no built-in measure needs it now.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

ROWS = 512


def iter_row_bands(
    luma: NDArray[np.uint8], multiple: int = 1, *, halo: int = 1
) -> Iterator[tuple[NDArray[np.uint8], slice]]:
    """Yield bands of about 512 rows, each with `halo` more rows above and below, as far as the image has them.

    A filter of `2 * halo + 1` rows gives exactly the same rows for a band as for the whole image, once the halo is
    removed.

    Args:
        luma: (H, W).
        multiple: the height of each band without its halo is a multiple of this; the last band has the remaining rows.
        halo: rows of context on each side.

    Yields:
        A band with its halo, and the slice of its rows without the halo.
    """
    height = luma.shape[0]
    step = max(1, ROWS // multiple) * multiple
    for start in range(0, height, step):
        stop = min(start + step, height)
        above, below = min(halo, start), min(halo, height - stop)
        yield luma[start - above : stop + below], slice(above, above + stop - start)
