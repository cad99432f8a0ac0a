"""The steps and stairs of `jpeg_shift` in plain NumPy, over whole arrays: slow, and easy to check."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


def boundary_steps(pixels: NDArray[np.uint8], boundaries: NDArray[np.int64]) -> Floats:
    """As `jpeg_steps.boundary_steps`."""
    above, before, behind, below = (pixels[boundaries + offset].astype(np.int16) for offset in (-5, -2, 1, 4))
    jump = (3 * (behind - before) + above - below).astype(np.float32)
    jump *= 0.5
    red, green, blue = jump[..., 0], jump[..., 1], jump[..., 2]
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    return np.stack([luma, 0.564 * (blue - luma), 0.713 * (red - luma)]).astype(np.float32)


def stairs(steps: Floats, columns: NDArray[np.int64], most: float, least: float) -> tuple[Floats, NDArray[np.int64]]:
    """As `jpeg_shift._stairs` of steps upwards."""
    fits = np.clip(steps, -most, most)
    fits -= least
    parts = np.add.reduceat(fits, np.concatenate([[0], columns]), axis=1)
    upper, lower = parts[:-1], parts[1:]
    gain = np.cumsum(lower - upper, axis=1)[:, :-1]
    at = gain.argmax(axis=1)
    return gain[np.arange(len(at)), at] + upper.sum(axis=1), columns[at]


def half_stepped(steps: Floats, left: NDArray[np.int64], turn: NDArray[np.int64], least: float) -> NDArray[np.bool_]:
    """As `jpeg_steps.half_stepped`."""
    stepped = np.zeros((steps.shape[0], steps.shape[1] + 1), np.int32)
    np.cumsum(np.abs(steps) >= least, axis=1, out=stepped[:, 1:])
    rows = np.arange(len(turn))
    half_left = 2 * stepped[rows + 1, left] >= left
    half_right = 2 * (stepped[rows, -1] - stepped[rows, turn]) >= steps.shape[1] - turn
    return np.asarray(half_left & half_right)
