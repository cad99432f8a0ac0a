"""A depth for pictures that have none: smooth, and far towards the top as outdoors it mostly is.

Depth says how far the light of a pixel has come: 0 at the camera, 1 at the far end. A whole photograph goes through
most of that range. A crop is a small part of a photograph, so it lies anywhere in the range but covers little of it:
the relief grows with the square root of the longer side, and is whole from 1024 pixels on.
"""

import numpy as np
import numpy.typing as npt

WHOLE = 1024
"""Longer side, in pixels, of a picture that shows the whole range."""
HILLS = 4
"""Bumps along the longer side: too few to be seen as clouds of their own."""
TILT = 25.0
"""Degrees by which the slope may lean away from the vertical."""


def pseudo_depth(height: int, width: int, generator: np.random.Generator) -> npt.NDArray[np.float32]:
    """(H, W) in [0, 1]: a leaning slope with low hills. Draws the same count of numbers for every size."""
    middle, lean = generator.random(), np.radians(generator.uniform(-TILT, TILT))
    heights = generator.random((HILLS + 1, HILLS + 1), dtype=np.float32)
    longer = max(height, width)
    relief = min(1.0, (longer / WHOLE) ** 0.5)
    down = (np.arange(height, dtype=np.float32)[:, None] - (height - 1) / 2) / longer
    right = (np.arange(width, dtype=np.float32)[None, :] - (width - 1) / 2) / longer
    up = np.clip(0.5 - np.cos(lean) * down * (longer / height) + np.sin(lean) * right, 0, 1)
    slope = up * up * (3 - 2 * up)
    field = 0.8 * slope + 0.2 * _hills(heights, height, width)
    return np.asarray(np.clip((1 - relief) * middle + relief * field, 0, 1), np.float32)


def _hills(heights: npt.NDArray[np.float32], height: int, width: int) -> npt.NDArray[np.float32]:
    """(H, W) between the heights, smoothly; the grid's cells are square."""
    cell = max(height, width) / HILLS
    rows = np.arange(height, dtype=np.float32) / cell
    columns = np.arange(width, dtype=np.float32) / cell
    across = _smooth_steps(columns) @ heights.T
    return np.asarray(_smooth_steps(rows) @ across.T, np.float32)


def _smooth_steps(places: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """(N,) places in [0, HILLS] to (N, HILLS + 1): how much of each grid point's height each place has."""
    distance = np.clip(np.abs(places[:, None] - np.arange(HILLS + 1, dtype=np.float32)), 0, 1)
    return np.asarray(1 - distance * distance * (3 - 2 * distance), np.float32)
