"""From computed values back to 8 bits: to the nearest level, never cut off, never wrapped around."""

from typing import Any

import numpy as np
import numpy.typing as npt

from dynet.degradations.degradation import Image8


def rounded(levels: npt.NDArray[np.floating[Any]]) -> Image8:
    """Levels (any shape, 0 to 255 and what lies beyond) to 8 bits; what lies beyond becomes the nearest end."""
    return np.asarray(np.clip(np.rint(levels), 0, 255), np.uint8)
