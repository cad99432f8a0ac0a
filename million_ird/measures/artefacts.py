"""Traces of an earlier JPEG compression in the pixels, whatever the header says now.

- `jpeg_trace` (1–100, up is better): the IJG quality of the coarsest JPEG compression whose quantisation
  still shows: the coefficients of 8×8 blocks cluster at multiples of a step (Fridrich and Lukáš 2003). For
  each of ten low frequencies the largest such step is taken; the median ratio to IJG's table gives the
  quality. Two grids are tried, the one at the corner and the one where the blocks show most, so that a crop
  does not hide it. Null where fewer than four frequencies show a step: never compressed, compressed finely
  (over about 85), or resized since. Steps of the file's own table do not count: its quality is `jpeg_quality`.
- `blockiness` (%, ≥ 0, down is better): by how many per cent the mean step between neighbouring pixels is
  larger across the borders of an 8×8 grid than elsewhere (median of the eight phases), for the position of
  the grid where it is largest; the mean of both directions. After Wang, Bovik and Evans 2000. Large for
  soft images at any quality, since it is relative to the other steps. Null where there is no step in one
  direction.
- `fine_trace` (75–98, up is better): the quality of a fine compression with a table of the IJG, as most programs use.
  No gate needs it; it tells which of two copies was saved from the other. Steps of 2 to 16 are looked for in 40 middle
  frequencies, whose coefficients are small enough to show them, at the grid of the corner. The quality is that whose
  table has most of these steps. Null where it has fewer than eight of them, or less than 0.8 of those that are found:
  never compressed, or with 99 and more, with another table, or brightened or resized since.

All null under 32 px.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from million_ird.images.encoded_image import EncodedImage
from million_ird.measure_specs import MEASURE_SPECS
from million_ird.measure_types import Tier
from million_ird.measures.edge_sums import mean_steps
from million_ird.measures.jpeg_tables import IJG_LUMA, ijg_luma_table, luma_steps

GRID = 8
BLOCKS = 4096
_MIN_SIDE = 32
_MIN_FREQUENCIES = 4
_OTHER_STEP = 0.1
"""A step is of an earlier compression if it differs from the file's own step by more than this share of it."""
_FINE_QUALITIES = range(75, 99)
_FEWEST_FINE, _FITTING = 8, 0.8
"""How many steps of a quality's table are found at least, and their least share of all steps found."""


@dataclass(frozen=True, slots=True)
class _Search:
    """Which steps are looked for, at which frequencies, and when they count as found."""

    frequencies: tuple[tuple[int, int], ...]
    """Rows and columns of coefficients."""
    first: int
    """Smallest step; the largest is `last`."""
    last: int
    bins: int
    """Of the histogram of the sizes of coefficients; the last one is of all larger sizes, and does not count."""
    per_level: int
    """Bins of one level."""
    least_size: float
    """Coefficients up to this size, in levels, are no evidence: rounding of pixels makes them, too."""
    least_count: int
    """Coefficients that are needed."""
    least_score: float
    """Mean of cos(2π·size/step) from which on a step is found; rounding of pixels leaves 0.55 at a step of 2."""


_STRONG = _Search(
    ((0, 1), (1, 0), (1, 1), (0, 2), (2, 0), (1, 2), (2, 1), (0, 3), (3, 0), (2, 2)),
    first=5,
    last=255,
    bins=512,
    per_level=1,
    least_size=0.0,
    least_count=20,
    least_score=0.6,
)
_FINE = _Search(
    tuple((row, column) for row in range(GRID) for column in range(GRID) if 2 <= row + column <= 8),
    first=2,
    last=16,
    bins=288,
    per_level=4,
    least_size=1.0,
    least_count=60,
    least_score=0.3,
)


@dataclass(frozen=True, slots=True)
class ArtefactMeasure:
    """Traces of JPEG: quantisation and block grid."""

    fields: ClassVar[tuple[str, ...]] = MEASURE_SPECS["artefacts"].fields
    tier: ClassVar[Tier] = MEASURE_SPECS["artefacts"].tier

    def measure(self, image: EncodedImage) -> Mapping[str, float | None]:
        """Measure steps between neighbours and the cosine transform of up to 4,096 blocks of the luma."""
        luma = image.luma
        if min(luma.shape) < _MIN_SIDE:
            return dict.fromkeys(self.fields)
        (across, left), (down, top) = (_find_grid(steps) for steps in mean_steps(luma))
        blocks = _coefficients(luma)
        grids = [blocks, _coefficients(luma[top:, left:])] if top or left else [blocks]
        own = luma_steps(image.header.quantisation)
        qualities = [trace for grid in grids if (trace := jpeg_trace(grid, own)) is not None]
        return {
            "jpeg_trace": min(qualities) if qualities else None,
            "blockiness": None if across is None or down is None else 50 * (across + down),
            "fine_trace": fine_trace(blocks),
        }


def jpeg_trace(coefficients: NDArray[np.float32], own: NDArray[np.int64] | None = None) -> float | None:
    """Return the IJG quality at whose steps the coefficients cluster; None where too few frequencies show a step.

    Args:
        coefficients: (n, 8, 8), of n blocks.
        own: (8, 8), the luma table in the file's header; its steps are no trace of an earlier compression.
    """
    rows, columns = np.array(_STRONG.frequencies).T
    steps = _steps(coefficients, _STRONG)
    shown = steps > 0
    if own is not None:
        # An image that is shown turned by a quarter has its table turned, too.
        tables = (table[rows, columns] for table in (own, own.T))
        earlier = [shown & (np.abs(steps - table) > _OTHER_STEP * table) for table in tables]
        shown = min(earlier, key=np.count_nonzero)
    if np.count_nonzero(shown) < _MIN_FREQUENCIES:
        return None
    scale = float(np.median(100 * steps[shown] / np.asarray(IJG_LUMA)[GRID * rows + columns][shown]))
    return max(1.0, 5000 / scale if scale > 100 else (200 - scale) / 2)


def fine_trace(coefficients: NDArray[np.float32]) -> float | None:
    """Return the IJG quality, 75 to 98, whose steps middle frequencies show; coefficients: (n, 8, 8)."""
    steps = _steps(coefficients, _FINE)
    tables = _fine_tables()
    told = (steps > 0) & (tables >= _FINE.first) & (tables <= _FINE.last)
    fitting = np.count_nonzero(told & (tables == steps), axis=1)
    best = int(fitting.argmax())
    if fitting[best] < max(_FEWEST_FINE, _FITTING * np.count_nonzero(told[best])):
        return None
    return float(_FINE_QUALITIES[best])


def _steps(coefficients: NDArray[np.float32], search: _Search) -> NDArray[np.intp]:
    """Return the step at each frequency, 0 where none is found; coefficients: (n, 8, 8) → (frequencies,)."""
    cosines, mask = _combs(search)
    rows, columns = np.array(search.frequencies).T
    sizes = np.rint(np.abs(coefficients[:, rows, columns]) * search.per_level)
    bins = np.minimum(sizes, search.bins - 1).astype(np.intp) + search.bins * np.arange(len(rows))
    histograms = np.bincount(bins.ravel(), minlength=search.bins * len(rows)).reshape(len(rows), -1).astype(np.float32)
    histograms[:, -1] = 0
    counts = histograms @ mask.T
    scores = np.where(counts >= search.least_count, histograms @ cosines.T / np.maximum(counts, 1), 0)
    return np.array([_largest_step(score, search.least_score, search.first) for score in scores])


def _largest_step(score: NDArray[np.floating], least: float, first: int) -> int:
    """Return the step whose score is best near the largest that fits, 0 for none: every divisor of a step fits, too.

    Args:
        score: (n,), of the steps from `first` on.
        least: Score from which on a step fits.
        first: The smallest step.
    """
    candidates = np.flatnonzero(score > least)
    if not candidates.size:
        return 0
    near = candidates[first + candidates > 0.85 * (first + candidates[-1])]
    return first + int(near[score[near].argmax()])


def _coefficients(luma: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return cosine transforms of blocks from rows spread over the image; luma: (H, W) → (n, 8, 8)."""
    rows, columns = luma.shape[0] // GRID, luma.shape[1] // GRID
    n_rows = min(rows, max(1, -(-BLOCKS // columns)))
    block_rows = np.unique(np.linspace(0, rows - 1, n_rows).astype(np.intp))
    bands = np.stack([luma[GRID * row : GRID * (row + 1), : GRID * columns] for row in block_rows])
    blocks = bands.reshape(-1, GRID, columns, GRID).swapaxes(1, 2).reshape(-1, GRID, GRID)
    basis = _cosine_basis()
    return np.asarray(basis @ blocks.astype(np.float32) @ basis.T, np.float32)


@cache
def _cosine_basis() -> NDArray[np.float32]:
    k = np.arange(GRID)
    basis = 0.5 * np.cos((2 * k[None] + 1) * k[:, None] * np.pi / (2 * GRID))
    basis[0] /= np.sqrt(2)
    return np.asarray(basis, np.float32)


@cache
def _combs(search: _Search) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return cos(2π·size/step) and which sizes count, for each step; both (steps, bins).

    Sizes under a quarter of the step are no evidence (most coefficients are small, with any table); sizes up to three
    quarters are evidence against it. Over four steps the rounding of a later compression blurs the comb.
    """
    size = np.arange(search.bins)[None] / search.per_level
    step = np.arange(search.first, search.last + 1)[:, None]
    mask = (size > np.maximum(step / 4, search.least_size)) & (size < 4.5 * step)
    return np.where(mask, np.cos(2 * np.pi * size / step), 0).astype(np.float32), mask.astype(np.float32)


@cache
def _fine_tables() -> NDArray[np.int64]:
    """Return the steps of the fine qualities at the frequencies of `_FINE`: (qualities, frequencies)."""
    rows, columns = np.array(_FINE.frequencies).T
    return np.stack([ijg_luma_table(quality)[GRID * rows + columns] for quality in _FINE_QUALITIES])


def _find_grid(steps: NDArray[np.float64]) -> tuple[float | None, int]:
    """Return how much larger the steps at the worst of 8 phases are than usual, and that grid's offset; steps: (n,)."""
    end = len(steps) // GRID * GRID
    phases = steps[:end].reshape(-1, GRID).mean(axis=0)
    usual = float(np.median(phases))
    worst = int(phases.argmax())
    return (None if usual <= 0 else float(phases[worst]) / usual - 1), (worst + 1) % GRID
