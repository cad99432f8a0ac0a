"""Turning samples upright by the orientation of Exif."""

import numpy as np

from dynet.inference.decoded_image import Samples


def turn_upright(samples: Samples, orientation: int) -> Samples:
    """Turn and mirror (H, W, …) samples by the Exif orientation, 1 to 8."""
    if orientation in (5, 6, 7, 8):
        samples = samples.swapaxes(0, 1)
    flip_rows = orientation in (3, 4, 7, 8)
    flip_columns = orientation in (2, 3, 6, 7)
    return np.ascontiguousarray(samples[:: -1 if flip_rows else 1, :: -1 if flip_columns else 1])
