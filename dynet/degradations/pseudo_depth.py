"""An invented depth for images that have none: smooth, and mostly larger towards the top, as outdoors.

Depth is the distance that the light of a pixel has travelled: 0 at the camera, 1 at the farthest point. A whole
photograph covers most of that range. A crop is a small part of a photograph, so it can be anywhere in the range but
covers little of it: the relief grows with the square root of the longer side, and is complete from 1024 pixels on.
"""

import numpy as np
import numpy.typing as npt

FULL_RANGE_SIDE = 1024
"""Longer side, in pixels, of an image that shows the whole range."""
HILLS = 4
"""Hills along the longer side: too few to look like clouds."""
TILT = 25.0
"""Largest angle of the slope from the vertical, in degrees."""


def pseudo_depth(height: int, width: int, generator: np.random.Generator) -> npt.NDArray[np.float32]:
    """Return a depth (H, W) in [0, 1]: a tilted slope with low hills; the count of drawn numbers is always the same."""
    middle, tilt = generator.random(), np.radians(generator.uniform(-TILT, TILT))
    heights = generator.random((HILLS + 1, HILLS + 1), dtype=np.float32)
    longer = max(height, width)
    relief = min(1.0, (longer / FULL_RANGE_SIDE) ** 0.5)
    down = (np.arange(height, dtype=np.float32)[:, None] - (height - 1) / 2) / longer
    right = (np.arange(width, dtype=np.float32)[None, :] - (width - 1) / 2) / longer
    up = np.clip(0.5 - np.cos(tilt) * down * (longer / height) + np.sin(tilt) * right, 0, 1)
    slope = up * up * (3 - 2 * up)
    field = 0.8 * slope + 0.2 * _hills(heights, height, width)
    return np.asarray(np.clip((1 - relief) * middle + relief * field, 0, 1), np.float32)


def _hills(heights: npt.NDArray[np.float32], height: int, width: int) -> npt.NDArray[np.float32]:
    """Interpolate (H, W) smoothly between the heights of a grid with square cells."""
    cell = max(height, width) / HILLS
    rows = np.arange(height, dtype=np.float32) / cell
    columns = np.arange(width, dtype=np.float32) / cell
    across = _smooth_steps(columns) @ heights.T
    return np.asarray(_smooth_steps(rows) @ across.T, np.float32)


def _smooth_steps(positions: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return the weight of each grid point at positions (N,) in [0, HILLS], as (N, HILLS + 1)."""
    distance = np.clip(np.abs(positions[:, None] - np.arange(HILLS + 1, dtype=np.float32)), 0, 1)
    return np.asarray(1 - distance * distance * (3 - 2 * distance), np.float32)
