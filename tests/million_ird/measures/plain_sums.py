"""What `pixel_sums`, `edge_sums` and `line_sums` compute, by OpenCV's filters over the whole image, one by one."""

import cv2
import numpy as np
from numpy.typing import NDArray

Luma = NDArray[np.uint8]
Floats = NDArray[np.float32]


def averages(values: NDArray[np.uint8] | Floats, side: int) -> NDArray[np.uint8] | Floats:
    """Return means over whole blocks, as OpenCV adds and rounds them; values: (H, W)."""
    rows, columns = values.shape[0] // side, values.shape[1] // side
    means = cv2.resize(values[: rows * side, : columns * side], (columns, rows), interpolation=cv2.INTER_AREA)
    return np.asarray(means, values.dtype).reshape(rows, columns)


def laplacian_sums(luma: Luma, side: int, band: int) -> tuple[Floats, Floats, Luma, NDArray[np.float64]]:
    """As `pixel_sums.laplacian_sums`, with bands of `band` rows."""
    laplacian = cv2.Laplacian(luma, cv2.CV_16S)
    values = laplacian.astype(np.float32)
    parts = [laplacian[top : top + band].astype(np.int64) for top in range(0, len(luma), band)]
    totals = np.array([(part.sum(), (part**2).sum()) for part in parts], np.float64)
    mean, square = (np.asarray(averages(v, side), np.float32) for v in (values, values * values))
    return mean, square, np.asarray(averages(luma, side), np.uint8), totals


def sobel_sums(luma: Luma, side: int) -> tuple[Floats, Floats]:
    """As `edge_sums.sobel_sums`."""
    rows, columns = luma.shape[0] // side, luma.shape[1] // side
    whole = luma[: rows * side, : columns * side]
    across, down = cv2.Sobel(whole, cv2.CV_32F, 1, 0), cv2.Sobel(whole, cv2.CV_32F, 0, 1)
    square = np.asarray(across * across + down * down, np.float32)
    size = np.asarray(cv2.sqrt(square), np.float32)
    return np.asarray(averages(size, side), np.float32), np.asarray(averages(square, side), np.float32)


def tile_energies(luma: Luma, side: int) -> tuple[Floats, Luma]:
    """As `pixel_sums.tile_energies`."""
    rows, columns = luma.shape[0] // side, luma.shape[1] // side
    whole = luma[: rows * side, : columns * side]
    edges = cv2.convertScaleAbs(cv2.Laplacian(whole, cv2.CV_16S))
    square = np.asarray(cv2.multiply(edges, edges, dtype=cv2.CV_32F), np.float32)
    return np.asarray(averages(square, side), np.float32), np.asarray(averages(whole, side), np.uint8)


def mean_steps(luma: Luma) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """As `edge_sums.mean_steps`."""
    across = cv2.reduce(cv2.absdiff(luma[:, 1:], luma[:, :-1]), 0, cv2.REDUCE_AVG, dtype=cv2.CV_64F)
    down = cv2.reduce(cv2.absdiff(luma[1:], luma[:-1]), 1, cv2.REDUCE_AVG, dtype=cv2.CV_64F)
    return np.asarray(across, np.float64).ravel(), np.asarray(down, np.float64).ravel()


def noise_sums(luma: Luma, chosen: NDArray[np.intp], side: int) -> tuple[Floats, Floats, Floats]:
    """As `pixel_sums.noise_sums`."""
    columns = luma.shape[1] // side
    bands = np.concatenate([luma[side * row : side * (row + 1), : side * columns] for row in chosen])
    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
    response = np.asarray(cv2.filter2D(bands, cv2.CV_32F, kernel), np.float32)
    response[::side] = response[side - 1 :: side] = 0  # across the bands
    parts = (response, response * response, bands.astype(np.float32))
    mean, square, level = (np.asarray(averages(part, side), np.float32) for part in parts)
    return mean, square, level


def window_responses(luma: Luma, rows: int, columns: int) -> Floats:
    """As `pixel_sums.window_responses`."""
    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
    response = np.abs(cv2.filter2D(luma, cv2.CV_16S, kernel)).astype(np.float32)
    windows = response.reshape(rows, luma.shape[0] // rows, columns, luma.shape[1] // columns)
    windows[:, [0, -1]] = windows[:, :, :, [0, -1]] = 0
    return np.asarray(cv2.resize(response, (columns, rows), interpolation=cv2.INTER_AREA), np.float32)


def piece_means(values: Luma, parts: int) -> tuple[Floats, Floats]:
    """As `line_sums.mean_levels`."""
    cut = (np.array_split(values, parts, axis=axis) for axis in (1, 0))
    down, across = (
        [np.asarray(cv2.reduce(piece, axis, cv2.REDUCE_AVG, dtype=cv2.CV_32F), np.float32).ravel() for piece in pieces]
        for axis, pieces in zip((1, 0), cut, strict=True)
    )
    return np.stack(down), np.stack(across)


def largest_steps(lines: Luma) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """As `line_sums.largest_steps`, between rows."""
    steps = np.abs(np.diff(lines.astype(np.int16), axis=0))
    others = [np.roll(steps, k, axis=0) for k in range(-5, 6) if k]
    counts = (steps > np.maximum.reduce(others)).sum(axis=1)
    counts[:5] = counts[-5:] = 0
    return steps.sum(axis=1, dtype=np.int64), counts
