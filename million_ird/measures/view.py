"""A small view of an image, for comparing aligned copies: which of them shows more, with less added or lost.

A thumbnail shows what was laid over an image or around it, cut off or recoloured. Numbers of the whole pixels show what
shrinking hides: noise, smoothing, halos, repeated pixels, tones that were pulled apart. No verdicts.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from million_ird.images.encoded_image import EncodedImage
from million_ird.measures.header import quality_of_coding
from million_ird.measures.pixel_sums import window_responses
from million_ird.measures.signature import content_box

SIDE = 112
"""Longest side of the thumbnail in px."""
CELLS = 8
"""Cells in each direction in which fine structure is measured."""
QUIET_CELLS = 4
"""Cells in each direction in which the quietest spot is measured."""
LEVELS = 4
"""Resolutions at which both are measured: the image's own, and each half of the one before."""
VIEW = np.dtype(
    [
        ("content", "<u2", (4,)),
        ("fine", "u1", (LEVELS, CELLS, CELLS)),
        ("quiet", "u1", (LEVELS, QUIET_CELLS, QUIET_CELLS)),
        ("comb", "<f4"),
        ("clipped", "<f4"),
        ("halo", "<f4"),
        ("repeats", "<f4"),
        ("coding", "<f4"),
    ]
)
"""Layout of the numbers in the column `view`; the thumbnail follows, as a WebP file."""
_WEBP_QUALITY = 92
_WINDOW = 64
"""Largest side in px of the windows in which pixels are looked at: all up to 1024×1024, a part of larger images."""
_LINES = 64
"""Rows, and columns, in which halos and repeats are looked for."""
_SAMPLED = 1 << 16
_STEPS = 24
"""Steps of a stored logarithm to a doubling of the structure."""
_TO_SIGMA = float(np.sqrt(np.pi / 2) / 6)
"""Of a response to noise and to the finest details, not to edges along the axes (Immerkær, CVIU 1996)."""
_COMMON_LEVEL = 0.02
"""Share of a level above which it is a plain area, such as a bar or paper, and no sign of a tone curve."""
_EDGE, _MIN_EDGES = 20, 40
"""Least step in levels of an edge that can have a halo, and least number of edges."""


@dataclass(frozen=True, slots=True)
class View:
    """What the column `view` of a ledger row holds."""

    thumbnail: NDArray[np.uint8]
    """(h, w, 3) uint8 sRGB, longest side `SIDE` or less."""
    content: tuple[float, float, float, float]
    """Left, top, right and bottom, 0 to 1, of the image without its plain border: what `FRAME` and `KEYPOINT` see."""
    fine: NDArray[np.float64]
    """(LEVELS, CELLS, CELLS) finest structure at each resolution: the standard deviation of white noise that has the
    same mean response, in levels of 0 to 255; NaN where the image is too small."""
    quiet: NDArray[np.float64]
    """(LEVELS, QUIET_CELLS, QUIET_CELLS) the same, the 20th percentile of the windows in each cell."""
    comb: float
    """Sum over the histogram, 0 to about 2, of how much neighbouring bins differ beyond chance: gaps and peaks, as of a
    tone curve or of few colours."""
    clipped: float
    """Share of the samples that are 0 or 255, 0 to 1."""
    halo: float
    """Median overshoot beside edges as a share of their height, ≥ 0; NaN with few edges."""
    coding: float
    """Quality, 1 to 100, of a JPEG that is as coarse as a WebP or AVIF; 100 for all others."""
    repeats: float
    """Share of the rows or columns, 0 to 1, that nearly repeat the one before while their neighbours do not."""


def pack_view(image: EncodedImage) -> bytes:
    """Return the packed view of an image.

    Raises:
        ReadError: The bytes do not decode.
    """
    thumbnail, luma = image.thumbnail, image.luma
    top, bottom, left, right = content_box(cv2.cvtColor(thumbnail, cv2.COLOR_RGB2GRAY).astype(np.uint8, copy=False))
    height, width = thumbnail.shape[:2]
    packed = np.zeros((), VIEW)
    packed["content"] = np.rint(np.array([left / width, top / height, right / width, bottom / height]) * 65535)
    fine, quiet = _fine_structure(luma)
    packed["fine"], packed["quiet"] = _logarithms(fine), _logarithms(quiet)
    packed["comb"], packed["clipped"] = _tones(image.pixels)
    lines = luma[:: max(1, luma.shape[0] // _LINES)], luma[:, :: max(1, luma.shape[1] // _LINES)].T
    packed["halo"] = _halo(lines)
    packed["coding"] = quality_of_coding(image)
    packed["repeats"] = max(_repeats(rows) for rows in lines)
    return packed.tobytes() + encode_thumbnail(thumbnail)


def encode_thumbnail(image: NDArray[np.uint8]) -> bytes:
    """Return the WebP file of an image, (h, w, 3) uint8 sRGB, reduced to a longest side of at most `SIDE`."""
    height, width = image.shape[:2]
    scale = min(1.0, SIDE / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    bgr = cv2.cvtColor(small, cv2.COLOR_RGB2BGR)
    return cv2.imencode(".webp", bgr, [cv2.IMWRITE_WEBP_QUALITY, _WEBP_QUALITY])[1].tobytes()


def unpack_view(packed: bytes | None) -> View | None:
    """Return the view that a ledger row holds; None where it has none, or none that can be read."""
    if packed is None or len(packed) <= VIEW.itemsize:
        return None
    numbers = np.frombuffer(packed[: VIEW.itemsize], VIEW)[0]
    decoded = cv2.imdecode(np.frombuffer(packed[VIEW.itemsize :], np.uint8), cv2.IMREAD_COLOR)
    if decoded is None or max(decoded.shape[:2]) > SIDE:
        return None
    left, top, right, bottom = (float(value) / 65535 for value in numbers["content"])
    return View(
        thumbnail=cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False),
        content=(left, top, right, bottom),
        fine=_from_logarithms(numbers["fine"]),
        quiet=_from_logarithms(numbers["quiet"]),
        comb=float(numbers["comb"]),
        clipped=float(numbers["clipped"]),
        halo=float(numbers["halo"]),
        repeats=float(numbers["repeats"]),
        coding=float(numbers["coding"]),
    )


def _fine_structure(luma: NDArray[np.uint8]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    fine = np.full((LEVELS, CELLS, CELLS), np.nan)
    quiet = np.full((LEVELS, QUIET_CELLS, QUIET_CELLS), np.nan)
    grid = 2 * CELLS if min(luma.shape) >= 2 * CELLS * 8 else CELLS
    if min(luma.shape) < grid * 8:
        return fine, quiet
    # The windows are put together into one image, in which each is filtered without its rim.
    rows, columns = (_window_pixels(side, grid) for side in luma.shape)
    level = luma[rows][:, columns]
    for number in range(LEVELS):
        height, width = level.shape[0] // grid, level.shape[1] // grid
        if min(height, width) < 3:
            break
        inner = height * width / ((height - 2) * (width - 2))
        means = window_responses(level, grid, grid).astype(np.float64)
        means *= inner * _TO_SIGMA
        fine[number] = means.reshape(CELLS, grid // CELLS, CELLS, grid // CELLS).mean(axis=(1, 3))
        spots = means.reshape(QUIET_CELLS, grid // QUIET_CELLS, QUIET_CELLS, -1).swapaxes(1, 2)
        quiet[number] = np.quantile(spots.reshape(QUIET_CELLS, QUIET_CELLS, -1), 0.2, axis=2)
        half = level.shape[1] // 2, level.shape[0] // 2
        level = cv2.resize(level, half, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
    return fine, quiet


def _window_pixels(side: int, grid: int) -> NDArray[np.int64]:
    """Return which rows, or columns, of an image are in windows: one window, in the middle, of each cell."""
    window = min(_WINDOW, side // grid) // 8 * 8
    starts = np.rint((np.arange(grid) + 0.5) * (side / grid) - window / 2).astype(np.int64)
    return np.asarray((np.clip(starts, 0, side - window)[:, None] + np.arange(window)).ravel(), np.int64)


def _logarithms(sigma: NDArray[np.float64]) -> NDArray[np.uint8]:
    values = np.clip(np.rint(_STEPS * np.log2(1 + 4 * np.nan_to_num(sigma))), 0, 254)
    return np.where(np.isnan(sigma), 255, values).astype(np.uint8)


def _from_logarithms(stored: NDArray[np.uint8]) -> NDArray[np.float64]:
    return np.where(stored == 255, np.nan, (2 ** (stored.astype(np.float64) / _STEPS) - 1) / 4)


def _tones(pixels: NDArray[np.uint8]) -> tuple[float, float]:
    step = max(1, int(np.sqrt(pixels.shape[0] * pixels.shape[1] / _SAMPLED)))
    sample = pixels[::step, ::step].reshape(-1, 3)
    counts = np.stack([np.bincount(sample[:, channel], minlength=256) for channel in range(3)]).astype(np.float64)
    clipped = float(counts[:, [0, 255]].sum() / sample.size)
    inner = np.minimum(counts[:, 1:-1], _COMMON_LEVEL * len(sample))
    total = np.maximum(inner.sum(axis=1), 1)
    steps = np.abs(inner[:, 1:-1] - (inner[:, :-2] + inner[:, 2:]) / 2).sum(axis=1)
    chance = np.sqrt(1.5 * inner[:, 1:-1] * 2 / np.pi).sum(axis=1)  # mean size of such a difference of Poisson counts
    return float(np.maximum((steps - chance) / total, 0).mean()), clipped


def _halo(lines: tuple[NDArray[np.uint8], NDArray[np.uint8]]) -> float:
    shares = [np.empty(0)]
    for rows in lines:
        if rows.shape[1] < 24:
            continue
        values = rows.astype(np.float32)
        slope = np.abs(values[:, 2:] - values[:, :-2])  # entry k belongs to pixel k + 1
        middle = slope[:, 8:-8]
        peak = (middle >= _EDGE) & (middle >= slope[:, 7:-9]) & (middle > slope[:, 9:-7])
        y, x = np.nonzero(peak)
        x += 9
        sign = np.sign(values[y, x + 1] - values[y, x - 1])
        after, before = (np.stack([values[y, x + side * k] for k in range(1, 10)]) * sign for side in (1, -1))
        high, low = after[5:].mean(axis=0), before[5:].mean(axis=0)
        step = high - low
        over = after[:4].max(axis=0) - high + low - before[:4].min(axis=0)
        shares.append((over / np.maximum(step, 1))[step >= _EDGE])
    found = np.concatenate(shares)
    return float(np.median(found)) if len(found) >= _MIN_EDGES else float("nan")


def _repeats(rows: NDArray[np.uint8]) -> float:
    if rows.shape[1] < 8:
        return 0.0
    steps = np.abs(np.diff(rows.astype(np.int16), axis=1)).mean(axis=0)
    return float((steps[1:-1] < 0.3 * np.minimum(steps[:-2], steps[2:])).mean())
